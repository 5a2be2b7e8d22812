'use strict'

// This thread's end of the border: calls go out by number, messages come back in batches.

const { AsyncResource } = require('node:async_hooks')
const { Bridge } = require('../native.js')
const { GatewayError, invalidRequest, stringify } = require('./errors.js')
const { Slots } = require('./slots.js')
const { callCustom, cancelCustom, resumeCustom } = require('./custom.js')

// Kinds of messages; src/calls.rs has the same list.
const ANSWER = 0
const FAILURE = 1
const STREAM_OPEN = 2
const STREAM_CHUNKS = 3
const STREAM_END = 4
const STREAM_FIGURES = 5
const CUSTOM_CALL = 6
const CUSTOM_CANCEL = 7
const CUSTOM_RESUME = 8
const WARNING = 9
const LOG = 10

/** Calls that messages may still come for; `{reader, call}` once a stream is open. */
const open = new Slots()
let waiting = 0

/** Loggers of gateways by number, for entries that no call's end brings. */
const loggers = new Map()
const gone = new FinalizationRegistry((number) => loggers.delete(number))

/** The calls in flight that tell this logger, which are those of one gateway. */
function* callsOf(logger) {
  for (const [id, entry] of open.entries()) if ((entry.call ?? entry).logger === logger) yield id
}

const cancel = (id) => bridge.cancel(id)

/** Gives a logger its number. */
function numberOf(logger) {
  const number = ++numberOf.last
  loggers.set(number, new WeakRef(logger))
  gone.register(logger, number)
  return number
}
numberOf.last = 0

const bridge = new Bridge(deliver)

// The process stays alive while someone waits for an answer. Who waits again at once, as readers of streams do, never
// lets go: the check comes when the turn is over.
let kept = false
let checking = false

function hold() {
  waiting++
  if (kept) return
  kept = true
  bridge.keepAlive(true)
}

function release() {
  if (--waiting > 0 || checking) return
  checking = true
  setImmediate(letGo)
}

function letGo() {
  checking = false
  if (waiting > 0) return
  kept = false
  bridge.keepAlive(false)
}

function deliver() {
  for (const message of JSON.parse(bridge.take())) {
    switch (message[0]) {
      case ANSWER:
        settle(message[1], undefined, message[2], message[3])
        break
      case FAILURE:
        settle(message[1], message[2], undefined, message[3])
        break
      case STREAM_OPEN:
        opened(message[1], message[2])
        break
      case STREAM_CHUNKS:
        stream(message[1])?.push(message[3], message[2])
        break
      case STREAM_END:
        ended(message[1], message[2], message[3], message[4])
        break
      case STREAM_FIGURES:
        stream(message[1])?.tell(message[2])
        break
      case CUSTOM_CALL:
        callCustom(bridge, open.get(message[1]), message)
        break
      case CUSTOM_CANCEL:
        cancelCustom(message[1])
        break
      case CUSTOM_RESUME:
        resumeCustom(message[1])
        break
      case WARNING:
        warn(message[1])
        break
      case LOG:
        loggers.get(message[1])?.deref()?.tell(message[2])
        break
    }
  }
}

// One message must not keep the others of its batch from arriving, whatever a program has made of its console.
function warn(line) {
  try {
    console.warn(line)
  } catch {}
}

function settle(id, error, value, log) {
  const call = open.get(id)
  if (call === undefined) return
  // A stream that fails outside of its own course, which is a fault of the gateway.
  if (call.reader !== undefined) return ended(id, call.call.head.figures, error, log)
  open.delete(id)
  release()
  call.error = error
  call.value = value
  call.entry = log
  call.done(call)
}

function opened(id, head) {
  const call = open.get(id)
  if (call === undefined) return
  release()
  call.head = head
  const reader = call.openStream(head)
  // Weakly: a stream that is merely forgotten is collected, and then closed.
  open.replace(id, { reader: new WeakRef(reader), call })
  call.value = reader
  call.done(call)
  // Both refer to the reader, and the call is kept until its stream's last message.
  call.done = call.openStream = undefined
}

function stream(id) {
  const entry = open.get(id)
  if (entry?.reader === undefined) return undefined
  const reader = entry.reader.deref()
  if (reader === undefined) bridge.leave(id)
  return reader
}

