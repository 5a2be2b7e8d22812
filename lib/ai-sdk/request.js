'use strict'

// What the SDK asks, as a request of the gateway.

const { toMessages } = require('./prompt.js')

/** What `providerOptions.gateway` may set in every request. */
const ROUTING = ['model', 'taskType', 'feature', 'userTier', 'userId', 'sensitivity', 'metadata', 'cache', 'timeoutMs']
const CHAT = [...ROUTING, 'reasoningEffort', 'strictJsonSchema']
const EMBEDDING = [...ROUTING, 'dimensions']

/** `{request, warnings}` of a language model's call; `layers` are fields that the call's own go before. */
function chatRequest(layers, call) {
  const { warnings, warn, options } = begin(call, CHAT)
  if (call.includeRawChunks) warn('includeRawChunks')
  const { strictJsonSchema, ...own } = options.own
  const tools = toTools(call.tools ?? [], warn)
  const asked = {
    maxTokens: call.maxOutputTokens,
    temperature: call.temperature,
    topP: call.topP,
    topK: call.topK,
    stop: call.stopSequences?.length > 0 ? call.stopSequences : undefined,
    seed: call.seed,
    presencePenalty: call.presencePenalty,
    frequencyPenalty: call.frequencyPenalty,
    responseFormat: toResponseFormat(call.responseFormat, strictJsonSchema),
    tools: tools.length > 0 ? tools : undefined,
    toolChoice: tools.length > 0 ? toToolChoice(call.toolChoice) : undefined,
    messages: toMessages(call.prompt, warn),
    signal: call.abortSignal,
  }
  return { request: layered(...layers, asked, own, options.families), warnings }
}

/** The same of an embedding model's call. */
function embedRequest(layers, call) {
  const { warnings, options } = begin(call, EMBEDDING)
  const asked = { input: call.values, signal: call.abortSignal }
  return { request: layered(...layers, asked, options.own, options.families), warnings }
}

/** What every call has: warnings, and options of the gateway's own beside those of families. */
function begin({ headers, providerOptions }, known) {
  const warnings = []
  const warn = (feature, details) => warnings.push({ type: 'unsupported', feature, ...(details && { details }) })
  // The SDK itself always says who it is.
  const named = Object.keys(headers ?? {}).filter(
    (name) => name.toLowerCase() !== 'user-agent' && headers[name] !== undefined,
  )
  if (named.length > 0) warn('headers', 'Set them in the provider entry of the gateway.')

  const { gateway, ...families } = providerOptions ?? {}
  const own = {}
  for (const [field, value] of Object.entries(gateway ?? {})) {
    if (known.includes(field)) own[field] = value
    else warn(`providerOptions.gateway.${field}`)
  }
  return { warnings, warn, options: { own, families: { providerOptions: families } } }
}

/** One request of several; what is set in a later one goes before. Options of families are joined. */
function layered(...layers) {
  const request = {}
  for (const layer of layers) {
    for (const [field, value] of Object.entries(layer)) {
      if (value == null) continue
      if (field === 'providerOptions') addOptions(request, value)
      else request[field] = value
    }
  }
  return request
}

function addOptions(request, families) {
  for (const [family, fields] of Object.entries(families)) {
    request.providerOptions = {
      ...request.providerOptions,
      [family]: { ...request.providerOptions?.[family], ...fields },
    }
  }
}

function toTools(tools, warn) {
  return tools.flatMap((tool) => {
    if (tool.type !== 'function') {
      warn(`tool "${tool.name}" (${tool.id})`, 'Tools that providers run are not offered to the model.')
      return []
    }
    const { name, description, inputSchema: parameters, strict, inputExamples } = tool
    if (inputExamples?.length > 0) warn(`inputExamples of tool "${name}"`)
    return {
      name,
      ...(description !== undefined && { description }),
      parameters,
      ...(strict !== undefined && { strict }),
    }
  })
}

function toToolChoice(choice) {
  return choice?.type === 'tool' ? { name: choice.toolName } : choice?.type
}

function toResponseFormat(format, strict) {
  if (format?.type !== 'json') return undefined
  const { schema, name, description } = format
  if (schema === undefined) return 'json'
  return {
    jsonSchema: description === undefined ? schema : { description, ...schema },
    ...(name !== undefined && { name }),
    ...(strict !== undefined && { strict }),
  }
}

module.exports = { chatRequest, embedRequest }
