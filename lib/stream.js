'use strict'

const { bridge, hold, release } = require('./bridge.js')
const { GatewayError, invalidRequest } = require('./errors.js')
const { CHUNK_FINISH, CHUNK_REASONING, CHUNK_TEXT } = require('./protocol.js')

// A stream that nobody can read any more is closed, and its upstream with it.
const collected = new FinalizationRegistry((id) => bridge.close(id))
// Keeps streams alive while someone waits for a chunk or for figures: the waiting promise is all that may refer to them.
const awaited = new Set()
const EMPTY = []
/** The name of the chunks themselves among the ways to read an answer. */
const STREAM = 'stream'

/**
 * The chunks of one answer. A plain iterator, not a generator: `return()` cancels at once, also beside a pending
 * `next()`, and overlapping `next()` calls are answered in order.
 */
class StreamReader {
  #id
  #toChunk
  #toReasoning = undefined
  /** Who reads the chunks: `stream`, or what `readAs` was given; `undefined` before anybody has begun. */
  #readBy = undefined
  #model
  /** The chunks being read, and how many of them have been. */
  #chunks = EMPTY
  #at = 0
  #nullFinish = undefined
  /** Batches that have come since. */
  #batches = []
  #waiters = []
  /** Everything that has come, to be joined when somebody asks. */
  #arrived = []
  /** Of the last message. */
  #ended = undefined
  #closed = false
  /** Why the chunks cannot be read: `{reason}`. */
  #fault = undefined
  /** Who waits for figures. */
  #usageRequests = []

  /** `toChunk(delta, model, finishReason)` makes what the reader is given. */
  constructor(id, model, toChunk) {
    this.#id = id
    this.#model = model
    this.#toChunk = toChunk
    collected.register(this, id, this)
  }

  [Symbol.asyncIterator]() {
    return this
  }

