'use strict'

const { bridge, hold, release } = require('./bridge.js')

// A stream nobody can read any more is left: its upstream is closed.
const forgotten = new FinalizationRegistry((id) => bridge.leave(id))
// Keeps streams alive while someone waits for a chunk or for figures: the waiting promise is all that may refer to them.
const awaited = new Set()
const EMPTY = []

/**
 * The chunks of one answer. A plain iterator, not a generator: `return()` cancels at once, also beside a pending
 * `next()`, and overlapping `next()` calls are answered in order.
 */
class StreamReader {
  #id
  #toChunk
  #toReasoning = undefined
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
  #ended = undefined
  #left = false
  #askers = []

  /** `toChunk(delta, model, finishReason)` makes what the reader is given. */
  constructor(id, model, toChunk) {
    this.#id = id
    this.#model = model
    this.#toChunk = toChunk
    forgotten.register(this, id, this)
  }

  [Symbol.asyncIterator]() {
    return this
  }

  /** Gives reasoning too, in what these two make of it; before anything is read. */
  withReasoning(toChunk, toReasoning) {
    this.#toChunk = toChunk
    this.#toReasoning = toReasoning
    return this
  }

  /** All text that has arrived. */
  get text() {
    let text = ''
    for (const chunks of this.#arrived) {
      for (const item of chunks) text += typeof item === 'string' ? item : (item[0] ?? '')
    }
    this.#arrived = [[text]]
    return text
  }

  /** `{summary, failure, logged}` once the stream has ended. */
  get ended() {
    return this.#ended
  }

  /** Whether the reader has left before the end. */
  get left() {
    return this.#left
  }

  get model() {
    return this.#model
  }

  /** The figures so far, which are final once the stream has ended. */
  figures() {
    if (this.#ended !== undefined) return Promise.resolve(this.#ended.summary)
    return new Promise((resolve) => {
      this.#askers.push(resolve)
      awaited.add(this)
      hold()
      bridge.ask(this.#id)
    })
  }

  /** Answers those who have asked for figures. */
  tell(figures) {
    for (const resolve of this.#askers.splice(0)) {
      release()
      resolve(figures)
    }
    this.#rest()
  }

  /** Takes chunks: each a string, or `[delta, model, finishReason]`. */
  push(chunks, nullFinish) {
    this.#arrived.push(chunks)
    if (this.#left) return
    this.#batches.push(chunks, nullFinish ? null : undefined)
    while (this.#waiters.length > 0 && this.#more()) this.#answer().resolve({ value: this.#take(), done: false })
  }

  /** `failure` is `{reason}` when the stream broke off, `logged` settles when the log is written. */
  end(summary, failure, logged) {
    forgotten.unregister(this)
    this.#ended = { summary, failure, logged }
    this.tell(summary)
    while (this.#waiters.length > 0) this.#finish(this.#answer())
  }

  next() {
    if (this.#more()) return Promise.resolve({ value: this.#take(), done: false })
    return new Promise((resolve, reject) => this.#wait({ resolve, reject }))
  }

  /** Leaves the stream. Resolves when what came up to now is settled and logged. */
  return(value) {
    if (!this.#left && this.#ended === undefined) bridge.leave(this.#id)
    this.#left = true
    this.#batches.length = 0
    this.#chunks = EMPTY
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
      this.#rest()
    }
    return waiter
  }

  #rest() {
    if (this.#waiters.length === 0 && this.#askers.length === 0) awaited.delete(this)
  }

  // The end is told once: an error to one reader, `done` to all others, and only after the log is written.
  #finish({ resolve, reject }) {
    const { failure, logged } = this.#ended
    this.#ended.failure = undefined
    const tell = () =>
      failure === undefined || this.#left ? resolve({ value: undefined, done: true }) : reject(failure.reason)
    if (logged === undefined) tell()
    else logged.then(tell)
  }

  /** Whether there is a chunk to take; goes on to the next batch where one is done. */
  #more() {
    for (;;) {
      while (this.#at < this.#chunks.length) {
        if (this.#toReasoning !== undefined || this.#chunks[this.#at].reasoning === undefined) return true
        if (++this.#at === this.#chunks.length) this.#taken()
      }
      if (this.#batches.length === 0) return false
      this.#chunks = this.#batches.shift()
      this.#nullFinish = this.#batches.shift()
      this.#at = 0
    }
  }

  #take() {
    const item = this.#chunks[this.#at++]
    if (this.#at === this.#chunks.length) this.#taken()
    if (typeof item === 'string') return this.#toChunk(item, this.#model, this.#nullFinish)
    if (item.reasoning !== undefined) return this.#toReasoning(item.reasoning)
    if (item[1] != null) this.#model = item[1]
    return this.#toChunk(item[0], this.#model, item.length > 2 ? item[2] : undefined)
  }

  #taken() {
    if (this.#ended === undefined) bridge.resume(this.#id, this.#chunks.length)
  }
}

module.exports = { StreamReader }
