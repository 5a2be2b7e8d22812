'use strict'

/** What is to be done when a signal fires, by signal: however many share one, it has one listener, and warns of none. */
const waiting = new WeakMap()

/** Calls `act` once the signal fires, unless it is forgotten before. */
function whenAborted(signal, act) {
  const known = waiting.get(signal)
  if (known !== undefined) return void known.acts.add(act)
  const acts = new Set([act])
  const listener = () => {
    waiting.delete(signal)
    for (const each of acts) each()
  }
  waiting.set(signal, { acts, listener })
  signal.addEventListener('abort', listener, { once: true })
}

function forget(signal, act) {
  const known = waiting.get(signal)
  if (!known?.acts.delete(act) || known.acts.size > 0) return
  waiting.delete(signal)
  signal.removeEventListener('abort', known.listener)
}

module.exports = { forget, whenAborted }
