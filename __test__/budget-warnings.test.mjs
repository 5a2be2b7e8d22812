// `onBudgetWarning`: what budgets warn of, as an event beside the line on the console.
import { expect, test, vi } from 'vitest'
import { ask, budget, config, customs, failureOf, provider, result } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'
import { Gateway } from '../index.mjs'

const TOKENS = { inputTokens: 10, outputTokens: 5 }

/** A gateway whose calls come to 15 tokens, its events, and its lines on the console. */
function warned(budgets, options = {}, entries = undefined) {
  const events = []
  const lines = []
  vi.spyOn(console, 'warn').mockImplementation((line) => lines.push(line))
  const { providers, customProviders } = customs({ a: () => result('a', TOKENS) })
  const gateway = new Gateway({
    config: config({ providers: entries ?? providers, budgets }),
    customProviders,
    onUsageLog: () => {},
    onBudgetWarning: (event) => void events.push(event),
    ...options,
  })
  return { gateway, events, lines }
}

const amount = (calls) => ({ inputTokens: 10 * calls, outputTokens: 5 * calls, totalTokens: 15 * calls, costUsd: 0 })

test('a fraction of a limit that is reached is told once, with how the budget stands', async () => {
  const limits = { maxTotalTokens: 40, warnAt: 0.5 }
  const window = { unit: 'day', timeZone: 'Asia/Kolkata' }
  const { gateway, events, lines } = warned([budget('tiers', limits, { scope: { type: 'user' }, window })])
  await gateway.chat(ask({ userTier: 'free' }))
  expect(events).toEqual([])
  const { requestId } = await gateway.chat(ask({ userTier: 'free' }))
  const message = '50% of the budget is used: total tokens 30 of 40'
  expect(events).toEqual([
    {
      policy: 'tiers',
      scopeValue: 'free',
      kind: 'warn_at',
      message,
      spent: amount(2),
      reserved: amount(0),
      limits,
      windowEndsAt: expect.stringMatching(/T18:30:00\.000Z$/),
      requestId,
    },
  ])
  expect(lines).toEqual([`[budget-warn] [tiers] ${message}`])
  await gateway.chat(ask({ userTier: 'pro' }))
  expect(events.length).toBe(1)
})

test('limits that are exceeded say whether the call went on', async () => {
  const { gateway, events, lines } = warned([
    budget('soft', { maxTotalTokens: 14 }, { enforcement: 'soft' }),
    budget('hard', { maxTotalTokens: 29 }),
  ])
  await gateway.chat(ask())
  const passed = await gateway.chat(ask())
  const refused = await failureOf(gateway.chat(ask()))
  expect(refused.code).toBe('BUDGET_EXCEEDED')
  const told = events.map(({ policy, kind, message, requestId }) => [policy, kind, message, requestId])
  expect(told).toEqual([
    ['soft', 'soft_limit_exceeded', 'total tokens 15 > limit 14', passed.requestId],
    ['soft', 'soft_limit_exceeded', 'total tokens 30 > limit 14', refused.requestId],
    ['hard', 'refused', 'total tokens 30 > limit 29', refused.requestId],
  ])
  expect(lines).toEqual(told.map(([policy, , message]) => `[budget-warn] [${policy}] ${message}`))
})

test('a price that nobody knows is told, whether the call is free or refused', async () => {
  const limits = { maxCostUsd: 1 }
  const { gateway, events } = warned([budget('free', limits), budget('none', limits, { unknownPrice: 'refuse' })])
  await failureOf(gateway.chat(ask()))
  expect(events.map(({ policy, kind }) => [policy, kind])).toEqual([['none', 'refused']])
  const lenient = warned([budget('free', limits)])
  await lenient.gateway.chat(ask())
  expect(lenient.events).toMatchObject([{ policy: 'free', kind: 'unknown_price', limits }])
})

test('a stream that brings the warning tells it, too', async () => {
  const up = await upstream(openai.stream(['x']))
  const { gateway, events } = warned([budget('day', { maxTotalTokens: 20, warnAt: 0.1 })], {}, [
    provider('main', up.url),
  ])
  const { stream, requestId } = await gateway.chatStream(ask())
  for await (const _ of stream);
  await vi.waitFor(() => expect(events).toMatchObject([{ kind: 'warn_at', requestId }]))
})

test('a handler that fails is said once, and costs no answer', async () => {
  for (const onBudgetWarning of [
    () => {
      throw new Error('no room')
    },
    () => Promise.reject(new Error('no room')),
  ]) {
    const { gateway, lines } = warned([budget('soft', { maxTotalTokens: 1 }, { enforcement: 'soft' })], {
      onBudgetWarning,
    })
    for (let call = 0; call < 4; call++) await gateway.chat(ask())
    await gateway.close()
    const said = lines.filter((line) => line.startsWith('[gateway]'))
    expect(said).toEqual([expect.stringMatching(/^\[gateway\] onBudgetWarning failed: no room\..*\(said once\)$/)])
    expect(lines.length).toBe(4)
  }
})

test('close() waits for a handler, and no call does', async () => {
  let finish
  let settled = false
  const onBudgetWarning = () =>
    new Promise((resolve) => {
      finish = resolve
    }).then(() => {
      settled = true
    })
  const { gateway } = warned([budget('soft', { maxTotalTokens: 20, warnAt: 0.1 })], {
    onBudgetWarning,
    usageLogTimeoutMs: 0,
  })
  expect((await gateway.chat(ask())).content).toBe('a')
  await vi.waitFor(() => expect(finish).toBeTypeOf('function'))
  const closed = gateway.close().then(() => settled)
  finish()
  expect(await closed).toBe(true)
})

test('each gateway hears of its own budgets, after a reload as before', async () => {
  const one = warned([budget('one', { maxTotalTokens: 1 }, { enforcement: 'soft' })])
  const { providers, customProviders } = customs({ a: () => result('a', TOKENS) })
  const next = config({ providers, budgets: [budget('two', { maxTotalTokens: 1 }, { enforcement: 'soft' })] })
  const other = new Gateway({ config: next, customProviders, onUsageLog: () => {} })
  await other.chat(ask())
  await other.chat(ask())
  await one.gateway.reload(next)
  await one.gateway.chat(ask())
  await one.gateway.chat(ask())
  expect(one.events.map(({ policy }) => policy)).toEqual(['two'])
})

test('a handler that is none is refused', () => {
  expect(() => warned([], { onBudgetWarning: 'mail' })).toThrow('onBudgetWarning: must be a function')
})
