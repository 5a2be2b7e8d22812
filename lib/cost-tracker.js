'use strict'

const { estimateCostUsd } = require('./pricing.js')

// Money is added in whole picodollars: ten times 0.1 is 1.
const PICO = 1e12

/** Adds up what calls cost, by model and by provider; `pricing` goes before every other price. */
function createCostTracker({ pricing = {} } = {}) {
  let models, providers, all

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
      for (const sum of [all, sumOf(models, call.model), sumOf(providers, call.provider)]) add(sum, call, pico)
    },
    total: () => report(all),
    byModel: () => tableOf(models),
    byProvider: () => tableOf(providers),
    /** Forgets everything recorded. */
    reset() {
      ;[models, providers, all] = [new Map(), new Map(), empty()]
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
