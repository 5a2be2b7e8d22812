// Each attempt is reserved for what it is: budgets and constraints hold for every candidate of a call, not for the first alone.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { GatewayError, registerModelPricing } from '../index.mjs'
import { ask, budget, chain, customs, failureOf, gatewayOf, pool, result, rule } from './helpers/config.mjs'

registerModelPricing('candidates-cheap', { inputPer1kTokens: 0, outputPer1kTokens: 0.001 })
registerModelPricing('candidates-dear', { inputPer1kTokens: 0, outputPer1kTokens: 1 })

/** Answers with as many tokens as it may. */
const billed = async ({ model, maxTokens }) =>
  result('ok', { model, inputTokens: 1, outputTokens: maxTokens, totalTokens: maxTokens + 1 })
const fails = async () => {
  throw new GatewayError({ code: 'PROVIDER_NETWORK', kind: 'provider_network', message: 'reset', retryable: true })
}
const slow = async (options) => (await sleep(150), billed(options))
const models = { cheap: { models: ['candidates-cheap'] }, dear: { models: ['candidates-dear'], priority: 1 } }
const strict = (maxCostUsd, fields) => budget('strict', { maxCostUsd }, { enforcement: 'strict', ...fields })
const inTurn = { strategy: 'priority' }

const routes = {
  'a pool’s next member': { rules: [pool(['cheap', 'dear'], inTurn)] },
  'a chain’s next step': { chains: [chain('c', 'cheap', 'dear')] },
  'a hedge': { first: slow, rules: [pool(['cheap', 'dear'], inTurn, { hedge: { afterMs: 10 } })] },
}

/** Makes `count` calls of 1,000 output tokens at once: $0.001 at `cheap`, $1 at `dear`. */
async function calls({ first = fails, dear = billed, count = 4, request = {}, ...config }) {
  const { providers, customProviders, counts } = customs({ cheap: first, dear }, models)
  const { gateway, logs } = gatewayOf({ providers, customProviders, ...config })
  const call = () => gateway.chat(ask({ maxTokens: 1000, ...request })).catch((error) => error)
  const results = await Promise.all(Array.from({ length: count }, call))
  return { gateway, logs, results, counts, spent: logs.reduce((sum, log) => sum + log.estimatedCostUsd, 0) }
}

describe.each(Object.entries(routes))('%s', (name, route) => {
  test('is passed over where a strict budget does not bear it', async () => {
    const { spent, results } = await calls({ ...route, budgets: [strict(0.5)] })
    expect(spent).toBeLessThanOrEqual(0.5)
    const kinds = results.map((answer) => answer.kind ?? 'answered')
    expect(new Set(kinds)).toStrictEqual(new Set([name === 'a hedge' ? 'answered' : 'budget_exceeded']))
  })

  test('is asked where the budget bears it, and counted for its own model', async () => {
    const dearOnly = strict(1.5, { name: 'dear', scope: { type: 'model', key: 'candidates-dear' } })
    const { logs } = await calls({ ...route, budgets: [dearOnly] })
    const cost = (model) =>
      logs.filter((log) => log.model === model).reduce((sum, log) => sum + log.estimatedCostUsd, 0)
    expect(cost('candidates-dear')).toBeLessThanOrEqual(1.5)
    if (name !== 'a hedge') expect(cost('candidates-dear')).toBe(1)
  })

  test('is passed over where it costs more than the rule allows', async () => {
    const rules = (route.rules ?? [rule({ provider: 'cheap', fallbackChain: 'c' })]).map((one) => ({
      ...one,
      constraints: { maxCostUsd: 0.01 },
    }))
    const { spent } = await calls({ ...route, rules })
    expect(spent).toBeLessThanOrEqual(0.01)
  })
})

describe('budgets by what is asked', () => {
  test('a member is asked though the first is too dear', async () => {
    const { providers, customProviders } = customs({ dear: billed, cheap: billed }, models)
    const rules = [pool(['dear', 'cheap'], { strategy: 'round_robin' }, { constraints: { maxCostUsd: 0.01 } })]
    const { gateway } = gatewayOf({ providers, customProviders, rules, budgets: [strict(0.5)] })
    for (let i = 0; i < 4; i++) {
      expect((await gateway.chat(ask({ maxTokens: 1000 }))).model).toBe('candidates-cheap')
    }
  })

  test('scope provider counts the entry that is asked', async () => {
    const byEntry = strict(1, { scope: { type: 'provider', key: 'dear' } })
    const { results, counts } = await calls({ ...routes['a pool’s next member'], budgets: [byEntry], count: 3 })
    expect(results.filter((answer) => answer.provider === 'dear')).toHaveLength(1)
    expect(counts()[1]).toBe(1)
  })

  test('scope userId counts each user alone', async () => {
    const { providers, customProviders } = customs({ dear: billed }, models)
    const budgets = [strict(1, { scope: { type: 'userId' } })]
    const { gateway } = gatewayOf({ providers, customProviders, budgets })
    const call = (userId) => gateway.chat(ask({ maxTokens: 1000, userId }))
    await call('ann')
    expect((await failureOf(call('ann'))).kind).toBe('budget_exceeded')
    expect((await call('bob')).content).toBe('ok')
  })

  test('a call that a budget refuses uses up no rate and writes no log', async () => {
    const { providers, customProviders } = customs({ dear: billed }, models)
    const settings = { limits: { requestsPerMinute: 1 } }
    const { gateway, logs } = gatewayOf({ providers, customProviders, settings, budgets: [strict(0.5)] })
    for (let i = 0; i < 3; i++) {
      expect((await failureOf(gateway.chat(ask({ maxTokens: 1000, userId: 'u' })))).kind).toBe('budget_exceeded')
    }
    expect(logs).toStrictEqual([])
    expect((await gateway.chat(ask({ maxTokens: 100, userId: 'u' }))).content).toBe('ok')
    expect((await failureOf(gateway.chat(ask({ maxTokens: 100, userId: 'u' })))).kind).toBe('rate_limited')
  })

  test('a chain’s reply does not answer what budgets refuse', async () => {
    const chains = [{ ...chain('c', 'cheap', 'dear'), degradedReply: 'later' }]
    const { results } = await calls({ first: billed, chains, budgets: [strict(0.0001)], count: 1 })
    expect(results[0].kind).toBe('budget_exceeded')
  })
})
