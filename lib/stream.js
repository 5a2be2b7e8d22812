'use strict';

const { bridge, hold, release } = require('./bridge.js');

// A stream nobody can read any more is left: its upstream is closed.
const forgotten = new FinalizationRegistry((id) => bridge.leave(id));
// Keeps streams alive while someone waits for their next chunk: the waiting promise is all that may refer to them.
const awaited = new Set();

/**
 * The chunks of one answer. A plain iterator, not a generator: `return()` cancels at once, also beside a pending
 * `next()`, and overlapping `next()` calls are answered in order.
 */
class StreamReader {
  #id;
  #toChunk;
  #model;
  #batches = [];
  #at = 0;
  #waiters = [];
  #text = '';
  #ended = undefined;
  #left = false;

  /** `toChunk(delta, model, finishReason)` makes what the reader is given. */
  constructor(id, model, toChunk) {
    this.#id = id;
    this.#model = model;
    this.#toChunk = toChunk;
    forgotten.register(this, id, this);
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** All text that has arrived. */
  get text() {
    return this.#text;
  }

  /** `{summary, failure, logged}` once the stream has ended. */
  get ended() {
    return this.#ended;
  }

  get model() {
    return this.#model;
  }

  push(chunks, nullFinish) {
    if (this.#left) return;
    for (let i = 0; i < chunks.length; i++) this.#text += typeof chunks[i] === 'string' ? chunks[i] : chunks[i][0];
    this.#batches.push({ chunks, nullFinish });
    while (this.#waiters.length > 0 && this.#batches.length > 0) this.#answer().resolve({ value: this.#take(), done: false });
  }

  /** `failure` is `{reason}` when the stream broke off, `logged` settles when the log is written. */
  end(summary, failure, logged) {
    forgotten.unregister(this);
    this.#ended = { summary, failure, logged };
    while (this.#waiters.length > 0) this.#finish(this.#answer());
  }

  next() {
    if (this.#batches.length > 0) return Promise.resolve({ value: this.#take(), done: false });
    return new Promise((resolve, reject) => this.#wait({ resolve, reject }));
  }

  /** Leaves the stream. Resolves when what came up to now is settled and logged. */
  return(value) {
    if (!this.#left && this.#ended === undefined) bridge.leave(this.#id);
    this.#left = true;
    this.#batches.length = 0;
    return new Promise((resolve) => {
      const done = () => resolve({ value, done: true });
      this.#wait({ resolve: done, reject: done });
    });
  }

  throw(error) {
    return this.return().then(() => Promise.reject(error));
  }

  #wait(waiter) {
    if (this.#ended !== undefined) {
      this.#finish(waiter);
    } else if (this.#waiters.push(waiter) === 1) {
      awaited.add(this);
      hold();
    }
  }

  #answer() {
    const waiter = this.#waiters.shift();
    if (this.#waiters.length === 0) {
      awaited.delete(this);
      release();
    }
    return waiter;
  }

  // The end is told once: an error to one reader, `done` to all others, and only after the log is written.
  #finish({ resolve, reject }) {
    const { failure, logged } = this.#ended;
    this.#ended.failure = undefined;
    const tell = () => (failure === undefined || this.#left ? resolve({ value: undefined, done: true }) : reject(failure.reason));
    if (logged === undefined) tell();
    else logged.then(tell);
  }

  #take() {
    const batch = this.#batches[0];
    const item = batch.chunks[this.#at++];
    if (this.#at === batch.chunks.length) {
      this.#batches.shift();
      this.#at = 0;
      if (this.#ended === undefined) bridge.resume(this.#id, batch.chunks.length);
    }
    if (typeof item === 'string') return this.#toChunk(item, this.#model, batch.nullFinish ? null : undefined);
    if (item[1] != null) this.#model = item[1];
    return this.#toChunk(item[0], this.#model, item.length > 2 ? item[2] : undefined);
  }
}

module.exports = { StreamReader };
