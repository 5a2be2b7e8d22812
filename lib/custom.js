'use strict'

// Calls providers that are objects of JavaScript, on behalf of the native core.

const { GatewayError, invalidRequest } = require('./errors.js')

// Chunks a provider may be ahead of the reader before its iterator rests.
const AHEAD = 256

/** What a request may ask beside its messages; providers see it as the caller wrote it. */
const REQUEST_FIELDS = [
  'topP',
  'topK',
  'stop',
  'seed',
  'presencePenalty',
  'frequencyPenalty',
  'reasoningEffort',
  'tools',
  'toolChoice',
  'responseFormat',
  'userId',
  'metadata',
  'providerOptions',
]

const EMBED_FIELDS = ['dimensions', 'userId', 'metadata', 'providerOptions']

/** Streams of custom providers under way, by callback number. */
const streams = new Map()

/** Says nothing about the provider, which was not asked. */
const CALLER_LEFT = {
  id: 0,
  kind: 'aborted',
  message: 'The provider could not be asked: the caller that began this call has left',
}

/** `message` is `[kind, call, callback, provider, model, maxTokens, method]`. */
function callCustom(bridge, owner, [, , callback, index, model, maxTokens, method]) {
  const call = owner?.call ?? owner
  if (call === undefined) return bridge.customFailed(callback, JSON.stringify(CALLER_LEFT))
  const provider = call.customs[index]
  const options = optionsOf(call.request, method, model, maxTokens ?? undefined)
  call.context.runInAsyncScope(RUN[method], undefined, bridge, callback, provider, options, call).catch((error) => {
    call.thrown ??= []
    const id = call.thrown.push(error) - 1
    bridge.customFailed(callback, JSON.stringify({ id, ...describeAnything(error) }))
  })
}

/** What the provider is given: exactly the original's fields, and those of ours that are set. */
function optionsOf(request, method, model, maxTokens) {
  const options =
    method === 'embed'
      ? { model, input: [request.input].flat() }
      : { model, messages: request.messages, maxTokens, temperature: request.temperature ?? undefined }
  for (const field of method === 'embed' ? EMBED_FIELDS : REQUEST_FIELDS) {
    if (request[field] != null) options[field] = request[field]
  }
  if (method === 'chatStream') options.stream = true
  return options
}

// What the core must know of an error to choose the next step; the error itself stays here.
function describe(error) {
  if (GatewayError.isInstance(error)) {
    return { message: String(error.message), kind: textOf(error.kind), code: textOf(error.code), ...figuresOf(error) }
  }
  if (error instanceof NotStreaming) return { message: error.message, kind: 'provider_response' }
  return { message: error instanceof Error ? String(error.message) : String(error) }
}

const textOf = (value) => (typeof value === 'string' ? value : undefined)

// By these the core attributes the failure. A program may have put anything in their place.
function figuresOf(error) {
  try {
    const { upstreamStatus, retryAfterMs } = error.details ?? {}
    return { upstreamStatus: whole(upstreamStatus, 999), retryAfterMs: whole(retryAfterMs, Number.MAX_SAFE_INTEGER) }
  } catch {
    return undefined
  }
}

/** A number that the core can read; a wait is rounded up. */
function whole(number, most) {
  return typeof number === 'number' && number >= 0 ? Math.min(Math.ceil(number), most) : undefined
}

// Anything can be thrown, things without words for themselves too.
function describeAnything(error) {
  try {
    return describe(error)
  } catch {
    return { message: 'a custom provider failed' }
  }
}

class NotStreaming extends Error {}
Object.defineProperty(NotStreaming.prototype, 'name', { value: 'Error' })

async function runChat(bridge, callback, provider, options, call) {
  const result = await provider.chat(options)
  call.answers?.set(provider, result)
  bridge.customDone(callback, JSON.stringify(result) ?? 'null')
}

async function runEmbed(bridge, callback, provider, options) {
  if (typeof provider.embed !== 'function') {
    throw invalidRequest('request', `provider "${provider.name}" does not take requests for embeddings`)
  }
  const result = await provider.embed(options)
  bridge.customDone(callback, JSON.stringify(result) ?? 'null')
}

async function runStream(bridge, callback, provider, options) {
  if (typeof provider.chatStream !== 'function') {
    throw new NotStreaming(`Provider "${provider.name}" does not support streaming`)
  }
  const state = { iterator: undefined, cancelled: false, ahead: 0, resume: undefined }
  streams.set(callback, state)
  try {
    const result = await provider.chatStream(options)
    const source = result.stream ?? result.events
    const iterator = source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]()
    state.iterator = iterator
    // The call may have ended before there was anything to close.
    if (state.cancelled) return close(iterator)
    let half = ''
    for (;;) {
      const { value, done } = await iterator.next()
      if (state.cancelled) return undefined
      if (done) {
        if (half !== '') bridge.customChunks(callback, JSON.stringify([{ delta: half }]))
        return bridge.customDone(callback, JSON.stringify(await result.getUsage?.()) ?? 'null')
      }
      let chunk = value
      if (half !== '' || endsInHalf(value?.delta)) {
        // A pair of surrogates that was cut in two crosses the border whole.
        const delta = half + (value?.delta ?? '')
        half = endsInHalf(delta) ? delta.at(-1) : ''
        chunk = { ...value, delta: half === '' ? delta : delta.slice(0, -1) }
      }
      if (!bridge.customChunks(callback, JSON.stringify([chunk]))) return close(iterator)
      if (++state.ahead >= AHEAD) await new Promise((resolve) => (state.resume = resolve))
    }
  } finally {
    streams.delete(callback)
  }
}

const RUN = { chat: runChat, chatStream: runStream, embed: runEmbed }

function endsInHalf(text) {
  const last = typeof text === 'string' ? text.charCodeAt(text.length - 1) : 0
  return last >= 0xd800 && last <= 0xdbff
}

// A provider's own clean-up may fail; the call it belongs to has ended.
function close(iterator) {
  Promise.resolve()
    .then(() => iterator.return?.())
    .catch(() => {})
}

/** Nobody waits for this callback any more: its iterator is closed. */
function cancelCustom(callback) {
  const state = streams.get(callback)
  if (state === undefined) return
  state.cancelled = true
  if (state.iterator !== undefined) close(state.iterator)
  state.resume?.()
}

function resumeCustom(callback) {
  const state = streams.get(callback)
  if (state === undefined) return
  state.ahead -= AHEAD / 2
  state.resume?.()
  state.resume = undefined
}

module.exports = { callCustom, cancelCustom, resumeCustom }
