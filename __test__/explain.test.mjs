import { describe, expect, test, vi } from 'vitest'
import { registerModelPricing } from '../index.mjs'
import {
  ask,
  budget,
  chain,
  custom,
  customs,
  failureOf,
  gatewayOf,
  pool,
  provider,
  result,
  rule,
} from './helpers/config.mjs'
import { openai, status, upstream } from './helpers/upstream.mjs'

const says = (name) => async () => name

test('tells the rule and its target, and asks nobody', async () => {
  registerModelPricing('model-of-main', { inputPer1kTokens: 1, outputPer1kTokens: 1 })
  const own = customs({ main: says('main') })
  const { gateway, logs } = gatewayOf({ ...own, rules: [rule('main', { name: 'chat', match: { taskType: 'chat' } })] })
  const explanation = gateway.explain(ask({ taskType: 'chat', maxTokens: 100 }))
  expect(explanation).toEqual({
    rule: 'chat',
    excluded: [],
    candidates: [
      {
        provider: 'main',
        model: 'model-of-main',
        source: 'target',
        from: 'target',
        loaded: true,
        state: 'closed',
        estimatedInputTokens: expect.any(Number),
        estimatedCostUsd: expect.any(Number),
      },
    ],
    budget: { allowed: true, warnings: [] },
  })
  const [{ estimatedInputTokens, estimatedCostUsd }] = explanation.candidates
  expect(estimatedInputTokens).toBeGreaterThan(3)
  expect(estimatedCostUsd).toBeCloseTo((estimatedInputTokens + 100) / 1000)
  expect([own.counts(), logs]).toEqual([[0], []])
})

test('a request that matches nothing has no rule and no candidates', () => {
  const { gateway } = gatewayOf({
    ...customs({ main: says('main') }),
    rules: [rule('main', { match: { taskType: 'chat' } })],
  })
  expect(gateway.explain(ask())).toEqual({ excluded: [], candidates: [], budget: { allowed: true, warnings: [] } })
})

test('rules whose constraints the estimate exceeds are told where none is left', () => {
  const { gateway } = gatewayOf({
    ...customs({ main: says('main') }),
    rules: [rule('main', { name: 'short', constraints: { maxInputTokens: 2 } })],
  })
  const { rule: taken, excluded } = gateway.explain(ask())
  expect(taken).toBeUndefined()
  expect(excluded).toEqual([{ rule: 'short', constraint: 'maxInputTokens', limit: 2, estimate: expect.any(Number) }])
})

test('rules that were passed over are told where another is left', () => {
  const { gateway } = gatewayOf({
    ...customs({ main: says('main') }),
    rules: [
      rule('main', { name: 'short', priority: 1, constraints: { maxInputTokens: 2 } }),
      rule('main', { name: 'long' }),
    ],
  })
  expect(gateway.explain(ask())).toMatchObject({
    rule: 'long',
    excluded: [{ rule: 'short', constraint: 'maxInputTokens' }],
  })
})

test('a target that is not loaded is missing', () => {
  const own = customs({ main: says('main') }, { main: { enabled: false } })
  const { gateway } = gatewayOf({ ...own, rules: [rule('main')] })
  expect(gateway.explain(ask())).toMatchObject({ missing: 'main', candidates: [] })
})

test("a chain's steps are candidates in order, those that are not loaded too", () => {
  const own = customs({ a: says('a'), b: says('b'), c: says('c') }, { b: { enabled: false } })
  const { gateway } = gatewayOf({ ...own, chains: [chain('safe', 'a', 'b', ['c', { model: 'other' }])] })
  const { chain: name, candidates } = gateway.explain(ask())
  expect(name).toBe('safe')
  expect(candidates.map(({ provider, model, from, loaded }) => [provider, model, from, loaded])).toEqual([
    ['a', 'model-of-a', 'chain', true],
    ['b', 'model-of-a', 'chain', false],
    ['c', 'other', 'chain', true],
  ])
})