  /** Reads the chunks, reasoning too, in what these two make of them. `next()` of this reader is refused from then on. */
  readAs(name, toChunk, toReasoning) {
    if (this.#readBy !== undefined) throw alreadyRead(name, this.#readBy)
    this.#readBy = name
    this.#toChunk = toChunk
    this.#toReasoning = toReasoning
    return { next: () => this.#next() }
  }

  /** All text that has arrived. */
  get text() {
    let text = ''
    for (const chunks of this.#arrived) {
      for (const chunk of chunks) text += textOf(chunk)
    }
    this.#arrived = [[text]]
    return text
  }

  /** `{summary, failure, logged}` once the stream has ended. */
  get ended() {
    return this.#ended
  }

  /** Whether the reader has closed the stream before its end. */
  get closed() {
    return this.#closed
  }

  get model() {
    return this.#model
  }

  /** The figures so far, which are final once the stream has ended. */
  figures() {
    if (this.#ended !== undefined) return Promise.resolve(this.#ended.summary)
    return new Promise((resolve) => {
      this.#usageRequests.push(resolve)
      awaited.add(this)
      hold()
      bridge.requestUsage(this.#id)
    })
  }

  /** Answers those who have requested figures. */
  giveUsage(figures) {
    for (const resolve of this.#usageRequests.splice(0)) {
      release()
      resolve(figures)
    }
    this.#dropUnlessAwaited()
  }

  /** Takes chunks: each a string, or an array of a kind that protocol.js names. */
  push(chunks, nullFinish) {
    this.#arrived.push(chunks)
    if (this.#closed || this.#fault !== undefined) return
    this.#batches.push(chunks, nullFinish ? null : undefined)
    while (this.#waiters.length > 0 && this.#more()) this.#answer().resolve({ value: this.#take(), done: false })
  }

  /** `failure` is `{reason}` when the stream broke off, `logged` settles when the log is written. */
  end(summary, failure, logged) {
    collected.unregister(this)
    this.#ended = { summary, failure: this.#fault ?? failure, logged }
    this.giveUsage(summary)
    while (this.#waiters.length > 0) this.#finish(this.#answer())
  }

  next() {
    this.#readBy ??= STREAM
    return this.#readBy === STREAM ? this.#next() : Promise.reject(alreadyRead(STREAM, this.#readBy))
  }

  #next() {
    if (this.#more()) return Promise.resolve({ value: this.#take(), done: false })
    return new Promise((resolve, reject) => this.#wait({ resolve, reject }))
  }

  /** Closes the stream. Resolves when what came up to now is settled and logged. */
  return(value) {
    if (!this.#closed && this.#ended === undefined) bridge.close(this.#id)
    this.#closed = true
    this.#dropChunks()
    return new Promise((resolve) => {
      const done = () => resolve({ value, done: true })
      this.#wait({ resolve: done, reject: done })
    })
  }

  throw(error) {
    return this.return().then(() => Promise.reject(error))
  }

  #wait(waiter) {
    if (this.#ended !== undefined) {
      this.#finish(waiter)
    } else if (this.#waiters.push(waiter) === 1) {
      awaited.add(this)
      hold()
    }
  }

  #answer() {
    const waiter = this.#waiters.shift()
    if (this.#waiters.length === 0) {
      release()
      this.#dropUnlessAwaited()
    }
    return waiter
  }

  #dropUnlessAwaited() {
    if (this.#waiters.length === 0 && this.#usageRequests.length === 0) awaited.delete(this)
  }

  // The end is reported once: an error to one reader, `done` to all others, and only after the log is written.
  #finish({ resolve, reject }) {
    const { failure, logged } = this.#ended
    this.#ended.failure = undefined
    const settle = () =>
      failure === undefined || this.#closed ? resolve({ value: undefined, done: true }) : reject(failure.reason)
    if (logged === undefined) settle()
    else logged.then(settle)
  }

  /** Whether there is a chunk to take; goes on to the next batch where one is done. */
  #more() {
    for (;;) {
      while (this.#at < this.#chunks.length) {
        const chunk = this.#chunks[this.#at]
        if (typeof chunk === 'string') return true
        switch (chunk[0]) {
          case CHUNK_TEXT:
          case CHUNK_FINISH:
            return true
          case CHUNK_REASONING:
            if (this.#toReasoning !== undefined) return true
            if (++this.#at === this.#chunks.length) this.#acknowledge()
            break
          default:
            this.#break(`the addon sent a chunk of the unknown kind ${chunk[0]}`)
            return false
        }
      }
      if (this.#batches.length === 0) return false
      this.#chunks = this.#batches.shift()
      this.#nullFinish = this.#batches.shift()
      this.#at = 0
    }
  }

  /** The next chunk, once `#more` has found one. */
  #take() {
    const chunk = this.#chunks[this.#at++]
    if (this.#at === this.#chunks.length) this.#acknowledge()
    if (typeof chunk === 'string') return this.#toChunk(chunk, this.#model, this.#nullFinish)
    const [kind, delta, model, finishReason] = chunk
    if (kind === CHUNK_REASONING) return this.#toReasoning(delta)
    if (model != null) this.#model = model
    return this.#toChunk(delta, this.#model, finishReason)
  }

  #acknowledge() {
    if (this.#ended === undefined) bridge.resume(this.#id, this.#chunks.length)
  }

  /** Fails the stream, whose chunks cannot be read: a fault of the gateway. */
  #break(problem) {
    this.#fault = {
      reason: new GatewayError({
        code: 'INTERNAL',
        kind: 'internal',
        message: `${problem}; please report it`,
        retryable: false,
      }),
    }
    this.#dropChunks()
    if (this.#ended === undefined) bridge.close(this.#id)
    else this.#ended.failure ??= this.#fault
  }

  #dropChunks() {
    this.#batches.length = 0
    this.#chunks = EMPTY
  }
}

function alreadyRead(name, by) {
  return invalidRequest(name, `cannot be read: the answer is being read as \`${by}\`, and can be read once`)
}

/** The text of a chunk, empty for reasoning. */
function textOf(chunk) {
  if (typeof chunk === 'string') return chunk
  return chunk[0] === CHUNK_REASONING ? '' : chunk[1]
}

module.exports = { StreamReader }
