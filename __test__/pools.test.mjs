import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { GatewayError, registerModelPricing } from '../index.mjs'
import {
  ask,
  budget,
  chain,
  collect,
  customs,
  failureOf,
  gatewayOf,
  pool,
  provider,
  result,
} from './helpers/config.mjs'
import { cut, live, openai, status, upstream } from './helpers/upstream.mjs'

const says = (name) => async () => name
const fails =
  (kind = 'provider_network', fields = {}) =>
  async (_, number) => {
    throw new GatewayError({ code: kind.toUpperCase(), kind, message: `failure ${number}`, retryable: true, ...fields })
  }
const three = { a: says('a'), b: says('b'), c: says('c') }

/** Who answers `count` calls, one after the other. */
async function answers(gateway, count, request = () => ({})) {
  const said = []
  for (let i = 0; i < count; i++) said.push((await gateway.chat(ask(request(i)))).content)
  return said.join('')
}

const times = (text, letter) => text.split(letter).length - 1

describe('strategies', () => {
  test('priority: the lowest number, and the next group only when that one fails', async () => {
    const { providers, customProviders, counts } = customs(
      { ...three, a: fails() },
      { a: { priority: 0 }, b: { priority: 1 }, c: { priority: 2 } },
    )
    const { gateway } = gatewayOf({ providers, customProviders, rules: [pool(['c', 'b', 'a'])] })
    expect(await answers(gateway, 3)).toBe('bbb')
    expect(counts()).toEqual([3, 3, 0])
  })

  test("weighted: by weight, a member's own before the entry's", async () => {
    const own = customs(three, { a: { weight: 1_000_000 }, c: { weight: 1_000_000 } })
    const rules = [pool([['a', { weight: 1e-6 }], ['b', { weight: 1e-6 }], 'c'], { strategy: 'weighted' })]
    expect(await answers(gatewayOf({ ...own, rules }).gateway, 20)).toBe('c'.repeat(20))
  })

  test('round_robin: in turn, exactly by weight, spread', async () => {
    const rules = [pool([['a', { weight: 5 }], 'b', 'c'], { strategy: 'round_robin' })]
    const { gateway } = gatewayOf({ ...customs(three), rules })
    expect(await answers(gateway, 14)).toBe('aabacaaaabacaa')
  })

  test('least_busy: whoever has the fewest calls under way', async () => {
    const waiting = []
    const stuckOnce = (name) => async (_, number) => {
      if (waiting.length < 3 && number <= 3) await new Promise((resolve) => waiting.push(resolve))
      return name
    }
    const own = customs({ a: stuckOnce('a'), b: says('b') })
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'], { strategy: 'least_busy' })] })
    // `a` keeps what it is given: sooner or later it has a call under way, and from then on gets no more.
    const calls = []
    while (own.calls.a.length === 0) calls.push(await Promise.race([gateway.chat(ask()), sleep(20)]))
    expect(await answers(gateway, 10)).toBe('b'.repeat(10))
    expect(own.calls.a).toHaveLength(1)
    for (const resolve of waiting) resolve()
  })

  test('cost: the cheapest for this call; a price that nobody knows comes last', async () => {
    registerModelPricing('dear', { inputPer1kTokens: 0.01, outputPer1kTokens: 0.01 })
    registerModelPricing('cheap', { inputPer1kTokens: 0.001, outputPer1kTokens: 0.001 })
    const own = customs({ a: says('a'), b: says('b'), c: says('c') })
    const rules = [
      pool(
        [
          ['a', 'nobody-knows-its-price'],
          ['b', 'dear'],
          ['c', 'cheap'],
        ],
        { strategy: 'cost' },
      ),
    ]
    const { gateway } = gatewayOf({ ...own, rules })
    expect(await answers(gateway, 5)).toBe('ccccc')
    expect(gateway.explain(ask()).candidates.map(({ model }) => model)).toEqual([
      'cheap',
      'dear',
      'nobody-knows-its-price',
    ])
  })

  test('latency: new targets first, then the quickest, and one call in ten looks after the others', async () => {
    const own = customs({ a: async () => (await sleep(40), 'a'), b: says('b') })
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'], { strategy: 'latency' })] })
    const said = await answers(gateway, 32)
    expect(new Set(said.slice(0, 2))).toEqual(new Set(['a', 'b']))
    expect(times(said.slice(2), 'a')).toBeGreaterThanOrEqual(1)
    expect(times(said.slice(2), 'a')).toBeLessThanOrEqual(4)
  })

  test('hybrid: by the weights of cost, latency and quality', async () => {
    registerModelPricing('dear', { inputPer1kTokens: 0.01, outputPer1kTokens: 0.01 })
    registerModelPricing('cheap', { inputPer1kTokens: 0.001, outputPer1kTokens: 0.001 })
    const settings = { quality: { dear: 0.9, cheap: 0.3 } }
    const members = [
      ['a', 'dear'],
      ['b', 'cheap'],
    ]
    const by = (weights) => {
      const target = { strategy: 'hybrid', weights: { latency: 0, ...weights } }
      return answers(
        gatewayOf({ ...customs({ a: says('a'), b: says('b') }), settings, rules: [pool(members, target)] }).gateway,
        4,
      )
    }
    expect(await by({ cost: 2, quality: 1 })).toBe('bbbb')
    expect(await by({ cost: 1, quality: 2 })).toBe('aaaa')
  })
})

