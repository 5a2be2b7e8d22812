'use strict'

// Calls providers that are objects of JavaScript, on behalf of the native core.

const { GatewayError, invalidRequest } = require('./errors.js')
const { HandleTable } = require('./handle-table.js')
const {
  CHAT,
  CHAT_STREAM,
  CUSTOM_CHAT_FIELDS,
  CUSTOM_CHUNKS_AHEAD,
  CUSTOM_EMBED_FIELDS,
  EMBED,
} = require('./protocol.js')

/** Streams of custom providers under way, by callback number. */
const streams = new Map()

/** What providers have thrown, as `{error}`, while a call may have to throw it: calls that share one throw the same. */
const thrown = new HandleTable()

/** Says nothing about the provider, which was not asked. */
const CALLER_LEFT = {
  kind: 'aborted',
  message: 'The provider could not be asked: the caller that began this call has left',
}

/** Calls a provider for `call`, whose handlers and context are the caller's; `undefined` once the caller has left. */
function callCustom(bridge, call, { callback, provider: index, model, maxTokens, method }) {
  if (call === undefined) return bridge.customFailed(callback, 0, JSON.stringify(CALLER_LEFT))
  const provider = call.customs[index]
  const options = optionsOf(call.request, method, model, maxTokens)
  call.context.runInAsyncScope(RUN[method], undefined, bridge, callback, provider, options, call).catch((error) => {
    bridge.customFailed(callback, thrown.add({ error }), JSON.stringify(describeThrown(error)))
  })
}

/** OpenAI's own words for fields of a request. */
const OPENAI_WORDS = {
  toolChoice: 'tool_choice',
  topP: 'top_p',
  topK: 'top_k',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  reasoningEffort: 'reasoning_effort',
  responseFormat: 'response_format',
}

/** What the provider is given: exactly the original's fields, and those of ours that are set, as the caller wrote them. */
function optionsOf(request, method, model, maxTokens) {
  const options =
    method === EMBED
      ? { model, input: [request.input].flat() }
      : { model, messages: request.messages, maxTokens, temperature: request.temperature ?? undefined }
  for (const field of method === EMBED ? CUSTOM_EMBED_FIELDS : CUSTOM_CHAT_FIELDS) {
    const value = request[field] ?? request[OPENAI_WORDS[field]]
    if (value != null) options[field] = value
  }
  if (method === CHAT_STREAM) options.stream = true
  return options
}

// Anything can be thrown, things that cannot be written as text too.
function describeThrown(error) {
  try {
    return describeError(error)
  } catch {
    return { message: 'a custom provider failed' }
  }
}

// What the core must know of an error to choose the next step; the error itself stays here.
function describeError(error) {
  if (GatewayError.isInstance(error)) {
    const { message, kind, code } = error
    return { message: String(message), kind: stringOrNone(kind), code: stringOrNone(code), ...upstreamFigures(error) }
  }
  if (error instanceof ProviderFault) return { message: error.message, kind: 'provider_response' }
  if (!(error instanceof Error)) return { message: String(error) }
  return { message: String(error.message), ...ownWords(error) }
}

// What the errors of vendors' SDKs and of HTTP clients say of the answer that they stand for.
function ownWords(error) {
  try {
    const { status, statusCode, response, type, code } = error
    const upstreamStatus = [status, statusCode, response?.status].find((number) => Number.isInteger(number))
    return {
      upstreamStatus: clampInt(upstreamStatus, 999),
      upstreamType: stringOrNone(type),
      upstreamCode: stringOrNone(code),
    }
  } catch {
    return undefined
  }
}

const stringOrNone = (value) => (typeof value === 'string' ? value : undefined)

// By these the core attributes the failure. A program may have put anything in their place.
function upstreamFigures(error) {
  try {
    const { upstreamStatus, retryAfterMs } = error.details ?? {}
    return {
      upstreamStatus: clampInt(upstreamStatus, 999),
      retryAfterMs: clampInt(retryAfterMs, Number.MAX_SAFE_INTEGER),
    }
  } catch {
    return undefined
  }
}

