// Writes THIRD-PARTY-NOTICES.txt: the licences of all that is part of the addon. `--check` says instead whether the file
// is what would be written.
//
// Crates are those that cargo links for the platforms of package.json; their texts lie in their sources. What else is part
// of the program, or comes under a licence of its own inside a crate, stands in scripts/notices/.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { manifest, root } from './addon.mjs'

const target = path.join(root, 'THIRD-PARTY-NOTICES.txt')
const lineBreak = '\n'
const rule = '='.repeat(80)

/** Where a crate gives a choice, the first of these is taken. */
const PREFERRED = [
  'MIT',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Zlib',
  'Unicode-3.0',
  'CDLA-Permissive-2.0',
  'Apache-2.0',
]

/** Which licence a file is the text of, by its name. All others belong to the crate whatever is chosen. */
const NAMED = [
  ['Apache-2.0', /apache/i],
  ['MIT', /mit\b/i],
  ['ISC', /isc\b/i],
  ['BSD-2-Clause', /bsd$/i],
  ['BSL-1.0', /boost$/i],
  ['Unlicense', /^(unlicense|copying)$/i],
]

/** Its vocabularies have notices of their own (scripts/notices/); the crate's list names some that are left out here. */
const NOT_OURS = [/tiktoken-[\d.]+\/LICENSE-3RD-PARTY$/]

