import { describe, expect, test } from 'vitest'
import { BudgetGuard, BudgetTracker, GatewayError } from '../index.mjs'
import { ask, budget, collect, consoleLines, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

const usage = (inputTokens, outputTokens = 0, costUsd = 0) => ({ inputTokens, outputTokens, costUsd })

describe('BudgetTracker', () => {
  /** What a check says of `pending` after `spent` was recorded. */
  const checked = (policy, spent, pending) => {
    const tracker = new BudgetTracker()
    tracker.record(policy, 'key', spent)
    return tracker.check(policy, 'key', pending)
  }

  describe.each(['hour', 'day', 'month'])('over the window %s', (window) => {
    const policy = (limits) => budget('p', limits, { window })

    test('allows up to the limit', () => {
      expect(checked(policy({ maxTotalTokens: 100 }), usage(50, 20), usage(20, 10))).toStrictEqual({
        allowed: true,
        warn: false,
      })
    })

    test.each([
      [{ maxTotalTokens: 100 }, usage(50, 20), usage(20, 11), 'total tokens 101 > limit 100'],
      [{ maxInputTokens: 100 }, usage(90), usage(11), 'input tokens exceeded limit 100'],
      [{ maxCostUsd: 1 }, usage(0, 0, 0.75), usage(0, 0, 0.5), 'cost $1.2500 > limit $1'],
      [{ maxCostUsd: 0.5 }, usage(0, 0, 0.5), usage(0, 0, 0.00012), 'cost $0.5001 > limit $0.5'],
    ])('refuses beyond %j', (limits, spent, pending, reason) => {
      expect(checked(policy(limits), spent, pending)).toStrictEqual({ allowed: false, warn: true, reason })
    })

    test('counts what is recorded, again and again', () => {
      const tracker = new BudgetTracker()
      const limited = policy({ maxTotalTokens: 10 })
      for (let i = 0; i < 5; i++) tracker.record(limited, 'key', usage(1, 1))
      expect(tracker.check(limited, 'key', usage(0)).allowed).toBe(true)
      expect(tracker.check(limited, 'key', usage(1)).reason).toBe('total tokens 11 > limit 10')
    })
  })

  test('enforces maxOutputTokens', () => {
    const policy = budget('p', { maxOutputTokens: 10 })
    expect(checked(policy, usage(99, 5), usage(99, 5)).allowed).toBe(true)
    expect(checked(policy, usage(0, 5), usage(0, 6)).allowed).toBe(false)
  })

  test('counts nothing when it checks', () => {
    const tracker = new BudgetTracker()
    const policy = budget('p', { maxTotalTokens: 10 })
    for (let i = 0; i < 5; i++) expect(tracker.check(policy, 'key', usage(9)).allowed).toBe(true)
  })

  test('allows with a warning what a soft policy’s limit forbids', () => {
    const soft = budget('p', { maxTotalTokens: 1 }, { enforcement: 'soft' })
    expect(checked(soft, usage(0), usage(2))).toStrictEqual({
      allowed: true,
      warn: true,
      reason: 'total tokens 2 > limit 1',
    })
  })

  test('a limit of 0 or none at all is no limit', () => {
    const zero = { maxTotalTokens: 0, maxInputTokens: 0, maxOutputTokens: 0, maxCostUsd: 0 }
    for (const limits of [zero, {}, undefined]) {
      expect(checked(budget('p', limits), usage(9e9, 9e9, 9e9), usage(1, 1, 1))).toStrictEqual({
        allowed: true,
        warn: false,
      })
    }
  })

  test.each([
    [{ maxTotalTokens: 100, warnAt: 0.8 }, usage(79), usage(80)],
    [{ maxInputTokens: 100, warnAt: 0.5 }, usage(49), usage(50)],
    [{ maxCostUsd: 10, warnAt: 0.9 }, usage(0, 0, 8.9), usage(0, 0, 9)],
  ])('warns without a reason from warnAt on: %j', (limits, below, at) => {
    const policy = budget('p', limits)
    expect(checked(policy, usage(0), below)).toStrictEqual({ allowed: true, warn: false })
    expect(checked(policy, usage(0), at)).toStrictEqual({ allowed: true, warn: true })
    expect(checked(policy, at, usage(0))).toStrictEqual({ allowed: true, warn: true })
  })

  test('keeps keys, policies and trackers apart', () => {
    const tracker = new BudgetTracker()
    const policy = budget('p', { maxTotalTokens: 5 })
    tracker.record(policy, 'key', usage(6))
    expect(tracker.check(policy, 'key', usage(0)).allowed).toBe(false)
    expect(tracker.check(policy, 'other', usage(0)).allowed).toBe(true)
    expect(tracker.check(budget('q', policy.limits), 'key', usage(0)).allowed).toBe(true)
    expect(new BudgetTracker().check(policy, 'key', usage(0)).allowed).toBe(true)
  })

  describe('over the window request', () => {
    const policy = (limits) => budget('p', limits, { window: 'request' })

    test('adds nothing up', () => {
      expect(checked(policy({ maxInputTokens: 10 }), usage(1000), usage(10)).allowed).toBe(true)
    })

    test.each([
      [{ maxInputTokens: 10 }, usage(11), 'request input tokens 11 > limit 10'],
      [{ maxCostUsd: 0.5 }, usage(0, 0, 0.6), 'request cost > limit $0.5'],
    ])('refuses beyond %j', (limits, pending, reason) => {
      expect(checked(policy(limits), usage(0), pending)).toStrictEqual({ allowed: false, warn: true, reason })
    })
  })
})

describe('BudgetGuard', () => {
  const scoped = (type, key) =>
    budget('p', { maxTotalTokens: 10 }, { scope: key === undefined ? { type } : { type, key } })

  test('allows where there is no policy', () => {
    expect(new BudgetGuard([]).check(ask(), usage(9e9))).toStrictEqual({ allowed: true, warnings: [] })
  })

  test('names the policy that blocks, and why', () => {
    const guard = new BudgetGuard([budget('wide', { maxTotalTokens: 100 }), budget('tight', { maxTotalTokens: 10 })])
    guard.record(ask(), usage(10))
    expect(guard.check(ask(), usage(1))).toStrictEqual({
      allowed: false,
      warnings: ['[tight] total tokens 11 > limit 10'],
      blockedBy: 'tight',
    })
  })

  test('warns of soft policies and allows', () => {
    const guard = new BudgetGuard([budget('gentle', { maxCostUsd: 1 }, { enforcement: 'soft' })])
    expect(guard.check(ask(), usage(0, 0, 2))).toStrictEqual({
      allowed: true,
      warnings: ['[gentle] cost $2.0000 > limit $1'],
    })
  })

  test('goes by every policy that covers a request', () => {
    const soft = { enforcement: 'soft' }
    const guard = new BudgetGuard([
      budget('one', { maxTotalTokens: 1 }, soft),
      budget('two', { maxInputTokens: 1 }, soft),
      budget('three', { maxInputTokens: 1 }, { window: 'request' }),
    ])
    expect(guard.check(ask(), usage(5))).toStrictEqual({
      allowed: false,
      warnings: [
        '[one] total tokens 5 > limit 1',
        '[two] input tokens exceeded limit 1',
        '[three] request input tokens 5 > limit 1',
      ],
      blockedBy: 'three',
    })
  })

  test('a global policy counts everything together', () => {
    const guard = new BudgetGuard([scoped('global')])
    guard.record(ask({ userTier: 'free', feature: 'search' }), usage(10))
    expect(guard.check(ask({ userTier: 'pro', model: 'm' }), usage(1)).allowed).toBe(false)
  })

  describe.each([
    ['user', 'userTier'],
    ['feature', 'feature'],
    ['model', 'model'],
  ])('a policy of scope %s', (type, field) => {
    test('counts each value on its own', () => {
      const guard = new BudgetGuard([scoped(type)])
      guard.record(ask({ [field]: 'x' }), usage(10))
      expect(guard.check(ask({ [field]: 'x' }), usage(1))).toMatchObject({ allowed: false, blockedBy: 'p' })
      expect(guard.check(ask({ [field]: 'y' }), usage(1)).allowed).toBe(true)
    })

    test('counts requests without a value as default', () => {
      const guard = new BudgetGuard([scoped(type)])
      guard.record(ask(), usage(10))
      expect(guard.check(ask(), usage(1)).allowed).toBe(false)
      expect(guard.check(ask({ [field]: 'default' }), usage(1)).allowed).toBe(false)
      expect(guard.check(ask({ [field]: 'x' }), usage(1)).allowed).toBe(true)
    })

    test('covers only the value of its key', () => {
      const guard = new BudgetGuard([scoped(type, 'x')])
      guard.record(ask({ [field]: 'y' }), usage(100))
      expect(guard.check(ask({ [field]: 'y' }), usage(100)).allowed).toBe(true)
      expect(guard.check(ask(), usage(100)).allowed).toBe(true)
      expect(guard.check(ask({ [field]: 'x' }), usage(10)).allowed).toBe(true)
      guard.record(ask({ [field]: 'x' }), usage(10))
      expect(guard.check(ask({ [field]: 'x' }), usage(1)).allowed).toBe(false)
    })
  })

  test('keeps policies of one shape and different windows apart', () => {
    const windows = ['hour', 'day', 'month'].map((window) => budget(window, { maxTotalTokens: 10 }, { window }))
    const guard = new BudgetGuard(windows.map((policy, i) => ({ ...policy, limits: { maxTotalTokens: 10 * (3 - i) } })))
    guard.record(ask(), usage(15))
    expect(guard.check(ask(), usage(0)).blockedBy).toBe('month')
  })

  describe('enforce', () => {
    test('is silent where all is well', () => {
      const warnings = consoleLines('warn')
      expect(new BudgetGuard([scoped('global')]).enforce(ask(), usage(10))).toBeUndefined()
      expect(warnings.lines).toEqual([])
    })

    test('throws a GatewayError with policy and request id, and prints why', async () => {
      const warnings = consoleLines('warn')
      const guard = new BudgetGuard([budget('tight', { maxTotalTokens: 10 })])
      const error = await failureOf(() => guard.enforce(ask(), usage(11), 'request-1'))
      expect(error).toBeInstanceOf(GatewayError)
      expect(error).toMatchObject({
        code: 'BUDGET_EXCEEDED',
        kind: 'budget_exceeded',
        message: 'Budget policy "tight" exceeded',
        httpStatus: 429,
        retryable: false,
        requestId: 'request-1',
        details: { policy: 'tight' },
      })
      expect(warnings.lines).toEqual(['[budget-warn] [tight] total tokens 11 > limit 10'])
    })

    test('prints the warnings of soft policies', () => {
      const warnings = consoleLines('warn')
      new BudgetGuard([budget('gentle', { maxTotalTokens: 10 }, { enforcement: 'soft' })]).enforce(ask(), usage(11))
      expect(warnings.lines).toEqual(['[budget-warn] [gentle] total tokens 11 > limit 10'])
    })
  })
})

describe('a gateway', () => {
  /** Answers that use 600 and 400 tokens, of a model that costs 0.0025 and 0.01 dollars for 1,000. */
  const spending = async (...budgets) => {
    const up = await upstream(openai.answer('x', { model: 'gpt-4o', usage: [600, 400] }))
    return { up, ...gatewayOf({ providers: [provider('main', up.url, { models: ['gpt-4o'] })], budgets }) }
  }

  test.each(['hour', 'day', 'month'])('stops at a hard limit over the window %s', async (window) => {
    const warnings = consoleLines('warn')
    const { up, gateway } = await spending(budget('cap', { maxTotalTokens: 1500 }, { window }))
    await gateway.chat(ask())
    await gateway.chat(ask())
    const error = await failureOf(gateway.chat(ask()))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject({
      code: 'BUDGET_EXCEEDED',
      kind: 'budget_exceeded',
      message: 'Budget policy "cap" exceeded',
      httpStatus: 429,
      details: { policy: 'cap' },
    })
    expect(error.requestId).toMatch(/^[0-9a-f-]{36}$/)
    expect(up.requests.length).toBe(2)
    expect(warnings.lines).toEqual([expect.stringMatching(/^\[budget-warn\] \[cap\] total tokens \d+ > limit 1500$/)])
  })

  test.each([
    ['maxInputTokens', 1000],
    ['maxOutputTokens', 700],
    ['maxTotalTokens', 1500],
    ['maxCostUsd', 0.008],
  ])('stops at %s', async (limit, amount) => {
    consoleLines('warn')
    const { up, gateway } = await spending(budget('cap', { [limit]: amount }))
    await gateway.chat(ask())
    await gateway.chat(ask())
    expect(await failureOf(gateway.chat(ask()))).toMatchObject({ code: 'BUDGET_EXCEEDED' })
    expect(up.requests.length).toBe(2)
  })

  test('refuses streams as well, and counts them', async () => {
    consoleLines('warn')
    const up = await upstream(openai.stream(['x'], { usage: [600, 400] }))
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url)],
      budgets: [budget('cap', { maxTotalTokens: 500 })],
    })
    await collect((await gateway.chatStream(ask())).stream)
    expect(await failureOf(gateway.chatStream(ask()))).toMatchObject({ code: 'BUDGET_EXCEEDED' })
    expect(up.requests.length).toBe(1)
  })

  test('goes on past a soft limit, with a warning', async () => {
    const warnings = consoleLines('warn')
    const { gateway } = await spending(budget('gentle', { maxTotalTokens: 500 }, { enforcement: 'soft' }))
    await gateway.chat(ask())
    await gateway.chat(ask())
    const lines = warnings.lines.filter((line) => line.startsWith('[budget-warn] [gentle] total tokens '))
    expect(lines.length).toBeGreaterThanOrEqual(1)
    expect(lines.length).toBe(warnings.lines.length)
  })

  test('prints a warning when warnAt is reached', async () => {
    const warnings = consoleLines('warn')
    const { gateway } = await spending(budget('early', { maxTotalTokens: 10_000, warnAt: 0.15 }))
    await gateway.chat(ask())
    expect(warnings.lines).toEqual([])
    await gateway.chat(ask())
    expect(warnings.lines.length).toBe(1)
    expect(warnings.lines[0]).toMatch(/^\[budget-warn\] \[early\] /)
  })

  test('limits one value of a scope and no other', async () => {
    consoleLines('warn')
    const { gateway } = await spending(
      budget('free', { maxTotalTokens: 500 }, { scope: { type: 'user', key: 'free' } }),
    )
    await gateway.chat(ask({ userTier: 'free' }))
    expect(await failureOf(gateway.chat(ask({ userTier: 'free' })))).toMatchObject({ details: { policy: 'free' } })
    await gateway.chat(ask({ userTier: 'pro' }))
    await gateway.chat(ask())
  })

  test.each([
    ['user', 'userTier'],
    ['feature', 'feature'],
    ['model', 'model'],
  ])('counts each value of the scope %s on its own', async (type, field) => {
    consoleLines('warn')
    const { gateway } = await spending(budget('each', { maxTotalTokens: 500 }, { scope: { type } }))
    await gateway.chat(ask({ [field]: 'x' }))
    await gateway.chat(ask({ [field]: 'y' }))
    expect(await failureOf(gateway.chat(ask({ [field]: 'x' })))).toMatchObject({ code: 'BUDGET_EXCEEDED' })
    expect(await failureOf(gateway.chat(ask({ [field]: 'y' })))).toMatchObject({ code: 'BUDGET_EXCEEDED' })
  })

  test('refuses a request that is too large for the window request', async () => {
    consoleLines('warn')
    const { up, gateway } = await spending(budget('each', { maxInputTokens: 50 }, { window: 'request' }))
    const long = { messages: [{ role: 'user', content: 'word '.repeat(200) }] }
    expect(await failureOf(gateway.chat(long))).toMatchObject({ code: 'BUDGET_EXCEEDED', details: { policy: 'each' } })
    expect(up.requests.length).toBe(0)
    await gateway.chat(ask())
    await gateway.chat(ask())
    expect(up.requests.length).toBe(2)
  })

  test('counts nothing for a call that failed', async () => {
    const up = await upstream({ status: 500 }, { status: 500 }, openai.answer())
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url)],
      budgets: [budget('cap', { maxTotalTokens: 10 })],
    })
    await failureOf(gateway.chat(ask()))
    await failureOf(gateway.chat(ask()))
    expect((await gateway.chat(ask())).content).toBe('Hello!')
  })

  test('two gateways count on their own', async () => {
    consoleLines('warn')
    const policy = budget('cap', { maxTotalTokens: 500 })
    const [one, two] = [await spending(policy), await spending(policy)]
    await one.gateway.chat(ask())
    expect(await failureOf(one.gateway.chat(ask()))).toMatchObject({ code: 'BUDGET_EXCEEDED' })
    await two.gateway.chat(ask())
  })
})