/** A whole number from 0 to `most`, rounded up; `undefined` for anything else. */
function clampInt(number, most) {
  return typeof number === 'number' && number >= 0 ? Math.min(Math.ceil(number), most) : undefined
}

/** What a provider of the program's own did not do as it must. */
class ProviderFault extends Error {}
Object.defineProperty(ProviderFault.prototype, 'name', { value: 'Error' })

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
    throw new ProviderFault(`Provider "${provider.name}" does not support streaming`)
  }
  const stream = new CustomStream()
  streams.set(callback, stream)
  try {
    await stream.run(bridge, callback, provider, await provider.chatStream(options))
  } finally {
    streams.delete(callback)
  }
}

const RUN = { [CHAT]: runChat, [CHAT_STREAM]: runStream, [EMBED]: runEmbed }

/** Pushes a provider's chunks to Rust, and waits when it is too far ahead of the reader. */
class CustomStream {
  #iterator = undefined
  #cancelled = false
  /** Chunks that the reader has not read yet. */
  #ahead = 0
  /** Ends the wait for the reader. */
  #proceed = undefined
  /** The first half of a surrogate pair that a chunk ended with: it crosses with its other half. */
  #highSurrogate = ''

  async run(bridge, callback, provider, result) {
    const source = result.stream ?? result.events
    // Chunks end when they end; typed events say so.
    let ended = result.stream != null
    const iterator = source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]()
    this.#iterator = iterator
    // The call may have ended before there was anything to close.
    if (this.#cancelled) return close(iterator)
    for (;;) {
      const { value, done } = await iterator.next()
      if (this.#cancelled) return undefined
      if (done) {
        if (!ended) throw new ProviderFault(`Provider "${provider.name}" ended its events without one of type "done"`)
        const delta = this.#highSurrogate
        if (delta !== '') bridge.customChunks(callback, JSON.stringify([{ delta }]))
        return bridge.customDone(callback, JSON.stringify(await result.getUsage?.()) ?? 'null')
      }
      ended ||= value?.type === 'done'
      if (!bridge.customChunks(callback, JSON.stringify([this.#joinSurrogates(value)]))) return close(iterator)
      if (++this.#ahead >= CUSTOM_CHUNKS_AHEAD) await new Promise((resolve) => (this.#proceed = resolve))
    }
  }

  #joinSurrogates(chunk) {
    if (this.#highSurrogate === '' && !endsInHighSurrogate(chunk?.delta)) return chunk
    const delta = this.#highSurrogate + (chunk?.delta ?? '')
    this.#highSurrogate = endsInHighSurrogate(delta) ? delta.at(-1) : ''
    return { ...chunk, delta: this.#highSurrogate === '' ? delta : delta.slice(0, -1) }
  }

  /** The reader has read `chunks` more. */
  resume(chunks) {
    this.#ahead -= chunks
    this.#proceed?.()
    this.#proceed = undefined
  }

  /** Nobody waits for chunks any more. */
  cancel() {
    this.#cancelled = true
    if (this.#iterator !== undefined) close(this.#iterator)
    this.#proceed?.()
  }
}

function endsInHighSurrogate(text) {
  const last = typeof text === 'string' ? text.charCodeAt(text.length - 1) : 0
  return last >= 0xd800 && last <= 0xdbff
}

// A provider's own clean-up may fail; the call it belongs to has ended.
function close(iterator) {
  Promise.resolve()
    .then(() => iterator.return?.())
    .catch(() => {})
}

const cancelCustom = (callback) => streams.get(callback)?.cancel()

const resumeCustom = (callback, chunks) => streams.get(callback)?.resume(chunks)

module.exports = { callCustom, cancelCustom, resumeCustom, thrown }