/** All crates that are part of the addon on some platform, without those that only run while it is built. */
function linkedCrates() {
  const platforms = manifest.napi.targets.flatMap((triple) => ['--filter-platform', triple])
  const args = ['metadata', '--format-version', '1', '--locked', '--all-features', ...platforms]
  const output = execFileSync('cargo', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  const { packages, resolve } = JSON.parse(output)
  const packageOf = new Map(packages.map((each) => [each.id, each]))
  const nodeOf = new Map(resolve.nodes.map((node) => [node.id, node]))

  const isMacro = (id) => packageOf.get(id).targets.some(({ kind }) => kind.includes('proc-macro'))
  const found = new Set([resolve.root])
  for (const id of found) {
    for (const { pkg, dep_kinds } of nodeOf.get(id).deps) {
      if (dep_kinds.some(({ kind }) => kind === null) && !isMacro(pkg)) found.add(pkg)
    }
  }
  const crates = [...found].map((id) => packageOf.get(id)).filter(({ source }) => source !== null)
  const key = ({ name, version }) => `${name} ${version}`
  return crates.sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

/** The licences that hold for a crate: one of each choice. */
function chosen(expression) {
  const words = expression.replaceAll('/', ' OR ').match(/[()]|[^\s()]+/g)
  const alternatives = () => {
    const all = [together()]
    while (words[0] === 'OR') {
      words.shift()
      all.push(together())
    }
    const place = (names) => Math.max(...names.map((name) => (PREFERRED.indexOf(name) + 1 || Infinity) - 1))
    return all.sort((a, b) => place(a) - place(b))[0]
  }
  const together = () => {
    const all = one()
    while (words[0] === 'AND') {
      words.shift()
      all.push(...one())
    }
    return all
  }
  const one = () => {
    const word = words.shift()
    if (word !== '(') return [word]
    const inner = alternatives()
    words.shift()
    return inner
  }
  return [...new Set(alternatives())]
}

/** The texts of a crate that belong to the licences chosen, those of sources inside it too. */
function textsOf(crate, licences) {
  const files = readdirSync(path.dirname(crate.manifest_path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /^(un)?licen[cs]e|^(copying|copyright|notice)/i.test(entry.name))
    .filter((entry) => !entry.name.endsWith('.rs'))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !NOT_OURS.some((left) => left.test(file.replaceAll(path.sep, '/'))))
    .filter((file) => {
      const [named] = NAMED.find(([, pattern]) => pattern.test(path.basename(file))) ?? []
      return named === undefined || licences.includes(named)
    })
    .sort()
  const texts = files.map((file) => readFileSync(file, 'utf8'))
  if (texts.length > 0) return texts
  // Its sources came without a text: the licence's own words.
  const holders = crate.authors.length > 0 ? crate.authors.join(', ') : `the authors of ${crate.name}`
  return licences.map((name) => `${holders}\n\n${standardText(name)}`)
}

function standardText(name) {
  return readFileSync(path.join(root, 'scripts', 'notices', 'licences', `${name}.txt`), 'utf8')
}

/** Data and libraries that are no crate: a file each, whose last line may name a licence's text to follow. */
function others() {
  const dir = path.join(root, 'scripts', 'notices')
  const names = readdirSync(dir).filter((name) => name.endsWith('.txt'))
  return names.sort().map((name) => {
    const lines = tidy(readFileSync(path.join(dir, name), 'utf8')).split(lineBreak)
    const [, licence] = lines.at(-1).match(/^\[text of (.+)\]$/) ?? []
    return licence ? [...lines.slice(0, -1), tidy(standardText(licence))].join(lineBreak) : lines.join(lineBreak)
  })
}

function tidy(text) {
  const lines = text.replaceAll('\r\n', lineBreak).split(lineBreak)
  return lines
    .map((line) => line.trimEnd())
    .join(lineBreak)
    .replace(/^\n+|\n+$/g, '')
}

function notices() {
  const list = []
  /** Each text once, with those it is for. Texts that differ in their line breaks alone are the same. */
  const groups = new Map()
  for (const crate of linkedCrates()) {
    const licences = chosen(crate.license)
    const label = `${crate.name} ${crate.version}`
    list.push(`  ${label} (${licences.join(' and ')})`)
    for (const text of textsOf(crate, licences)) {
      const key = text.replace(/\s+/g, ' ').trim()
      if (!groups.has(key)) groups.set(key, { text: tidy(text), users: new Set() })
      groups.get(key).users.add(label)
    }
  }
  const texts = [...groups.values()].map(({ text, users }) => `${wrap([...users].join(', '))}\n\n${text}`)
  const parts = [
    `Third-party notices of ${manifest.name}

The native addon is made of the sources of ${manifest.name}, which LICENSE is for, and of the work of others that is listed
here with its licences. Written by \`npm run notices\`.

Data and libraries that are no crates come first, then these crates:

${list.join(lineBreak)}`,
    ...others(),
    ...texts,
  ]
  return `${parts.join(`\n\n${rule}\n\n`)}\n`
}

function wrap(text) {
  return text.replace(/(.{1,110})(, |$)/g, (_, line, end) => line + (end && ',\n')).trimEnd()
}

/** Each vocabulary of the program has its notice, and no other has one. */
function checkVocabularies() {
  const places = ['crates/pricing/src/vocabularies.rs', 'src/pricing/vocabularies.rs']
  const source = places.map((place) => path.join(root, place)).find(existsSync)
  const [, list] = readFileSync(source, 'utf8').match(/^vocabularies!\s*[({]\s*([a-z0-9_\s]+)[)}]/m)
  const linked = list.trim().split(/\s+/).sort()
  const noticed = others()
    .map((text) => text.split(lineBreak)[0])
    .filter((title) => title.startsWith('Vocabular'))
    .flatMap((title) => title.slice(title.indexOf(':')).match(/[a-z0-9]+_[a-z0-9_]+|qwen\d+|glm\d+/g))
    .sort()
  if (linked.join() !== noticed.join()) {
    throw new Error(`vocabularies of the program: ${linked}; those with a notice in scripts/notices/: ${noticed}`)
  }
}

checkVocabularies()
const written = notices()
if (!process.argv.includes('--check')) {
  writeFileSync(target, written)
} else if (!existsSync(target) || readFileSync(target, 'utf8').replaceAll('\r\n', '\n') !== written) {
  console.error('THIRD-PARTY-NOTICES.txt is not that of the crates in Cargo.lock: run `npm run notices`')
  process.exitCode = 1
}
