import { expect, test } from 'vitest'
import { ask, budget, config, customs, failureOf, result } from './helpers/config.mjs'
import { Gateway } from '../index.mjs'

function counting(budgets) {
  const { providers, customProviders } = customs({ a: () => result('a', { inputTokens: 10, outputTokens: 5 }) })
  const configured = (list) => config({ providers, budgets: list })
  const gateway = new Gateway({ config: configured(budgets), customProviders, onUsageLog: () => {} })
  return { gateway, configured }
}

test('budgets() tells what is spent, reserved and left of each policy and scope value', async () => {
  const limits = { maxTotalTokens: 1000, warnAt: 0.5 }
  const { gateway } = counting([
    budget('tiers', limits, { scope: { type: 'user' } }),
    budget('all', { maxCostUsd: 5 }, { window: 'hour' }),
  ])
  const nothing = { inputTokens: 0, outputTokens: 0, totalTokens: 0, costUsd: 0 }
  expect(gateway.budgets()).toEqual([{ policy: 'all', spent: nothing, reserved: nothing, limits: { maxCostUsd: 5 } }])
  await gateway.chat(ask({ userTier: 'free' }))
  await gateway.chat(ask({ userTier: 'pro' }))
  const [free, pro, all] = gateway.budgets()
  expect(free).toMatchObject({ policy: 'tiers', scopeValue: 'free', reserved: nothing, limits })
  expect(pro.scopeValue).toBe('pro')
  expect(free.spent).toEqual({ inputTokens: 10, outputTokens: 5, totalTokens: 15, costUsd: 0 })
  expect(all.spent.totalTokens).toBe(30)
  expect('scopeValue' in all).toBe(false)
  const wait = Date.parse(all.windowEndsAt) - Date.now()
  expect(wait).toBeGreaterThan(3_500_000)
  expect(wait).toBeLessThanOrEqual(3_600_000)
})

test('a budget that a reload takes away and another brings back keeps its count', async () => {
  const spent = [budget('day', { maxTotalTokens: 14 })]
  const { gateway, configured } = counting(spent)
  await gateway.chat(ask())
  await gateway.reload(configured([]))
  expect(gateway.budgets()).toEqual([])
  await gateway.chat(ask())
  await gateway.reload(configured(spent))
  expect((await failureOf(gateway.chat(ask()))).code).toBe('BUDGET_EXCEEDED')
  expect(gateway.budgets()[0].spent.totalTokens).toBe(15)
})
