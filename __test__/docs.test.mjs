// The documentation is true: what it cites exists, what it links to is there, its programs run and print what they say.
import { execFile, execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  configurationFiles,
  codeWords,
  deadCommands,
  deadIdentifiers,
  deadLinks,
  deadNames,
  deadPaths,
  documentNames,
  isForContributors,
  isJavaScript,
  isProgram,
  parse,
  promisedOutput,
  readDocument,
  root,
  syntaxErrors,
  withoutComments,
} from './helpers/docs.mjs'
import { declarations, literals } from './types/declarations.mjs'

const names = documentNames()

// Programs run side by side, on machines that do other things, too.
vi.setConfig({ testTimeout: 60_000 })

test('the documents are found and read', () => {
  expect(names).toEqual(
    expect.arrayContaining(['README.md', 'README.zh-CN.md', 'docs/routing.md', 'examples/README.md']),
  )
  expect(readDocument('README.md').anchors).toContain('15-a-real-provider')
  const { spans, links, fences } = parse('See `a\nb` and [c](d.md#e).\n\n```js run\n// → 1\n```\n')
  expect({ spans, links }).toEqual({ spans: [{ text: 'a b', line: 1 }], links: [{ target: 'd.md#e', line: 2 }] })
  expect(fences).toMatchObject([{ info: 'js run', code: '// → 1', line: 4 }])
})

describe.each(names)('%s', (name) => {
  test('links lead somewhere', () => {
    expect(deadLinks(name, (file) => existsSync(path.join(root, file)))).toEqual([])
  })

  test('cited paths exist', () => {
    expect(deadPaths(name)).toEqual([])
  })

  test('cited tests and names exist', () => {
    expect(deadNames(name)).toEqual([])
  })

  test.runIf(isForContributors(name))('cited identifiers are in the sources', () => {
    expect(deadIdentifiers(name)).toEqual([])
  })

  test('commands exist', () => {
    expect(deadCommands(name)).toEqual([])
  })

  test('snippets are valid JavaScript and JSON', () => {
    const { fences } = readDocument(name)
    const faults = fences.filter(isJavaScript).map((fence) => ({ line: fence.line, errors: syntaxErrors(fence) }))
    expect(faults.filter(({ errors }) => errors.length > 0)).toEqual([])
    for (const { code } of fences.filter(({ info }) => info === 'json')) JSON.parse(code)
  })
})

// ── Completeness ─────────────────────────────────────────────────────────────────────────────────────────────────

describe('what users write and read is documented', () => {
  const members = [...declarations()].filter(({ name }) => name.includes('.'))
  /** Names that {@link members} of `types` have and no document of `documents` names. One name of two for the same is enough. */
  const missing = (types, ...documents) => {
    const words = new Set(documents.flatMap((name) => [...codeWords(name)]))
    const successors = new Map()
    for (const { name, tags } of members) {
      const deprecated = tags.find(({ tagName }) => tagName.text === 'deprecated')
      const successor = /Use `(\w+)`/.exec(String(deprecated?.comment))?.[1]
      if (successor) successors.set(name, `${name.slice(0, name.lastIndexOf('.'))}.${successor}`)
    }
    const last = (name) => name.slice(name.lastIndexOf('.') + 1)
    const aliases = (name) => [
      name,
      successors.get(name),
      ...[...successors].filter(([, to]) => to === name).map(([old]) => old),
    ]
    const found = members.filter(({ file, name }) => types.test(`${file} ${name}`) && /^\w+$/.test(last(name)))
    expect(found).not.toEqual([])
    const isNamed = ({ name }) => aliases(name).some((alias) => alias !== undefined && words.has(last(alias)))
    return found.filter((member) => !isNamed(member)).map(({ name }) => name)
  }

  test('configuration', () => {
    expect(missing(/^types\/config\S* (?!ValidationError)/, 'docs/configuration.md')).toEqual([])
  })

  test('options of the gateway, and its functions', () => {
    const documents = names.filter((name) => name.startsWith('docs/') && !name.includes('/zh/'))
    expect(missing(/ (GatewayOptions|Gateway|BatchOptions|CloseOptions)\.(?!constructor)/, ...documents)).toEqual([])
  })

  test('requests', () => {
    expect(
      missing(/ (GatewayRequest|GenerationOptions|EmbeddingRequest)\./, 'docs/requests.md', 'docs/configuration.md'),
    ).toEqual([])
  })

  test('the usage log', () => {
    expect(missing(/ UsageLog\./, 'docs/usage-log.md')).toEqual([])
  })

  test('kinds of errors', () => {
    const words = codeWords('docs/errors.md')
    expect(literals('GatewayErrorKind').filter((kind) => !words.has(kind))).toEqual([])
  })
})

// ── Programs ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Each `js run` fence; translations have the same ones. */
const programs = names
  .filter((name) => !name.includes('zh'))
  .flatMap((name) =>
    readDocument(name)
      .fences.filter(isProgram)
      .map((fence) => ({ name, ...fence })),
  )

/** Rejects where the program exits with anything but 0. It gets no keys and no proxies. */
function runProgram(file, cwd) {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: '1' }
  return promisify(execFile)(process.execPath, [file], { cwd, env, timeout: 50_000 })
}

let dir