describe('pools', () => {
  test('members come with their scores, in the order they would be asked, before the chain', () => {
    registerModelPricing('dear', { inputPer1kTokens: 0.01, outputPer1kTokens: 0.01 })
    registerModelPricing('cheap', { inputPer1kTokens: 0.001, outputPer1kTokens: 0.001 })
    const { gateway } = gatewayOf({
      ...customs({ a: says('a'), b: says('b') }),
      rules: [
        pool(
          [
            ['a', 'dear'],
            ['b', 'cheap'],
          ],
          { strategy: 'cost', fallbackChain: 'last' },
        ),
      ],
      chains: [chain('last', ['a', { model: 'reserve' }])],
    })
    const { strategy, chain: name, candidates } = gateway.explain(ask())
    expect([strategy, name]).toEqual(['cost', 'last'])
    expect(candidates.map(({ model, from }) => [model, from])).toEqual([
      ['cheap', 'pool'],
      ['dear', 'pool'],
      ['reserve', 'chain'],
    ])
    const [cheap, dear, step] = candidates
    expect(cheap.score).toBe(cheap.estimatedCostUsd)
    expect(dear.score).toBeCloseTo(cheap.score * 10)
    expect(step).not.toHaveProperty('score')
  })

  test("explaining takes nobody's turn", async () => {
    const { gateway } = gatewayOf({
      ...customs({ a: says('a'), b: says('b') }),
      rules: [pool(['a', 'b'], { strategy: 'round_robin' })],
    })
    for (const wanted of ['a', 'b', 'a', 'b']) {
      for (let i = 0; i < 3; i++) expect(gateway.explain(ask()).candidates[0].provider).toBe(wanted)
      expect((await gateway.chat(ask())).content).toBe(wanted)
    }
  })

  test('by consistent_hash, the first is the one that will be asked', async () => {
    const { gateway } = gatewayOf({
      ...customs({ a: says('a'), b: says('b'), c: says('c') }),
      rules: [pool(['a', 'b', 'c'], { strategy: 'consistent_hash' })],
    })
    for (const userId of ['ada', 'grace', 'linus', 'ken']) {
      const [{ provider }] = gateway.explain(ask({ userId })).candidates
      expect((await gateway.chat(ask({ userId }))).content).toBe(provider)
    }
  })

  test('one that is let alone comes last, and says for how long', async () => {
    const bad = await upstream(status(500))
    const good = await upstream(openai.answer())
    const { gateway } = gatewayOf({
      providers: [
        provider('bad', bad.url, { breaker: { failureThreshold: 1, cooldownMs: 5000 } }),
        provider('good', good.url, { priority: 1 }),
      ],
      rules: [pool(['bad', 'good'])],
    })
    expect(gateway.explain(ask()).candidates.map(({ provider }) => provider)).toEqual(['bad', 'good'])
    await gateway.chat(ask())
    const [first, last] = gateway.explain(ask()).candidates
    expect(first).toMatchObject({ provider: 'good', state: 'closed' })
    expect(first).not.toHaveProperty('blockedMs')
    expect(last).toMatchObject({ provider: 'bad', state: 'open', score: null })
    expect(last.blockedMs).toBeGreaterThan(0)
    expect(last.blockedMs).toBeLessThanOrEqual(5000)
  })
})

test('what a provider would refuse is told', () => {
  const providers = [
    { name: 'claude', provider: 'anthropic', models: ['claude-haiku-4-5'], auth: { type: 'none' } },
    provider('main', 'http://127.0.0.1:9', { priority: 1 }),
  ]
  const { gateway } = gatewayOf({ providers, rules: [pool(['claude', 'main'])] })
  const content = [{ type: 'audio', data: 'AAAA', mimeType: 'audio/wav' }]
  const [claude, main] = gateway.explain(ask({ messages: [{ role: 'user', content }] })).candidates
  expect(claude.refuses).toMatch(/claude.*audio/)
  expect(claude.unsupported).toBe(claude.refuses)
  expect(claude.source).toBe(claude.from)
  expect(main).not.toHaveProperty('refuses')
  expect(gateway.explain(ask()).candidates[0]).not.toHaveProperty('refuses')
})

