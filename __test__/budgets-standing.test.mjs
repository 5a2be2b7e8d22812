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

test('a window of the calendar runs before its first call, and ends when its time zone says', async () => {
  const calendar = (unit, timeZone) => budget(unit, { maxTotalTokens: 1000 }, { window: { unit, timeZone } })
  const { gateway } = counting([calendar('hour'), calendar('day', 'Asia/Kolkata'), calendar('month', 'Asia/Kolkata')])
  const ends = () => gateway.budgets().map(({ windowEndsAt }) => windowEndsAt)
  const before = ends()
  for (const [index, shown] of ['00', '18:30:00', '18:30:00'].entries()) {
    expect(before[index]).toContain(`${shown}.000Z`)
    expect(Date.parse(before[index])).toBeGreaterThan(Date.now())
  }
  // In India the month begins with the next window.
  const day = new Intl.DateTimeFormat('en', { timeZone: 'Asia/Kolkata', day: 'numeric' })
  expect(day.format(new Date(before[2]))).toBe('1')
  await gateway.chat(ask())
  if (Date.parse(before[0]) > Date.now()) expect(ends()).toEqual(before)
  expect(gateway.budgets()[2].spent.totalTokens).toBe(15)
})

test('a time zone that is none is refused with what may be meant', () => {
  const wrong = budget('day', { maxTotalTokens: 1 }, { window: { unit: 'day', timeZone: 'Europe/Berln' } })
  expect(() => counting([wrong])).toThrow(
    'budgets[0].window.timeZone: must be an IANA time zone, such as "UTC" or "Europe/Berlin"; did you mean "Europe/Berlin"?',
  )
})

test('a budget of client keys counts calls in process under "default"', async () => {
  const { gateway } = counting([
    budget('keys', { maxTotalTokens: 1000 }, { scope: { type: 'key' } }),
    budget('one', { maxTotalTokens: 1 }, { scope: { type: 'team', key: 'red' } }),
  ])
  await gateway.chat(ask())
  await gateway.chat(ask())
  const [keys, one] = gateway.budgets()
  expect(keys).toMatchObject({ scopeValue: 'default', spent: { totalTokens: 30 } })
  expect(one).toMatchObject({ scopeValue: 'red', spent: { totalTokens: 0 } })
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
