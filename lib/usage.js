'use strict'

const { warn } = require('./console.js')
const { LONGEST_TIMER_MS } = require('./internal.js')
const { forget, whenAborted } = require('./signals.js')

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
    if (this.#handlers.length === 0) writeLine(entry)
    for (const handler of this.#handlers) {
      try {
        await handler(entry)
      } catch {
        // A handler's error is not the call's.
      }
    }
  }
}

/** Gives entries to a handler of the program's, which is the option `name`, and never lets it hold a call for ever. */
class Handler {
  #name
  #handler
  #timeoutMs
  /** Of handlers that run: promises that are fulfilled when a handler has settled, or has taken too long. */
  #running = new Set()
  /** What has been said already. */
  #said = new Set()

  /** `timeoutMs` is how long a handler is waited for; 0: as long as it takes. */
  constructor(name, handler, timeoutMs) {
    this.#name = name
    this.#handler = handler
    this.#timeoutMs = timeoutMs
  }

  /** Returns a promise when there is something to wait for: `signal` and `deadline` (as `performance.now()`) end the wait. */
  emit(entry, signal, deadline) {
    try {
      const result = this.#handler(entry)
      if (typeof result?.then === 'function') return until(this.#settled(result), signal, deadline)
    } catch (error) {
      this.#sayThrown(error)
    }
    return undefined
  }

  /** Resolves once no handler runs. */
  async whenIdle() {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  #settled(result) {
    const settled = new Promise((resolve) => {
      const timer = this.#timeoutMs > 0 ? setTimeout(() => resolve(this.#saySlow()), this.#timeoutMs) : undefined
      const end = () => {
        clearTimeout(timer)
        resolve()
      }
      result.then(end, (error) => {
        this.#sayThrown(error)
        end()
      })
    })
    this.#running.add(settled)
    return settled.then(() => this.#running.delete(settled))
  }

  #saySlow() {
    this.#sayOnce(
      'slow',
      `${this.#name} has not settled within ${this.#timeoutMs} ms; calls go on without it. Return sooner, or raise usageLogTimeoutMs`,
    )
  }

  #sayThrown(error) {
    this.#sayOnce(
      'thrown',
      `${this.#name} failed: ${textOf(error)}. Calls go on; what it should have kept may be missing`,
    )
  }

  #sayOnce(what, line) {
    if (this.#said.has(what)) return
    this.#said.add(what)
    warn(`[gateway] ${line} (said once)`)
  }
}

/** What a gateway tells its program: the entries of its log, or else lines on the console, and what its budgets warn of. */
class UsageLog extends Handler {
  /** The program's keys, here so that calls in flight keep them; absent where it gives none. */
  keys = undefined
  #budgetWarnings

  constructor({ onUsageLog, onBudgetWarning }, timeoutMs) {
    super('onUsageLog', onUsageLog ?? writeLine, timeoutMs)
    if (onBudgetWarning != null) this.#budgetWarnings = new Handler('onBudgetWarning', onBudgetWarning, timeoutMs)
  }

  /** Nobody waits for it but `whenIdle`. */
  budgetWarning(warning) {
    this.#budgetWarnings?.emit(warning)
  }

  async whenIdle() {
    await Promise.all([super.whenIdle(), this.#budgetWarnings?.whenIdle()])
  }
}

function writeLine(entry) {
  console.log(`[usage] ${JSON.stringify(entry)}`)
}

// Anything can be thrown, things that cannot be written as text too.
function textOf(error) {
  try {
    return String(error?.message ?? error)
  } catch {
    return 'with something that has no text'
  }
}

/** Resolves with `settled`, or as soon as the call must end: a handler that needs no time is done by then. */
function until(settled, signal, deadline) {
  if (signal === undefined && deadline === undefined) return settled
  return new Promise((resolve) => {
    const left = signal?.aborted ? 0 : deadline === undefined ? undefined : Math.max(deadline - performance.now(), 0)
    const timer = left === undefined ? undefined : setTimeout(end, Math.min(left, LONGEST_TIMER_MS))
    if (signal !== undefined) whenAborted(signal, end)
    settled.then(end)
    function end() {
      clearTimeout(timer)
      if (signal !== undefined) forget(signal, end)
      resolve()
    }
  })
}

/** Loggers by number, for entries that do not come with a call's end. */
const loggers = new Map()
const collected = new FinalizationRegistry((number) => loggers.delete(number))
const numbers = new WeakMap()
let lastNumber = 0

/** The number that Rust knows a logger by. It does not keep the logger alive. */
function numberOf(logger) {
  const known = numbers.get(logger)
  if (known !== undefined) return known
  const number = ++lastNumber
  numbers.set(logger, number)
  loggers.set(number, new WeakRef(logger))
  collected.register(logger, number)
  return number
}

function loggerOf(number) {
  return loggers.get(number)?.deref()
}

module.exports = { UsageLog, UsageLogger, loggerOf, numberOf }