function ended(id, summary, error, log) {
  const entry = open.get(id)
  open.delete(id)
  if (entry?.reader === undefined) return
  const { call } = entry
  call.detach()
  const logged = call.log(log)
  entry.reader.deref()?.end(summary, error ? { reason: failureOf(call, error) } : undefined, logged)
}

function failureOf(call, error) {
  // What was thrown is the caller's own object, or nothing. A number without one, a fault of ours, must not end the program.
  if (error.foreign < call.thrown?.length) return call.thrown[error.foreign]
  if (error.kind === 'aborted' && call.signal?.aborted) return call.signal.reason
  return new GatewayError(error)
}

/**
 * One call on its way: what the face must know until its last message has come. Thousands are in flight at once, so
 * what only some calls have is left out until they have it.
 */
class Call {
  /** `customs` are the providers of the caller's own that may be asked; `logger` is told of the call. */
  constructor(customs, logger, streams = false) {
    /** Given out when the call starts. */
    this.id = 0
    this.customs = customs
    this.logger = logger
    this.signal = undefined
    /** Resolves what `start` has returned. */
    this.done = undefined
    /** The call's first message: a value or an error, and its log entry. */
    this.value = undefined
    this.error = undefined
    this.entry = undefined
    // Custom providers and a stream's log handlers run in the caller's async context.
    if (streams || customs?.length > 0) this.context = new AsyncResource('AiGatewayCall')
  }

  /** Begins with `native[method](bridge, id, aborted, request, ...rest)`; resolves to the call when it has its first message. */
  start(native, method, request, ...rest) {
    return new Promise((resolve) => {
      this.signal = checked(request).signal ?? undefined
      const text = stringify(request, 'request')
      if (this.context !== undefined) this.request = request
      this.done = resolve
      this.id = open.add(this)
      let now
      try {
        now = native[method](bridge, this.id, this.signal?.aborted ?? false, text, ...rest)
        if (typeof now === 'string') return this.#answered(now)
        hold()
      } catch (error) {
        hold()
        settle(this.id, { code: 'INTERNAL', kind: 'internal', message: error.message, retryable: false })
      }
      if (this.signal !== undefined) this.attach()
    })
  }

  /** The answer was there already, and no message comes: a line of JSON without the content, and the content. */
  #answered(text) {
    const end = text.indexOf('\n')
    const [value, log] = JSON.parse(text.slice(0, end))
    value.content = text.slice(end + 1)
    open.delete(this.id)
    this.value = value
    this.entry = log
    this.done(this)
  }

  /** What the caller of a failed call is thrown, once the log is written. */
  async failure() {
    this.detach()
    await this.log(this.entry)
    return failureOf(this, this.error)
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

  attach() {
    if (this.signal.aborted) return
    /** Takes the signal's `abort` while the call is under way. */
    this.onAbort = () => bridge.cancel(this.id)
    this.signal.addEventListener('abort', this.onAbort, { once: true })
  }

  detach() {
    if (this.onAbort !== undefined) this.signal.removeEventListener('abort', this.onAbort)
    this.onAbort = undefined
  }

  /** Tells the log handlers; a promise when one of them takes its time. */
  log(entry) {
    if (!entry || this.logger === undefined) return undefined
    if (this.context === undefined) return this.logger.tell(entry)
    return this.context.runInAsyncScope(this.logger.tell, this.logger, entry)
  }
}

// What JSON would hide: a signal that is none, numbers that are none.
function checked(request) {
  const { signal, maxTokens, temperature } = request ?? {}
  if (signal != null && (typeof signal.addEventListener !== 'function' || typeof signal.aborted !== 'boolean')) {
    throw invalidRequest('signal', 'must be an AbortSignal')
  }
  if (typeof maxTokens === 'number' && !Number.isFinite(maxTokens)) throw invalidRequest('maxTokens', NOT_FINITE)
  if (typeof temperature === 'number' && !Number.isFinite(temperature)) throw invalidRequest('temperature', NOT_FINITE)
  return request ?? {}
}

const NOT_FINITE = 'must be a finite number'

module.exports = { Call, bridge, callsOf, cancel, hold, numberOf, release }