describe('consistent_hash', () => {
  const request = {
    userId: (value) => ({ userId: value }),
    userTier: (value) => ({ userTier: value }),
    feature: (value) => ({ feature: value }),
    taskType: (value) => ({ taskType: value }),
    model: (value) => ({ model: value }),
    'metadata.session': (value) => ({ metadata: { session: value } }),
  }

  test.each(Object.keys(request))(
    '%s: the same value goes to the same target, and values are spread',
    async (hashKey) => {
      const { gateway } = gatewayOf({
        ...customs(three),
        rules: [pool(['a', 'b', 'c'], { strategy: 'consistent_hash', hashKey })],
      })
      const values = Array.from({ length: 40 }, (_, i) => `value ${i}`)
      const first = await answers(gateway, 40, (i) => request[hashKey](values[i]))
      expect(await answers(gateway, 40, (i) => request[hashKey](values[i]))).toBe(first)
      expect(new Set(first).size).toBe(3)
    },
  )

  test('userId is the default, another gateway picks the same, and numbers in metadata count', async () => {
    const of = (hashKey) =>
      gatewayOf({ ...customs(three), rules: [pool(['a', 'b', 'c'], { strategy: 'consistent_hash', hashKey })] }).gateway
    const byUser = await answers(of(), 20, (i) => ({ userId: `u${i}` }))
    expect(await answers(of('userId'), 20, (i) => ({ userId: `u${i}` }))).toBe(byUser)
    const shard = of('metadata.shard')
    expect(await answers(shard, 5, () => ({ metadata: { shard: 7 } }))).toMatch(/^(.)\1{4}$/)
  })

  test('when a target fails, its values go to the second one for each, and no others move', async () => {
    let down = false
    const own = customs({ ...three, b: async () => (down ? fails()(0, 0) : 'b') })
    const { gateway } = gatewayOf({
      ...own,
      rules: [pool(['a', 'b', 'c'], { strategy: 'consistent_hash' })],
      settings: { retryBudget: { reserve: 1000 } },
    })
    const all = () => answers(gateway, 40, (i) => ({ userId: `u${i}` }))
    const before = await all()
    down = true
    const after = await all()
    expect([...after].filter((to, i) => to !== before[i] && before[i] !== 'b')).toEqual([])
    expect(new Set([...after].filter((_, i) => before[i] === 'b'))).toEqual(new Set(['a', 'c']))
  })
})

