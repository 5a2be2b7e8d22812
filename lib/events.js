'use strict'

// A stream's answer as typed events.

const RARE_COUNTS = ['cacheReadTokens', 'cacheWriteTokens', 'reasoningTokens']

/** Over a stream's reader: text and reasoning as they come, then each tool call, then `done`. */
class EventReader {
  #reader
  /** The reading of chunks, once this reader has begun it. */
  #chunks = undefined
  #summary
  #name
  /** The events that are left once the text has ended. */
  #last = undefined
  /** Settles when the calls of `next` so far are answered. */
  #turn = Promise.resolve()

  /** `summary()` resolves to the whole answer, once the reader has ended; `name` is what its own reader calls this one. */
  constructor(reader, summary, name = 'events') {
    this.#reader = reader
    this.#summary = summary
    this.#name = name
  }

  [Symbol.asyncIterator]() {
    return this
  }

  // One after the other: overlapping calls get each event once, in their order.
  next() {
    const event = this.#turn.then(() => this.#next())
    this.#turn = event.catch(() => {})
    return event
  }

  async #next() {
    this.#chunks ??= this.#reader.readAs(this.#name, toText, toReasoning)
    while (this.#last === undefined) {
      const { value, done } = await this.#chunks.next().catch((error) => this.#fail(error))
      if (done) this.#last ??= this.#reader.closed ? [] : lastEvents(await this.#summary())
      else if (value !== undefined) return { value, done: false }
    }
    const value = this.#last.shift()
    return { value, done: value === undefined }
  }

  // An answer that has failed is not done.
  #fail(error) {
    this.#last = []
    throw error
  }

  async return(value) {
    this.#last = []
    return this.#reader.return(value)
  }
}

// Chunks without text carry a finish reason or a model: they are no events.
function toText(delta) {
  return delta === '' ? undefined : { type: 'text', delta }
}

function toReasoning(delta) {
  return { type: 'reasoning', delta }
}

function lastEvents(answer) {
  const events = (answer.toolCalls ?? []).map(toToolUse)
  const { inputTokens, outputTokens, totalTokens, estimatedCostUsd } = answer
  const usage = { inputTokens, outputTokens, totalTokens, estimatedCostUsd }
  for (const count of RARE_COUNTS) {
    if (answer[count] !== undefined) usage[count] = answer[count]
  }
  return [...events, { type: 'done', usage, finishReason: answer.finishReason ?? 'stop' }]
}

function toToolUse({ id, name, arguments: input, rawArguments, signature }) {
  const event = { type: 'tool_use', id, name, input }
  if (rawArguments !== undefined) event.rawInput = rawArguments
  if (signature !== undefined) event.signature = signature
  return event
}

/** The same events as a web stream; cancelling it closes the answer. Nothing is read before the web stream is. */
function toReadableStream(events) {
  const source = {
    async pull(controller) {
      const { value, done } = await events.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await events.return()
    },
  }
  return new ReadableStream(source, { highWaterMark: 0 })
}

module.exports = { EventReader, toReadableStream }
