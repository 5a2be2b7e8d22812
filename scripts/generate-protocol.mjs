// Writes lib/protocol.js from what the addon says of the protocol (src/protocol.rs). The build runs it.
import { realpathSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './addon.mjs'

export const protocolPath = path.join(root, 'lib', 'protocol.js')

/** Fields that the original's log entries always have, in its order; undefined where there is nothing to say. */
const ORIGINAL_LOG_FIELDS = [
  'timestamp',
  'requestId',
  'provider',
  'model',
  'routeRule',
  'feature',
  'userTier',
  'success',
  'inputTokens',
  'outputTokens',
  'totalTokens',
  'estimatedCostUsd',
  'latencyMs',
  'fallbackTriggered',
  'fallbackFrom',
]

/** The text of lib/protocol.js; `protocol` is JSON from the addon. */
export function renderProtocol(protocol) {
  const { messages, chunks, customMethods, customChunksAhead, customChatFields, customEmbedFields, logEntry } =
    JSON.parse(protocol)
  const blocks = [
    "'use strict'",
    '// Generated from src/protocol.rs by scripts/generate-protocol.mjs, which the build runs. Do not edit.',
    section('Chunks of a stream that are more than text; text alone is a plain string.', chunks.map(chunkConstant)),
    section('Methods of custom providers.', [
      ...customMethods.map((method) => `const ${constantName(method)} = '${method}'`),
      `const CUSTOM_METHODS = [${customMethods.map(constantName).join(', ')}]`,
    ]),
    section('Chunks that a custom provider may be ahead of its reader before its iterator waits.', [
      `const CUSTOM_CHUNKS_AHEAD = ${customChunksAhead}`,
    ]),
    section('Fields of requests that custom providers are given as the caller wrote them.', [
      list('CUSTOM_CHAT_FIELDS', customChatFields),
      list('CUSTOM_EMBED_FIELDS', customEmbedFields),
    ]),
    dispatcher(messages),
    logEntryFunction(logEntry),
    exportsOf([
      ...chunks.map(chunkName),
      ...customMethods.map(constantName),
      'CUSTOM_CHAT_FIELDS',
      'CUSTOM_CHUNKS_AHEAD',
      'CUSTOM_EMBED_FIELDS',
      'CUSTOM_METHODS',
      'dispatch',
      'logEntryOf',
    ]),
  ]
  return `${blocks.join('\n\n')}\n`
}

const section = (comment, lines) => [`// ${comment}`, ...lines].join('\n')

const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())

const constantName = (name) => name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()

const chunkName = ({ name }) => `CHUNK_${constantName(name)}`

function chunkConstant({ name, kind, fields, doc }) {
  const layout = [chunkName({ name }), ...fields.map(camelCase)].join(', ')
  return `/** \`[${layout}]\`:${doc.join('')} */\nconst ${chunkName({ name })} = ${kind}`
}

function list(name, values) {
  const line = `const ${name} = [${values.map((value) => `'${value}'`).join(', ')}]`
  return line.length <= 120 ? line : [`const ${name} = [`, ...values.map((value) => `  '${value}',`), ']'].join('\n')
}

/** The one place that knows the messages' positions: handlers have a parameter for each field. */
function dispatcher(messages) {
  const cases = messages.flatMap(({ name, kind, fields, doc }) => {
    const handler = name[0].toLowerCase() + name.slice(1)
    const parameters = fields.map((_, index) => `message[${index + 1}]`)
    return [
      ...doc.map((line) => `    //${line}`),
      `    // [${[kind, ...fields.map(camelCase)].join(', ')}]`,
      `    case ${kind}:`,
      `      return handlers.${handler}(${parameters.join(', ')})`,
    ]
  })
  return [
    '/** Gives a message to the handler of its kind. */',
    'function dispatch(message, handlers) {',
    '  switch (message[0]) {',
    ...cases,
    '    default:',
    '      return handlers.unknown(message[0])',
    '  }',
    '}',
  ].join('\n')
}

/** One property a line, without a loop over names: every call comes through here. */
function logEntryFunction({ answer, log }) {
  const fields = [
    ...answer.map((field) => ({ ...field, source: 'answer' })),
    ...log.map((field) => ({ ...field, source: 'log' })),
  ]
  const originals = ORIGINAL_LOG_FIELDS.map((name) => {
    const field = fields.find((known) => known.name === name)
    if (field === undefined) throw new Error(`the addon knows no field "${name}" of log entries`)
    return field
  })
  const others = fields.filter(({ name }) => !ORIGINAL_LOG_FIELDS.includes(name))
  return [
    '/** The log entry of a success: `log` is what the answer has not, which therefore crosses only once. */',
    'function logEntryOf(answer, log) {',
    '  const entry = {',
    ...originals.map(({ name, source }) => `    ${name}: ${source}.${name},`),
    '  }',
    ...others.map(({ name, source, optional }) => {
      const assignment = `entry.${name} = ${source}.${name}`
      return optional ? `  if (${source}.${name} !== undefined) ${assignment}` : `  ${assignment}`
    }),
    '  return entry',
    '}',
  ].join('\n')
}

function exportsOf(names) {
  return ['module.exports = {', ...names.sort().map((name) => `  ${name},`), '}'].join('\n')
}

if (fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  const native = createRequire(import.meta.url)('../native.js')
  writeFileSync(protocolPath, renderProtocol(native.protocol()))
}
