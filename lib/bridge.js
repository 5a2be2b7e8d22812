'use strict'

// This thread's side of the message protocol: messages come in batches, and each goes to the call that it names.

const { Bridge } = require('./addon.js')
const { warn } = require('./console.js')
const { callCustom, cancelCustom, resumeCustom, thrown } = require('./custom.js')
const { HandleTable } = require('./handle-table.js')
const { giveKey } = require('./keys.js')
const { dispatch } = require('./protocol.js')
const { loggerOf } = require('./usage.js')

const bridge = new Bridge(takeMessages)

/** Calls that messages may still come for, by the numbers that Rust knows them by. */
const calls = new HandleTable()

/** What `whenEnded` waits for: `{left, resolve}`. */
const endings = new Set()

function takeMessages() {
  for (const message of JSON.parse(bridge.take())) dispatch(message, handlers)
}

const handlers = {
  answer(id, value, log) {
    end(id)?.settle(undefined, value, log)
  },

  failure(id, error, log) {
    const call = calls.get(id)
    if (call?.reader === undefined) return end(id)?.settle(error, undefined, log)
    // A stream that fails outside of its own course, which is a fault of the gateway.
    bridge.cancel(id)
    handlers.streamEnd(id, call.head.figures, error, log)
  },

  streamOpen(id, head) {
    const call = calls.get(id)
    if (call === undefined) return
    release()
    call.open(head)
  },

  streamChunks(id, nullFinish, chunks) {
    readerOf(id)?.push(chunks, nullFinish)
  },

  streamEnd(id, figures, error, log) {
    const call = calls.get(id)
    remove(id)
    call?.endStream(figures, error, log)
  },

  streamUsage(id, figures) {
    readerOf(id)?.giveUsage(figures)
  },

  customCall(id, callback, provider, model, maxTokens, method) {
    callCustom(bridge, calls.get(id), { callback, provider, model, maxTokens: maxTokens ?? undefined, method })
  },

  customCancel(callback) {
    cancelCustom(callback)
  },

  customResume(callback, chunks) {
    resumeCustom(callback, chunks)
  },

  forgetThrown(id) {
    thrown.delete(id)
  },

  line(line) {
    warn(line)
  },

  budgetWarning(logger, line, warning) {
    warn(line)
    loggerOf(logger)?.budgetWarning(warning)
  },

  keyWanted(logger, callback, entry) {
    giveKey(bridge, loggerOf(logger)?.keys, callback, entry)
  },

  log(logger, entry) {
    loggerOf(logger)?.emit(entry)
  },

  /** Only an addon of another version sends such a message. */
  unknown(kind) {
    warn(`[gateway] internal error: the addon sent a message of the unknown kind ${kind}`)
  },
}

/** Takes out a call that has its only message. */
function end(id) {
  const call = calls.get(id)
  if (call === undefined) return undefined
  remove(id)
  release()
  return call
}

function readerOf(id) {
  const call = calls.get(id)
  if (call?.reader === undefined) return undefined
  const reader = call.reader.deref()
  if (reader === undefined) bridge.close(id)
  return reader
}

function remove(id) {
  calls.delete(id)
  if (endings.size === 0) return
  for (const ending of endings) {
    if (!ending.left.delete(id) || ending.left.size > 0) continue
    endings.delete(ending)
    release()
    // Their callers and log handlers come first.
    setImmediate(ending.resolve)
  }
}

/** The calls in flight of the gateway that has this logger. */
function callsOf(logger) {
  return [...calls.entries()].filter(([, call]) => call.logger === logger).map(([id]) => id)
}

/** Resolves once these calls have ended, and keeps the process alive until then. */
function whenEnded(ids) {
  if (ids.length === 0) return Promise.resolve()
  hold()
  return new Promise((resolve) => endings.add({ left: new Set(ids), resolve }))
}

// The process stays alive while someone waits for an answer. It is let go when the turn is over, not at once: a loop over
// a stream waits again for each chunk.
let waiting = 0
let keptAlive = false
let checking = false

function hold() {
  waiting++
  if (keptAlive) return
  keptAlive = true
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
  keptAlive = false
  bridge.keepAlive(false)
}

module.exports = { bridge, calls, callsOf, hold, release, whenEnded }