test('a budget that would refuse is told', async () => {
  const tiny = budget('tiny', { maxTotalTokens: 4 }, { enforcement: 'strict' })
  const { gateway } = gatewayOf({ ...customs({ main: says('main') }), budgets: [tiny] })
  expect(gateway.explain(ask({ maxTokens: 1 })).budget).toMatchObject({ allowed: false, blockedBy: 'tiny' })
  // Nothing was reserved for it.
  const roomy = gatewayOf({ ...customs({ main: says('main') }), budgets: [budget('roomy', { maxTotalTokens: 1000 })] })
  for (let i = 0; i < 50; i++) expect(roomy.gateway.explain(ask({ maxTokens: 100 })).budget.allowed).toBe(true)
})

describe('budgets say what they will say of the call', () => {
  const over = (policy, chat = says('main')) => gatewayOf({ ...customs({ main: chat }), budgets: [policy] })
  const refused = { kind: 'budget_exceeded' }

  test('a strict one reckons with its cap where the request has no bound', async () => {
    const { gateway } = over(budget('strict', { maxTotalTokens: 4000 }, { enforcement: 'strict' }))
    expect(gateway.explain(ask()).budget).toEqual({
      allowed: false,
      blockedBy: 'strict',
      warnings: [expect.stringMatching(/^\[strict\] total tokens \d+ > limit 4000$/)],
    })
    expect(await failureOf(gateway.chat(ask()))).toMatchObject(refused)
    expect(gateway.explain(ask({ maxTokens: 100 })).budget.allowed).toBe(true)
    await gateway.chat(ask({ maxTokens: 100 }))
  })

  test('a hard one looks at what is spent and at what calls in flight hold, not at the call itself', async () => {
    let answer
    const answered = new Promise((resolve) => {
      answer = resolve
    })
    const { gateway } = over(budget('hard', { maxTotalTokens: 100 }), () => answered)
    const allowed = () => gateway.explain(ask({ maxTokens: 200 })).budget.allowed
    expect(allowed()).toBe(true)
    const held = gateway.chat(ask({ maxTokens: 200 }))
    await vi.waitFor(() => expect(allowed()).toBe(false))
    expect(await failureOf(gateway.chat(ask({ maxTokens: 200 })))).toMatchObject(refused)
    answer(result('main', { inputTokens: 60, outputTokens: 30, totalTokens: 90 }))
    await held
    expect(allowed()).toBe(true)
    await gateway.chat(ask({ maxTokens: 200 }))
    expect(gateway.explain(ask()).budget).toMatchObject({ allowed: false, blockedBy: 'hard' })
    expect(await failureOf(gateway.chat(ask()))).toMatchObject(refused)
  })
})

test('models that are only explained get no account', async () => {
  const up = await upstream(status(500))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { breaker: { failureThreshold: 1 } })] })
  for (let number = 0; number < 300; number++) {
    const [candidate] = gateway.explain(ask({ model: `made-up-${number}` })).candidates
    expect(candidate.state).toBe('closed')
    expect(candidate).not.toHaveProperty('blockedMs')
  }
  await failureOf(gateway.chat(ask({ model: 'real' })))
  expect(gateway.health()[0].targets.map(({ model, state }) => [model, state])).toEqual([['real', 'open']])
  expect(gateway.explain(ask({ model: 'real' })).candidates[0]).toMatchObject({
    state: 'open',
    blockedMs: expect.any(Number),
  })
  expect(gateway.explain(ask({ model: 'other' })).candidates[0].state).toBe('closed')
})

test('a request that cannot be used is refused', async () => {
  const { gateway } = gatewayOf({
    providers: [custom('main')],
    customProviders: { custom: () => ({ name: 'main', family: 'custom' }) },
  })
  const error = await failureOf(() => gateway.explain({ messages: [] }))
  expect(error).toMatchObject({ kind: 'invalid_request', details: { path: 'messages' } })
  expect((await failureOf(() => gateway.explain())).kind).toBe('invalid_request')
})
