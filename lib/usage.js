'use strict'

/** Gives each entry to handlers; without one, writes a line on the console. */
class UsageLogger {
  #handlers = []

  constructor(handler) {
    if (handler) this.#handlers.push(handler)
  }

  addHandler(handler) {
    this.#handlers.push(handler)
  }

  async log(entry) {
    await this.emit(entry)
  }

  /** As `log`, but returns a promise only when there is something to wait for. */
  emit(entry, from = 0) {
    if (this.#handlers.length === 0) console.log(`[usage] ${JSON.stringify(entry)}`)
    for (let i = from; i < this.#handlers.length; i++) {
      const handler = this.#handlers[i]
      try {
        const result = handler(entry)
        if (typeof result?.then === 'function') return this.#wait(result, entry, i + 1)
      } catch {
        // A handler's error is not the call's.
      }
    }
    return undefined
  }

  async #wait(result, entry, next) {
    try {
      await result
    } catch {
      // Likewise.
    }
    return this.emit(entry, next)
  }
}

/** Loggers by number, for entries that do not come with a call's end. */
const loggers = new Map()
const collected = new FinalizationRegistry((number) => loggers.delete(number))
let lastNumber = 0

/** The number that Rust knows a logger by. It does not keep the logger alive. */
function numberOf(logger) {
  const number = ++lastNumber
  loggers.set(number, new WeakRef(logger))
  collected.register(logger, number)
  return number
}

function loggerOf(number) {
  return loggers.get(number)?.deref()
}

module.exports = { UsageLogger, loggerOf, numberOf }
