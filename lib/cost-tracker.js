'use strict'

const { estimateCostUsd } = require('./pricing.js')

// Money is added in whole picodollars: ten times 0.1 is 1.
const PICO = 1e12

/** Calls without a user or a feature are counted under this name, as budgets count them. */
const NONE = 'default'

/** Adds up what calls cost, by model, provider, user and feature; `pricing` goes before every other price. */
function createCostTracker({ pricing = {} } = {}) {
  let models, providers, users, features, all

  const costOf = ({ model, inputTokens = 0, outputTokens = 0, estimatedCostUsd }) => {
    if (Object.hasOwn(pricing, model)) {
      const { inputPer1kTokens, outputPer1kTokens } = pricing[model]
      return (inputTokens * inputPer1kTokens + outputTokens * outputPer1kTokens) / 1000
    }
    return estimatedCostUsd ?? estimateCostUsd(model, inputTokens, outputTokens)
  }

  const tracker = {
    /** Takes an answer, an entry of the usage log, or any counts with `provider` and `model`; may be `onUsageLog` itself. */
    record(call) {
      const pico = BigInt(Math.round(costOf(call) * PICO))
      const sums = [
        all,
        sumOf(models, call.model),
        sumOf(providers, call.provider),
        sumOf(users, call.userId || NONE),
        sumOf(features, call.feature || NONE),
      ]
      for (const sum of sums) add(sum, call, pico)
    },
    total: () => report(all),
    byModel: () => tableOf(models),
    byProvider: () => tableOf(providers),
    byUser: () => tableOf(users),
    byFeature: () => tableOf(features),
    /** Forgets everything recorded. */
    reset() {
      ;[models, providers, users, features] = Array.from({ length: 4 }, () => new Map())
      all = empty()
    },
  }
  tracker.reset()
  return tracker
}

const empty = () => ({ calls: 0, inputTokens: 0, outputTokens: 0, pico: 0n })

function sumOf(table, name) {
  if (!table.has(name)) table.set(name, empty())
  return table.get(name)
}

// Entries of attempts beside the one that a call's own entry is about: they cost, and are no calls.
const ATTEMPTS = new Set(['HEDGE_LOST', 'ATTEMPT_FAILED'])

function add(sum, { inputTokens = 0, outputTokens = 0, errorCode }, pico) {
  if (!ATTEMPTS.has(errorCode)) sum.calls++
  sum.inputTokens += inputTokens
  sum.outputTokens += outputTokens
  sum.pico += pico
}

function report({ calls, inputTokens, outputTokens, pico }) {
  return { calls, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, costUsd: Number(pico) / PICO }
}

function tableOf(table) {
  return Object.fromEntries([...table].map(([name, sum]) => [name, report(sum)]))
}

module.exports = { createCostTracker }
