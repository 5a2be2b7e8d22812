'use strict'

/** Tells handlers of each call; without one, a line on the console. */
class UsageLogger {
  #handlers = []

  constructor(handler) {
    if (handler) this.#handlers.push(handler)
  }

  addHandler(handler) {
    this.#handlers.push(handler)
  }

  async log(entry) {
    await this.tell(entry)
  }

  /** As `log`, but a promise only when there is something to wait for. */
  tell(entry, from = 0) {
    if (this.#handlers.length === 0) console.log(`[usage] ${JSON.stringify(entry)}`)
    for (let i = from; i < this.#handlers.length; i++) {
      const handler = this.#handlers[i]
      try {
        const told = handler(entry)
        if (typeof told?.then === 'function') return this.#wait(told, entry, i + 1)
      } catch {
        // A handler's fault is not the call's.
      }
    }
    return undefined
  }

  async #wait(told, entry, next) {
    try {
      await told
    } catch {
      // Likewise.
    }
    return this.tell(entry, next)
  }
}

/** The log entry of an answer. What the answer has itself does not cross the border twice: `rest` is what it lacks. */
function entryOf(response, rest) {
  const entry = {
    timestamp: rest.timestamp,
    requestId: response.requestId,
    provider: response.provider,
    model: response.model,
    routeRule: rest.routeRule,
    feature: rest.feature,
    userTier: rest.userTier,
    success: true,
    inputTokens: response.inputTokens,
    outputTokens: response.outputTokens,
    totalTokens: response.totalTokens,
    estimatedCostUsd: response.estimatedCostUsd,
    latencyMs: response.latencyMs,
    fallbackTriggered: response.fallbackTriggered,
    fallbackFrom: response.fallbackFrom,
  }
  // One by one, without a loop over their names: every call comes through here.
  if (response.cacheReadTokens !== undefined) entry.cacheReadTokens = response.cacheReadTokens
  if (response.cacheWriteTokens !== undefined) entry.cacheWriteTokens = response.cacheWriteTokens
  if (response.reasoningTokens !== undefined) entry.reasoningTokens = response.reasoningTokens
  if (response.usageSource !== undefined) entry.usageSource = response.usageSource
  if (response.cached !== undefined) entry.cached = response.cached
  if (response.degraded !== undefined) entry.degraded = response.degraded
  if (response.attempts !== undefined) entry.attempts = response.attempts
  if (rest.savedUsd !== undefined) entry.savedUsd = rest.savedUsd
  return entry
}

module.exports = { UsageLogger, entryOf }