describe('fail-over', () => {
  test('the next target answers, and the answer tells of each attempt', async () => {
    const bad = await upstream(status(500))
    const lost = await upstream(cut)
    const good = await upstream(openai.answer('There.'))
    const { gateway, logs } = gatewayOf({
      providers: [
        provider('bad', bad.url, { priority: 0 }),
        provider('lost', lost.url, { priority: 1 }),
        provider('good', good.url, { priority: 2 }),
      ],
      rules: [pool(['bad', 'lost', 'good'])],
    })
    const answer = await gateway.chat(ask())
    expect(answer).toMatchObject({ content: 'There.', provider: 'good', fallbackTriggered: true, fallbackFrom: 'bad' })
    const latencyMs = expect.any(Number)
    expect(answer.attempts).toEqual([
      { provider: 'bad', model: 'gpt-4o-mini', errorCode: 'PROVIDER_RESPONSE', latencyMs },
      { provider: 'lost', model: 'gpt-4o-mini', errorCode: 'PROVIDER_NETWORK', latencyMs },
      { provider: 'good', model: 'gpt-4o-mini', latencyMs },
    ])
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({ provider: 'good', success: true, routeRule: 'pool', fallbackFrom: 'bad' })
  })

  test('an answer at once has no attempts', async () => {
    const { gateway } = gatewayOf({ ...customs(three), rules: [pool(['a'])] })
    expect(await gateway.chat(ask())).not.toHaveProperty('attempts')
  })

  test('retries of one target are attempts, too', async () => {
    const up = await upstream(status(503), openai.answer())
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url, { retry: { maxAttempts: 2, backoffMs: 1, jitter: 'full' } })],
    })
    const { attempts } = await gateway.chat(ask())
    expect(attempts.map(({ provider, errorCode }) => [provider, errorCode])).toEqual([
      ['main', 'PROVIDER_RESPONSE'],
      ['main', undefined],
    ])
  })

  test('a stream fails over before its first content', async () => {
    const bad = await upstream(status(502))
    const good = await upstream(openai.stream(['On', ' it.']))
    const { gateway } = gatewayOf({
      providers: [provider('bad', bad.url), provider('good', good.url, { priority: 1 })],
      rules: [pool(['bad', 'good'])],
    })
    const { stream, getUsageSummary } = await gateway.chatStream(ask())
    expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('On it.')
    const summary = await getUsageSummary()
    expect(summary).toMatchObject({ provider: 'good', fallbackTriggered: true, fallbackFrom: 'bad' })
    expect(summary.attempts).toHaveLength(2)
  })

  test.each([400, 413, 422])("%i is the request's own fault and ends the call", async (code) => {
    const bad = await upstream(status(code))
    const own = await upstream(openai.answer())
    const { gateway } = gatewayOf({
      providers: [provider('bad', bad.url), provider('good', own.url, { priority: 1 })],
      rules: [pool(['bad', 'good'], { fallbackChain: 'c' })],
      chains: [chain('c', 'good')],
    })
    const error = await failureOf(gateway.chat(ask()))
    expect(error).toMatchObject({ kind: 'provider_response', details: { upstreamStatus: code } })
    expect(own.requests).toHaveLength(0)
  })

  test.each([401, 403, 404, 429, 500])('%i goes on', async (code) => {
    const bad = await upstream(status(code))
    const own = await upstream(openai.answer('other'))
    const { gateway } = gatewayOf({
      providers: [provider('bad', bad.url), provider('good', own.url, { priority: 1 })],
      rules: [pool(['bad', 'good'])],
    })
    expect((await gateway.chat(ask())).content).toBe('other')
  })

  test('maxAttempts bounds the targets that a call is tried at', async () => {
    const own = customs({ a: fails(), b: fails(), c: says('c') })
    const { gateway } = gatewayOf({
      ...own,
      rules: [pool(['a', 'b', 'c'], { strategy: 'round_robin', maxAttempts: 2 })],
    })
    await failureOf(gateway.chat(ask()))
    expect(own.counts()).toEqual([1, 1, 0])
  })

  test("the last error is the call's, the very object that a provider of ours threw", async () => {
    const thrown = new TypeError('mine')
    const own = customs(
      {
        a: fails(),
        b: async () => {
          throw thrown
        },
      },
      { b: { priority: 1 } },
    )
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'])] })
    expect(await failureOf(gateway.chat(ask()))).toBe(thrown)
  })

  test('when every breaker is open, one call at a time is sent, and the error of others says when to come again', async () => {
    const [fail, other] = [fails(), fails()]
    const late = async (...args) => (await sleep(args[1] === 2 ? 50 : 0), fail(...args))
    const own = customs({ a: late, b: other }, { a: BREAKS, b: { ...BREAKS, priority: 1 } })
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'])] })
    await failureOf(gateway.chat(ask()))
    const [asked, error] = await Promise.all([failureOf(gateway.chat(ask())), failureOf(gateway.chat(ask()))])
    expect(asked.kind).not.toBe('provider_unavailable')
    expect(error).toMatchObject({
      kind: 'provider_unavailable',
      code: 'PROVIDER_UNAVAILABLE',
      httpStatus: 503,
      retryable: true,
    })
    expect(error.details.retryAfterMs).toBeGreaterThan(0)
    expect(error.details.retryAfterMs).toBeLessThanOrEqual(5000)
    expect(error.requestId).toMatch(/^[0-9a-f-]{36}$/)
    expect(own.counts()).toEqual([2, 1])
  })

  test('a chain goes on where the pool has failed', async () => {
    const own = customs({ a: fails(), b: fails(), c: says('c') })
    const { gateway } = gatewayOf({
      ...own,
      rules: [pool(['a', 'b'], { fallbackChain: 'last' })],
      chains: [chain('last', 'a', 'c')],
    })
    const answer = await gateway.chat(ask())
    expect(answer).toMatchObject({ content: 'c', fallbackTriggered: true })
    expect(answer.attempts.map(({ provider }) => provider).slice(2)).toEqual(['a', 'c'])
  })

  test('members that are not loaded are left out', async () => {
    const own = customs({ a: says('a'), b: says('b') }, { a: { enabled: false } })
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'])] })
    expect(await gateway.chat(ask())).toMatchObject({ content: 'b', fallbackTriggered: false })
  })

  test('the retry budget bounds further attempts', async () => {
    const own = customs(
      { a: fails(), b: says('b') },
      { b: { priority: 1 }, a: { breaker: { failureThreshold: 1000 } } },
    )
    const { gateway } = gatewayOf({
      ...own,
      rules: [pool(['a', 'b'])],
      settings: { retryBudget: { ratio: 0, reserve: 3 } },
    })
    const results = await gateway.batch(
      Array.from({ length: 10 }, () => ask()),
      { concurrency: 1 },
    )
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
  })

  test('when the retry budget is empty, the chain is asked', async () => {
    const own = customs({ a: fails(), b: fails(), c: says('c') }, { b: { priority: 1 } })
    const rules = [pool(['a', 'b'], { fallbackChain: 'safe' })]
    const settings = { retryBudget: { ratio: 0, reserve: 0 } }
    const { gateway } = gatewayOf({ ...own, rules, settings, chains: [chain('safe', 'c')] })
    expect((await gateway.chat(ask())).content).toBe('c')
    expect(own.counts()).toEqual([1, 0, 1])
  })

  test("a pool decides models: its own, the request's where the entry lists it, the entry's", async () => {
    const fields = { models: ['small', 'large'], defaultModel: 'small' }
    const own = customs({ a: says('a'), b: says('b') }, { a: fields, b: fields })
    const of = (members) => gatewayOf({ ...own, rules: [pool(members)] }).gateway
    const model = async (members, request) => (await of(members).chat(ask(request))).model
    expect(await model([['a', 'own']], { model: 'large' })).toBe('own')
    expect(await model(['a'], { model: 'large' })).toBe('large')
    expect(await model(['a'], { model: 'huge' })).toBe('small')
    expect(await model(['a'], {})).toBe('small')
  })

  test('budgets and constraints look at the model that the pool would ask', async () => {
    const own = customs({ a: async () => result('yes', { model: 'gpt-4o' }) })
    const strict = budget('strict', { maxCostUsd: 0.001 }, { enforcement: 'strict' })
    const constraints = { maxCostUsd: 0.001 }
    for (const fields of [
      { budgets: [strict], rules: [pool([['a', 'gpt-4o']])] },
      { rules: [pool([['a', 'gpt-4o']], {}, { constraints })] },
      // It does not list what is asked for.
      { budgets: [strict], rules: [pool(['a'])], providers: [{ ...own.providers[0], models: ['gpt-4o'] }] },
    ]) {
      const { gateway } = gatewayOf({ ...own, ...fields })
      for (const model of [undefined, 'a-model-without-a-price']) {
        const error = await failureOf(gateway.chat(ask({ model, maxTokens: 10_000 })))
        expect(error.kind).toBe(fields.budgets ? 'budget_exceeded' : 'route_not_found')
      }
    }
    expect(own.counts()).toEqual([0])
  })

  test('embeddings are asked of pools, too', async () => {
    const bad = await upstream(status(500))
    const good = await upstream({
      body: { model: 'e', data: [{ index: 0, embedding: [1, 2] }], usage: { prompt_tokens: 1, total_tokens: 1 } },
    })
    const { gateway } = gatewayOf({
      providers: [provider('bad', bad.url), provider('good', good.url, { priority: 1 })],
      rules: [pool(['bad', 'good'])],
    })
    expect(await gateway.embed({ input: 'x' })).toMatchObject({ provider: 'good', vectors: [[1, 2]] })
  })
})

