// Reads the project's Markdown: what it cites, where it links to, and the snippets it shows.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const root = fileURLToPath(new URL('../../', import.meta.url))

const markdownIn = (dir) =>
  readdirSync(path.join(root, dir), { withFileTypes: true, recursive: dir !== '.' })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
    .map((entry) =>
      path
        .relative(root, path.join(entry.parentPath ?? entry.path, entry.name))
        .split(path.sep)
        .join('/'),
    )

/** Paths of all documents, relative to the root: those at the top, in `docs/` and in `examples/`. */
export const documentNames = () => [...markdownIn('.'), ...markdownIn('docs'), ...markdownIn('examples')].sort()

const parsed = new Map()

/** The document at a path relative to the root. */
export function readDocument(name) {
  if (!parsed.has(name)) parsed.set(name, parse(readFileSync(path.join(root, name), 'utf8')))
  return parsed.get(name)
}

/**
 * A document's parts:
 * - `fences`: `{info, code, line, before}`, where `before` is the last line of text above it;
 * - `headings`: `{level, text}`; `anchors`: a set, as GitHub makes them;
 * - `links`: `{target, line}`; `spans`: `{text, line}`, code between backticks.
 */
export function parse(text) {
  const document = { fences: [], headings: [], anchors: new Set(), links: [], spans: [] }
  let fence
  let before = ''
  let paragraph
  const endParagraph = () => {
    if (paragraph) readInline(paragraph, document)
    paragraph = undefined
  }
  for (const [index, content] of text.split('\n').entries()) {
    const line = index + 1
    if (fence) {
      if (content.trim() === '```') {
        document.fences.push({ ...fence, code: fence.lines.join('\n') })
        fence = undefined
      } else {
        fence.lines.push(content)
      }
      continue
    }
    if (content.startsWith('```')) {
      endParagraph()
      fence = { info: content.slice(3).trim(), lines: [], line, before }
      continue
    }
    if (content.trim() === '') {
      endParagraph()
      continue
    }
    before = content
    const heading = /^(#{1,6}) (.*)/.exec(content)
    if (heading) {
      endParagraph()
      addHeading(document, heading[1].length, heading[2])
    }
    // A span may go over the end of a line, not over that of a table's row.
    if (heading || content.startsWith('|')) {
      endParagraph()
      readInline({ line, text: content }, document)
    } else if (paragraph) {
      paragraph.text += `\n${content}`
    } else {
      paragraph = { line, text: content }
    }
  }
  endParagraph()
  if (fence) throw new Error(`the fence of line ${fence.line} is not closed`)
  return document
}

function addHeading(document, level, text) {
  const plain = text.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '')
  const slug = plain
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-')
  let anchor = slug
  for (let number = 1; document.anchors.has(anchor); number++) anchor = `${slug}-${number}`
  document.anchors.add(anchor)
  document.headings.push({ level, text })
}

function readInline({ line, text }, document) {
  const lineAt = (index) => line + text.slice(0, index).split('\n').length - 1
  const withoutCode = text.replace(/(`+)(?!`)([\s\S]*?[^`])\1(?!`)/g, (whole, _ticks, code, index) => {
    document.spans.push({ text: code.replace(/\s+/g, ' ').trim(), line: lineAt(index) })
    return whole.replace(/[^\n]/g, '·')
  })
  for (const { 1: target, index } of withoutCode.matchAll(/\]\(([^()\s]+)\)/g)) {
    document.links.push({ target, line: lineAt(index) })
  }
}

// ── Links ────────────────────────────────────────────────────────────────────────────────────────────────────────

const isExternal = (target) => /^[a-z][a-z+.-]*:/i.test(target)

/** Relative links of a document that lead nowhere, `LINE: TARGET` each; `exists` says which paths there are. */
export function deadLinks(name, exists) {
  const { links } = readDocument(name)
  return links
    .filter(({ target }) => !isExternal(target))
    .filter(({ target }) => {
      const [file, anchor] = target.split('#')
      const to = file === '' ? name : path.posix.join(path.posix.dirname(name), file)
      if (!exists(to)) return true
      return anchor !== undefined && !readDocument(to).anchors.has(decodeURIComponent(anchor))
    })
    .map(({ target, line }) => `${line}: ${target}`)
}

// ── Citations ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Files of the repository, new ones included, that are not ignored. */
const trackedFiles = (() => {
  let files
  return () => {
    files ??= execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
      .toString()
      .split('\n')
      .filter((file) => file !== '' && existsSync(path.join(root, file)))
    return files
  }
})()

