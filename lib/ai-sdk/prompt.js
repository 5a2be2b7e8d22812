'use strict'

// The SDK's prompt as messages of the gateway.

const { unsupported } = require('./errors.js')

/** The messages of a prompt; `warn(feature, details)` reports what is left out. */
function toMessages(prompt, warn) {
  return prompt.flatMap((message) => {
    switch (message.role) {
      case 'system':
        return marked({ role: 'system', content: message.content }, message)
      case 'user':
        return marked({ role: 'user', content: lean(message.content.map(userPart)) }, message)
      case 'assistant':
        return assistantTurn(message, warn)
      case 'tool':
        return toolResults(message, warn)
      default:
        throw unsupported(`messages of role "${message.role}"`)
    }
  })
}

/** Sets the mark for prompt caching that `holder`, a message or part of the SDK, has in Anthropic's words or ours. */
function marked(target, ...holders) {
  const has = ({ providerOptions }) => {
    const { gateway, anthropic } = providerOptions ?? {}
    return (gateway?.cacheControl ?? anthropic?.cacheControl ?? anthropic?.cache_control) != null
  }
  if (holders.some(has)) target.cacheControl = 'ephemeral'
  return target
}

/** A lone text is a string: providers written for plain messages then understand it. */
function lean(parts) {
  if (parts.length === 0) return ''
  const [first] = parts
  const isPlain = parts.length === 1 && first.type === 'text' && first.cacheControl === undefined
  return isPlain ? first.text : parts
}

function userPart(part) {
  return marked(part.type === 'text' ? { type: 'text', text: part.text } : filePart(part), part)
}

/** Images, audio and documents; the SDK has fetched what is not an image. */
function filePart({ data, mediaType = '', filename }) {
  const family = mediaType.split('/')[0]
  if (data instanceof URL) {
    if (family === 'image') return { type: 'image', url: data.href }
    throw unsupported(`${mediaType} files by URL`)
  }
  const text =
    typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')
  // The SDK's word for an image it could not make out; vendors look at the bytes.
  if (family === 'image')
    return { type: 'image', data: text, mimeType: mediaType === 'image/*' ? 'image/jpeg' : mediaType }
  if (family === 'audio') return { type: 'audio', data: text, mimeType: mediaType }
  return { type: 'file', data: text, mimeType: mediaType, ...(filename !== undefined && { name: filename }) }
}

/**
 * Text and calls. Reasoning goes back as its vendor's blocks, which may ride on any part of the turn; of a turn without them its
 * text is kept for the services that want that.
 */
function assistantTurn(message, warn) {
  const parts = []
  const toolCalls = []
  const reasoningDetails = []
  let reasoning = ''
  for (const part of message.content) {
    reasoningDetails.push(...(part.providerOptions?.gateway?.reasoningDetails ?? []))
    if (part.type === 'text') parts.push({ type: 'text', text: part.text })
    else if (part.type === 'file') parts.push(filePart(part))
    else if (part.type === 'tool-call' && !part.providerExecuted) toolCalls.push(toolCall(part))
    else if (part.type === 'reasoning') reasoning += part.text
    else warn(`${part.type} of a tool that a provider ran`, 'It is left out of the conversation.')
  }
  const isText = parts.every((part) => part.type === 'text')
  const text = isText ? parts.map((part) => part.text).join('') : ''
  const turn = { role: 'assistant', content: isText ? text : parts }
  if (isText && text === '' && toolCalls.length > 0) turn.content = null
  if (toolCalls.length > 0) turn.toolCalls = toolCalls
  if (reasoningDetails.length === 0 && reasoning !== '')
    reasoningDetails.push({ type: 'reasoning_content', text: reasoning })
  if (reasoningDetails.length > 0) turn.reasoningDetails = reasoningDetails
  return marked(turn, message, ...message.content)
}

function toolCall({ toolCallId: id, toolName: name, input, providerOptions }) {
  const isObject = input !== null && typeof input === 'object' && !Array.isArray(input)
  const call = { id, name, arguments: isObject ? input : {} }
  // The SDK hands on what was no JSON object as the model wrote it.
  if (!isObject && input !== undefined) call.rawArguments = typeof input === 'string' ? input : JSON.stringify(input)
  const signature = providerOptions?.gateway?.signature
  return signature === undefined ? call : { ...call, signature }
}

function toolResults(message, warn) {
  // The other parts approve of tools that providers run.
  const results = message.content.filter((part) => part.type === 'tool-result')
  return results.map((part, index) => {
    const result = { role: 'tool', toolCallId: part.toolCallId, content: resultContent(part.output, warn) }
    if (part.output.type.startsWith('error-')) result.isError = true
    return index === results.length - 1 ? marked(result, part, message) : marked(result, part)
  })
}

function resultContent(output, warn) {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value) ?? 'null'
    case 'execution-denied':
      return output.reason ?? 'Tool execution denied.'
    case 'content':
      return lean(output.value.flatMap((part) => resultPart(part, warn)))
    default:
      throw unsupported(`tool results of type "${output.type}"`)
  }
}

function resultPart(part, warn) {
  switch (part.type) {
    case 'text':
      return marked({ type: 'text', text: part.text }, part)
    // Version 2 of the SDK's interfaces has `media` alone.
    case 'media':
    case 'file-data':
    case 'image-data':
      return marked(filePart(part), part)
    case 'image-url':
      return marked({ type: 'image', url: part.url }, part)
    case 'file-url':
      if (part.mediaType?.startsWith('image/')) return marked({ type: 'image', url: part.url }, part)
  }
  warn(`tool result content of type "${part.type}"`, 'It is left out of the result.')
  return []
}

module.exports = { toMessages }
