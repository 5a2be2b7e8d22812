import { expect, test } from 'vitest'
import { createCostTracker } from '../index.mjs'

const call = (fields) => ({ provider: 'p', model: 'm', inputTokens: 10, outputTokens: 5, ...fields })

test('ten times 0.1 is 1', () => {
  const { record, total } = createCostTracker()
  for (let i = 0; i < 10; i++) record(call({ estimatedCostUsd: 0.1 }))
  expect(total()).toEqual({ calls: 10, inputTokens: 100, outputTokens: 50, totalTokens: 150, costUsd: 1 })
})

test('sums stand by model and by provider, until a reset', () => {
  const tracker = createCostTracker()
  tracker.record(call({ estimatedCostUsd: 1 }))
  tracker.record(call({ model: 'n', estimatedCostUsd: 2 }))
  tracker.record(call({ provider: 'q', estimatedCostUsd: 4 }))
  expect(tracker.byModel()).toMatchObject({ m: { calls: 2, costUsd: 5 }, n: { calls: 1, costUsd: 2 } })
  expect(tracker.byProvider()).toMatchObject({ p: { calls: 2, costUsd: 3 }, q: { calls: 1, costUsd: 4 } })
  tracker.reset()
  expect(tracker.total().calls).toBe(0)
  expect(tracker.byModel()).toEqual({})
})

test("prices given go before the call's own cost, and the gateway's before nothing", () => {
  const { record, byModel } = createCostTracker({ pricing: { m: { inputPer1kTokens: 1, outputPer1kTokens: 2 } } })
  record(call({ estimatedCostUsd: 9 }))
  record(call({ model: 'gpt-4o-mini', inputTokens: 1000, outputTokens: 1000 }))
  expect(byModel().m.costUsd).toBe(0.02)
  expect(byModel()['gpt-4o-mini'].costUsd).toBeCloseTo(0.00015 + 0.0006, 12)
})

test('sums stand by user and by feature', () => {
  const tracker = createCostTracker()
  tracker.record(call({ userId: 'ada', feature: 'chat', estimatedCostUsd: 1 }))
  tracker.record(call({ userId: 'ada', estimatedCostUsd: 2 }))
  tracker.record(call({ feature: 'chat', estimatedCostUsd: 4 }))
  expect(tracker.byUser()).toMatchObject({ ada: { calls: 2, costUsd: 3 }, default: { calls: 1, costUsd: 4 } })
  expect(tracker.byFeature()).toMatchObject({ chat: { calls: 2, costUsd: 5 }, default: { calls: 1, costUsd: 2 } })
  tracker.reset()
  expect([tracker.byUser(), tracker.byFeature()]).toEqual([{}, {}])
})
