import { readFileSync } from 'node:fs'

const LINE = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)$/
const ESCAPES = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' }

/**
 * Sets the variables of a `.env` file. What is set already stays as it is; so a key can be switched off for one run
 * with `OPENAI_API_KEY= npm run demo`. An empty value in the file counts as none.
 *
 * @returns whether there is such a file
 */
export function loadEnv(file) {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return false
    console.warn(`Cannot read ${file}: ${error.message}`)
    return false
  }
  for (const [name, value] of Object.entries(parseEnv(text))) {
    if (value !== '') process.env[name] ??= value
  }
  return true
}

/** `KEY=VALUE` lines, with quotes, comments and an `export` before them. Of two lines with one key the last wins. */
export function parseEnv(text) {
  const variables = {}
  for (const line of text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)) {
    const found = LINE.exec(line)
    if (found) variables[found[1]] = parseValue(found[2])
  }
  return variables
}

function parseValue(raw) {
  // After a closing quote only a comment may stand; otherwise the quotes are part of the value.
  const quoted = /^(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?$/.exec(raw)
  if (quoted?.[1] !== undefined) return quoted[1].replace(/\\(.)/g, (written, letter) => ESCAPES[letter] ?? written)
  if (quoted) return quoted[2]
  // A # in the middle of a word belongs to the value: passwords have them.
  return raw.replace(/(^|\s)#.*$/, '').trim()
}