// A project as the README has its reader make it: the package installed, the configuration in `config/`.
beforeAll(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'docs-'))
  mkdirSync(path.join(dir, 'node_modules'))
  mkdirSync(path.join(dir, 'config'))
  symlinkSync(root, path.join(dir, 'node_modules', 'ai-gateway-native'), 'junction')
  symlinkSync(path.join(root, 'node_modules', 'ai'), path.join(dir, 'node_modules', 'ai'), 'junction')
  const files = configurationFiles('README.md')
  for (const { file, code } of files) writeFileSync(path.join(dir, file), code)
  const { code } = files.find(({ file }) => file.includes('providers'))
  writeFileSync(path.join(dir, 'config', 'providers.production.json'), code)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe('programs run', () => {
  test('they are found', () => {
    expect(programs.filter(({ name }) => name === 'README.md').length).toBeGreaterThan(10)
    expect(readdirSync(path.join(dir, 'config'))).toHaveLength(4)
  })

  test.concurrent.each(programs)('$name, line $line', async ({ name, line, ...fence }) => {
    const kind = /\brequire\(/.test(fence.code) ? 'cjs' : 'mjs'
    const file = path.join(dir, `${path.basename(name, '.md')}-${line}.${kind}`)
    writeFileSync(file, fence.code)
    const { stdout } = await runProgram(file, dir)
    const lines = stdout.split('\n').map((text) => text.trim())
    let from = 0
    for (const expected of promisedOutput(fence)) {
      const at = lines.indexOf(expected, from)
      expect(at, `"${expected}" is not in this order in the output:\n${stdout}`).not.toBe(-1)
      from = at + 1
    }
  })
})

/** Those that `examples/README.md` lists, but for the ones that run until they are stopped or have a test of their own. */
const examples = readDocument('examples/README.md')
  .links.map(({ target }) => target)
  .filter((target) => /^[\w-]+\.[cm]js$/.test(target))

describe('examples run', () => {
  test('all are listed', () => {
    const files = readdirSync(path.join(root, 'examples')).filter((file) => /\.[cm]js$/.test(file))
    expect([...examples].sort()).toEqual(files.sort())
  })

  test.concurrent.each(examples)('%s', async (example) => {
    const { stdout } = await runProgram(path.join('examples', example), root)
    expect(stdout).not.toBe('')
  })

  test.concurrent('typescript.mts', async () => {
    const source = readFileSync(path.join(root, 'examples', 'typescript.mts'), 'utf8')
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
    const file = path.join(dir, 'typescript.mjs')
    writeFileSync(file, ts.transpileModule(source, { compilerOptions }).outputText)
    const { stdout } = await runProgram(file, dir)
    expect(stdout).not.toBe('')
  })
})

// ── Translations ──────────────────────────────────────────────────────────────────────────────────────────────────

/** English documents that have a Chinese one, with its path. */
const translations = names.flatMap((name) => {
  const translated = [name.replace(/\.md$/, '.zh-CN.md'), name.replace(/^docs\//, 'docs/zh/')]
  return translated.filter((one) => one !== name && names.includes(one)).map((one) => [name, one])
})

test('the translations are found', () => {
  expect(translations).toContainEqual(['README.md', 'README.zh-CN.md'])
  const originals = translations.map(([, translated]) => translated)
  expect(names.filter((name) => name.includes('zh') && !originals.includes(name))).toEqual([])
})

describe.each(translations)('%s and %s', (...pair) => {
  const [english, chinese] = pair.map(readDocument)

  test('have the same headings', () => {
    const levels = ({ headings }) => headings.map(({ level, text }) => `${'#'.repeat(level)} ${text}`)
    const both = levels(english).map((heading, at) => [heading, levels(chinese)[at] ?? 'none'])
    expect(both.filter(([one, other]) => one.split(' ')[0] !== other.split(' ')[0])).toEqual([])
    expect(chinese.headings.length).toBe(english.headings.length)
  })

  test('have the same snippets but for comments', () => {
    const snippets = ({ fences }) => fences.map((fence) => ({ info: fence.info, code: withoutComments(fence) }))
    expect(snippets(chinese)).toEqual(snippets(english))
    const promises = ({ fences }) => fences.map(promisedOutput)
    expect(promises(chinese)).toEqual(promises(english))
  })

  // So that a field, a default or a value that one of them gains or loses is missed in the other.
  test('name the same code', () => {
    const words = ({ spans }) => [...new Set(spans.map(({ text }) => text))].sort()
    expect(words(chinese)).toEqual(words(english))
  })
})

// ── The package ──────────────────────────────────────────────────────────────────────────────────────────────────

test('links of the packed documents lead to packed files', () => {
  const pack = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const output = execFileSync('npm', pack, {
    cwd: root,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const files = JSON.parse(output)[0].files.map((file) => file.path)
  const packed = new Set(
    files.flatMap((file) => file.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'))),
  )
  const documents = names.filter((name) => packed.has(name))
  expect(documents).toContain('docs/routing.md')
  const dead = documents.flatMap((name) =>
    deadLinks(name, (file) => packed.has(path.posix.normalize(file).replace(/\/$/, ''))).map(
      (link) => `${name}:${link}`,
    ),
  )
  expect(dead).toEqual([])
})