const BREAKS = { breaker: { failureThreshold: 1, cooldownMs: 5000 } }

describe('hedging', () => {
  const slow = (ms, name) => async () => (await sleep(ms), name)

  test('the second target is asked when the first is slow, and the first to answer wins', async () => {
    const own = customs({ a: slow(400, 'a'), b: says('b') }, { b: { priority: 1 } })
    const { gateway, logs } = gatewayOf({ ...own, rules: [pool(['a', 'b'], {}, { hedge: { afterMs: 30 } })] })
    expect(await gateway.chat(ask())).toMatchObject({ content: 'b', fallbackTriggered: true, fallbackFrom: 'a' })
    expect(own.counts()).toEqual([1, 1])
    // What the overtaken one has read is billed.
    await vi.waitFor(() => expect(logs).toHaveLength(2))
    const lost = logs.find(({ success }) => !success)
    expect(lost).toMatchObject({ provider: 'a', errorCode: 'HEDGE_LOST', outputTokens: 0, usageSource: 'estimated' })
    expect(lost.inputTokens).toBeGreaterThan(0)
    expect(lost.requestId).toBe(logs.find(({ success }) => success).requestId)
  })

  test('a quick first target is asked alone', async () => {
    const own = customs({ a: says('a'), b: says('b') }, { b: { priority: 1 } })
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'], {}, { hedge: { afterMs: 200 } })] })
    expect((await gateway.chat(ask())).content).toBe('a')
    expect(own.counts()).toEqual([1, 0])
  })

  test('maxExtra bounds the further targets', async () => {
    const chats = { a: slow(300, 'a'), b: slow(300, 'b'), c: slow(300, 'c') }
    const counts = async (hedge) => {
      const own = customs(chats)
      await gatewayOf({ ...own, rules: [pool(['a', 'b', 'c'], { strategy: 'round_robin' }, { hedge })] }).gateway.chat(
        ask(),
      )
      return own.counts().reduce((sum, count) => sum + count)
    }
    expect(await counts({ afterMs: 20 })).toBe(2)
    expect(await counts({ afterMs: 20, maxExtra: 2 })).toBe(3)
  })

  test('p95 hedges nothing until it is known', async () => {
    const own = customs({ a: slow(60, 'a'), b: says('b') }, { b: { priority: 1 } })
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'], {}, { hedge: { afterMs: 'p95' } })] })
    expect((await gateway.chat(ask())).content).toBe('a')
    expect(own.counts()).toEqual([1, 0])
  })

  test("a stream is hedged until its first content, and the loser's connection is closed", async () => {
    const silent = live()
    const a = await upstream(silent)
    const b = await upstream(openai.stream(['quick']))
    const { gateway } = gatewayOf({
      providers: [provider('a', a.url), provider('b', b.url, { priority: 1 })],
      rules: [pool(['a', 'b'], {}, { hedge: { afterMs: 30 } })],
    })
    const { stream } = await gateway.chatStream(ask())
    expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('quick')
    await silent.closed
  })

  test('embeddings are hedged and billed likewise', async () => {
    const a = await upstream(live())
    const vectors = {
      model: 'e',
      data: [{ index: 0, embedding: [1, 2] }],
      usage: { prompt_tokens: 1, total_tokens: 1 },
    }
    const b = await upstream({ body: vectors })
    const { gateway, logs } = gatewayOf({
      providers: [provider('a', a.url), provider('b', b.url, { priority: 1 })],
      rules: [pool(['a', 'b'], {}, { hedge: { afterMs: 30 } })],
    })
    expect(await gateway.embed({ input: 'some words' })).toMatchObject({ provider: 'b', vectors: [[1, 2]] })
    await vi.waitFor(() => expect(logs).toHaveLength(2))
    const lost = logs.find(({ success }) => !success)
    expect(lost).toMatchObject({ provider: 'a', errorCode: 'HEDGE_LOST', inputTokens: 2, outputTokens: 0 })
  })

  test("a single target's chain is hedged, too", async () => {
    const own = customs({ a: slow(400, 'a'), b: says('b') })
    const rules = [{ ...pool([]), target: { provider: 'a', fallbackChain: 'c' }, hedge: { afterMs: 20 } }]
    const { gateway } = gatewayOf({ ...own, rules, chains: [chain('c', 'a', 'b')] })
    expect((await gateway.chat(ask())).content).toBe('b')
  })
})
