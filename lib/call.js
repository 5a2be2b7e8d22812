'use strict'

const { AsyncResource } = require('node:async_hooks')
const { bridge, calls, hold } = require('./bridge.js')
const { thrown } = require('./custom.js')
const { GatewayError, invalidRequest, refuseNonFinite, stringify } = require('./errors.js')
const { forget, whenAborted } = require('./signals.js')

/** Fields of requests whose contents are the program's own, or a model's. */
const OPAQUE = new Set([
  'messages',
  'tools',
  'metadata',
  'providerOptions',
  'responseFormat',
  'response_format',
  'input',
  'signal',
])

/**
 * One call, from its start to its last message. A call waits for its first message; a stream's call is then streaming,
 * which is when it has a `reader`; a call that has ended is no longer in the bridge's table.
 *
 * Thousands wait at once, so what only some calls have is left out until they have it: `context` and `request`, `onAbort`,
 * `deadline` (as `performance.now()`; a stream that is open has none), `head` and `reader`.
 */
class Call {
  /** `customs` are the providers of the program's own that may be called; `logger` is given the call's log entry. */
  constructor(customs, logger) {
    /** The call's handle, once it has started. */
    this.id = 0
    this.customs = customs
    this.logger = logger
    this.signal = undefined
    /** Resolves what `start` has returned. */
    this.resolve = undefined
    /** Of the first message: a value or an error, and the log entry or a part of it. */
    this.value = undefined
    this.error = undefined
    this.logEntry = undefined
    if (customs?.length > 0) this.keepContext()
  }

  /** Lets custom providers and log handlers run in the caller's async context. */
  keepContext() {
    this.context ??= new AsyncResource('AiGatewayCall')
    return this
  }

  /** Begins with `native[method](bridge, id, aborted, request, ...rest)`; resolves to the call when it has its first message. */
  start(native, method, request, ...rest) {
    return new Promise((resolve) => {
      const { signal, timeoutMs } = checked(request)
      this.signal = signal ?? undefined
      if (timeoutMs > 0) this.deadline = performance.now() + timeoutMs
      const text = stringify(request, 'request')
      refuseNonFinite(request, '', invalidRequest, OPAQUE)
      if (this.context !== undefined) this.request = request
      this.resolve = resolve
      this.id = calls.add(this)
      try {
        const now = native[method](bridge, this.id, this.signal?.aborted ?? false, text, ...rest)
        if (typeof now === 'string') return this.#settleAtOnce(now)
      } catch (error) {
        calls.delete(this.id)
        return this.settle({ code: 'INTERNAL', kind: 'internal', message: error.message, retryable: false })
      }
      hold()
      if (this.signal !== undefined) this.#attach()
    })
  }

  /** `start`, for calls that write no log of their success; resolves to the first message's value. */
  async run(...how) {
    await this.start(...how)
    if (this.error !== undefined) throw await this.failure()
    const { value } = this
    // A stream's reader, which the call must not keep.
    this.value = undefined
    return value
  }

  /** The answer was there already, and no message comes: a line of JSON without the content, and the content. */
  #settleAtOnce(text) {
    const end = text.indexOf('\n')
    const [value, log] = JSON.parse(text.slice(0, end))
    value.content = text.slice(end + 1)
    calls.delete(this.id)
    this.settle(undefined, value, log)
  }

  /** Takes the call's only message. */
  settle(error, value, log) {
    this.error = withThrown(error)
    this.value = value
    this.logEntry = log
    this.resolve(this)
  }

  /** Takes the message that a stream begins; `makeReader` of the call makes its reader. */
  open(head) {
    this.head = head
    if (this.deadline !== undefined) this.deadline = undefined
    const reader = this.makeReader(head)
    // Weakly: a stream that is merely forgotten is collected, and then closed.
    this.reader = new WeakRef(reader)
    this.value = reader
    this.resolve(this)
    // Both refer to the reader, and the call is kept until its stream's last message.
    this.resolve = this.makeReader = undefined
  }

  /** Takes a stream's last message. */
  endStream(figures, error, log) {
    if (this.reader === undefined) return
    this.detach()
    const logged = this.log(log)
    this.reader.deref()?.end(figures, error ? { reason: this.#reasonOf(withThrown(error)) } : undefined, logged)
  }

  /** What the caller of a failed call is thrown, once the log is written. */
  async failure() {
    this.detach()
    await this.log(this.logEntry)
    return this.#reasonOf(this.error)
  }

  #reasonOf(error) {
    // What a custom provider threw is the program's own object, or nothing.
    if (error.thrown !== undefined) return error.thrown.error
    if (error.kind === 'aborted' && this.signal?.aborted) return this.signal.reason
    return new GatewayError(error)
  }

  #attach() {
    if (this.signal.aborted) return
    this.onAbort = () => bridge.cancel(this.id)
    whenAborted(this.signal, this.onAbort)
  }

  detach() {
    if (this.onAbort !== undefined) forget(this.signal, this.onAbort)
    this.onAbort = undefined
  }

  /** Gives an entry to the log handler; returns a promise when it takes its time, and the call has that time. */
  log(entry) {
    if (!entry || this.logger === undefined) return undefined
    const { context, logger, signal, deadline } = this
    if (context === undefined) return logger.emit(entry, signal, deadline)
    return context.runInAsyncScope(logger.emit, logger, entry, signal, deadline)
  }
}

// Looked up as soon as the message comes: one that follows may say that it is to be forgotten.
function withThrown(error) {
  if (error?.foreign !== undefined) error.thrown = thrown.get(error.foreign)
  return error
}

// What JSON would hide: a signal that is none.
function checked(request) {
  const { signal } = request ?? {}
  if (signal != null && (typeof signal.addEventListener !== 'function' || typeof signal.aborted !== 'boolean')) {
    throw invalidRequest('signal', 'must be an AbortSignal')
  }
  return request ?? {}
}

module.exports = { Call }