/** Made by commands, and not in the repository. */
const GENERATED = /^(dist|target|node_modules)\/|^native\.(js|d\.ts)$|\.node$|\.tgz$/
/** What sources are called. JSON files have names that users' files have, too. */
const SOURCE = /\.(rs|js|mjs|cjs|ts|mts|cts|toml|md)$/

/** Names of files that the snippets tell the reader to write. */
const usersFiles = () =>
  documentNames().flatMap((name) => {
    return readDocument(name).fences.flatMap(({ code }) => /^\/\/ (\S+\.[cm]?js)\n/.exec(code)?.[1] ?? [])
  })

/**
 * Whether a span cites a path of this repository:
 * - it begins with a folder at the root (`crates/model`), or with one that used to be there;
 * - or it ends as a source does (`wire.rs`, `routing/run.rs`), whatever stands before.
 *
 * Not paths: what has spaces or begins with `.`, `/` or `-`, and names of packages (`@ai-sdk/provider`).
 */
function citesPath(text) {
  if (!/^[\w*][\w.*-]*(\/[\w.*-]+)*\/?$/.test(text) && !/^\.(ci|github)\//.test(text)) return false
  return SOURCE.test(text) || isRooted(text)
}

let roots

/** Whether it has a slash and begins with a folder at the root, or with one that used to be there. */
function isRooted(text) {
  const [first, ...others] = text.split('/')
  roots ??= new Set([...trackedFiles().map((file) => file.split('/')[0]), 'tests', 'benches', 'dist'])
  return others.length > 0 && roots.has(first)
}

/** Cited paths that do not exist, `LINE: PATH` each. A word in capitals and a `*` stand for any name. */
export function deadPaths(name) {
  const users = new Set(usersFiles())
  return readDocument(name)
    .spans.filter(({ text }) => citesPath(text) && !GENERATED.test(text) && !users.has(text) && !pathExists(text))
    .map(({ text, line }) => `${line}: ${text}`)
}

let places
function pathExists(text) {
  places ??= (() => {
    const folders = trackedFiles().flatMap((file) =>
      file.split('/').map((_, at, parts) => parts.slice(0, at).join('/')),
    )
    return { files: trackedFiles(), folders: [...new Set(folders)].filter((folder) => folder !== '') }
  })()
  // What begins at the root is meant from there.
  const start = isRooted(text) ? '^' : '(^|/)'
  const pattern = text
    .replace(/\/$/, '')
    .split('/')
    .map((part) => part.replace(/[.$^+]/g, '\\$&').replace(/\*|\b[A-Z]{3,}\b(?!\\?\.md)/g, '[^/]+'))
    .join('/')
  const whole = new RegExp(`${start}${pattern}$`)
  const { files, folders } = places
  return (text.endsWith('/') ? folders : [...folders, ...files]).some((place) => whole.test(place))
}

let rust
const rustSources = () => {
  rust ??= trackedFiles()
    .filter((file) => file.endsWith('.rs'))
    .map((file) => readFileSync(path.join(root, file), 'utf8'))
    .join('\n')
  return rust
}

const isDeclared = (identifier) =>
  new RegExp(`\\b(fn|mod|struct|enum|trait|const|static|type|macro_rules!)\\s+${identifier}\\b`).test(rustSources()) ||
  new RegExp(`^\\s+${identifier}\\s*[,({]`, 'm').test(rustSources())

/**
 * Cited tests and other names of Rust that nothing declares, and tests of JavaScript that no file has, `LINE: NAME` each.
 *
 * Names are `module::name` (its last part counts), names of five words and more in snake case, as only tests have them, and
 * `FILE.test.mjs › title`.
 */
export function deadNames(name) {
  return readDocument(name)
    .spans.filter(({ text }) => {
      const test = /^(\S+\.test\.mjs) › (.+)$/.exec(text)
      if (test) {
        const file = trackedFiles().find((one) => one === test[1] || one.endsWith(`/${test[1]}`))
        return file === undefined || !readFileSync(path.join(root, file), 'utf8').includes(test[2])
      }
      const isPath = /^[A-Za-z_]\w*(::[A-Za-z_]\w*)+(\(\))?$/.test(text) && !/^(std|tokio|serde)/.test(text)
      const isTest = /^[a-z0-9]+(_[a-z0-9]+){4,}$/.test(text)
      return (isPath || isTest) && !isDeclared(text.replace('()', '').split('::').at(-1))
    })
    .map(({ text, line }) => `${line}: ${text}`)
}

/** For contributors: these name what is in the sources. */
export const isForContributors = (name) => /^(CONTRIBUTING|docs\/adding-a-provider|docs\/naming)\.md$/.test(name)

/** Identifiers of several words (`path_of`, `StreamDecoder`, `OWN_FORMATS`) that no source has, `LINE: NAME` each. */
export function deadIdentifiers(name) {
  const identifier = /^([a-z0-9]+(_[a-z0-9]+)+|[A-Z][a-z0-9]+([A-Z][a-z0-9]*)+|[A-Z]+(_[A-Z]+)+|[a-z]+([A-Z][a-z]*)+)$/
  const has = (text) => new RegExp(`\\b${text}\\b`).test(allSources())
  return readDocument(name)
    .spans.filter(({ text }) => identifier.test(text) && !has(text))
    .map(({ text, line }) => `${line}: ${text}`)
}

let everything
function allSources() {
  const isSource = (file) =>
    /\.(rs|js|mjs|ts|toml)$|fixtures\/.*\.json$/.test(file) && !/docs(\.test)?\.mjs$/.test(file)
  everything ??= trackedFiles()
    .filter(isSource)
    .map((file) => readFileSync(path.join(root, file), 'utf8'))
    .join('\n')
  return everything
}

/** Words of code in a document, in text and in snippets. */
export function codeWords(name) {
  const { spans, fences } = readDocument(name)
  const texts = [...spans.map(({ text }) => text), ...fences.map(({ code }) => code)]
  return new Set(texts.flatMap((text) => text.match(/[A-Za-z_]\w*/g) ?? []))
}

/** Commands that do not exist, `LINE: COMMAND` each: scripts of npm, packages and test programs of cargo, files for node. */
export function deadCommands(name) {
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const { fences, spans } = readDocument(name)
  const commands = [
    ...spans,
    ...fences.filter(({ info }) => info === 'sh').map(({ code, line }) => ({ text: code, line: line + 1 })),
  ]
  const crates = trackedFiles()
    .filter((file) => file.endsWith('Cargo.toml'))
    .flatMap((file) => /^name = "(.*)"/m.exec(readFileSync(path.join(root, file), 'utf8'))?.[1] ?? [])
  const has = (file) => trackedFiles().some((one) => one === file || one.endsWith(`/${file}`))
  const dead = ({ text, line }) => {
    const lacking = (pattern, there) =>
      [...text.matchAll(pattern)].filter((match) => !there(match[1])).map(([command]) => `${line}: ${command}`)
    return [
      ...lacking(/\bnpm run ([\w:-]+)/g, (script) => script in scripts),
      ...lacking(/\bcargo [a-z].*? -p ([\w-]+)/g, (crate) => crates.includes(crate) || /^[A-Z]+$/.test(crate)),
      ...lacking(/\bcargo [a-z].*? --test (\w+)/g, (test) => has(`tests/${test}.rs`) || has(`tests/${test}/main.rs`)),
      ...lacking(/\bnode ((?:examples|scripts|bench)\/\S+)/g, has),
    ]
  }
  return commands.flatMap(dead)
}

// ── Snippets ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Fences of JavaScript, `js run` among them. */
export const isJavaScript = ({ info }) => /^(js|ts)\b/.test(info)

/** A fence that is a program: `js run`. */
export const isProgram = ({ info }) => info === 'js run'

/** What is wrong with a piece of JavaScript as syntax: nothing for modules, statements and methods. */
export function syntaxErrors({ code, info }) {
  const problems = (text) => {
    const fileName = info.startsWith('ts') ? 'snippet.ts' : 'snippet.js'
    const { diagnostics } = ts.transpileModule(text, { fileName, reportDiagnostics: true, compilerOptions: MODULE })
    return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
  }
  const asModule = problems(code)
  return asModule.length === 0 || problems(`({ ${code} })`).length === 0 ? [] : asModule
}

const MODULE = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, allowJs: true, removeComments: true }

/** A snippet without what a translation may change: its comments. */
export function withoutComments({ info, code }) {
  if (isJavaScript({ info })) return ts.transpileModule(code, { compilerOptions: MODULE }).outputText
  if (info === 'sh') return code.replace(/ +# .*$/gm, '')
  return code
}

/** Lines that a program says it prints: `// → TEXT`, in their order. */
export const promisedOutput = ({ code }) => [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text.trim())

/** Files that a document tells the reader to write: a fence below a line that ends with `config/NAME`. */
export function configurationFiles(name) {
  return readDocument(name).fences.flatMap(({ before, code }) => {
    const file = /`(config\/[\w.]+\.json)`[:：]$/.exec(before)?.[1]
    return file === undefined ? [] : [{ file, code }]
  })
}
