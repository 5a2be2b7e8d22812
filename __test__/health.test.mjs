import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { GatewayError, OpenAIProvider } from '../index.mjs'
import { ask, chain, collect, customs, failureOf, gatewayOf, pool, provider, rule } from './helpers/config.mjs'
import { live, openai, status, upstream } from './helpers/upstream.mjs'

/** A provider that fails while `state.down` is set. */
function ailing(entry = {}) {
  const state = { down: false }
  const own = customs(
    {
      main: async () => {
        if (state.down) throw GatewayError.providerResponse('main', 500, 'down')
        return 'well'
      },
    },
    { main: entry },
  )
  return { ...gatewayOf({ ...own, rules: [rule('main')] }), state, counts: own.counts }
}

const times = async (count, one) => {
  for (let i = 0; i < count; i++) await one()
}

describe('breakers', () => {
  test('open after failures in a row, probe after the cooldown, close when enough probes succeed', async () => {
    const { gateway, state, counts } = ailing({
      breaker: { failureThreshold: 3, cooldownMs: 150, halfOpenMaxRequests: 2 },
    })
    const call = () => failureOf(gateway.chat(ask()))
    expect(gateway.health()[0]).toMatchObject({ provider: 'main', state: 'closed', errorRate: 0, inFlight: 0 })
    state.down = true
    await times(3, call)
    const [health] = gateway.health()
    expect(health).toMatchObject({ state: 'open', errorRate: 1 })
    expect(health.targets).toHaveLength(1)
    expect(health.targets[0]).toMatchObject({ model: 'model-of-main', state: 'open', errorRate: 1 })
    expect(health.targets[0].blockedMs).toBeGreaterThan(0)
    expect(health.targets[0].blockedMs).toBeLessThanOrEqual(150)

    const refused = await call()
    expect(refused).toMatchObject({ kind: 'provider_unavailable', provider: 'main', retryable: true })
    expect(refused.details.retryAfterMs).toBeLessThanOrEqual(150)
    expect(counts()).toEqual([3])

    await sleep(170)
    expect((await call()).kind).toBe('provider_response')
    expect(gateway.health()[0].state).toBe('open')
    expect(counts()).toEqual([4])

    state.down = false
    await sleep(170)
    await gateway.chat(ask())
    expect(gateway.health()[0].state).toBe('half_open')
    await gateway.chat(ask())
    expect(gateway.health()[0].state).toBe('closed')
    expect(gateway.health()[0].targets[0]).not.toHaveProperty('blockedMs')
  })

  test('a success between failures starts the count over', async () => {
    const { gateway, state } = ailing({ breaker: { failureThreshold: 2 } })
    for (const down of [true, false, true, false, true]) {
      state.down = down
      await gateway.chat(ask()).catch(() => {})
    }
    expect(gateway.health()[0].state).toBe('closed')
  })

  test('without a breaker a single target is never let alone', async () => {
    const { gateway, state, counts } = ailing()
    state.down = true
    await times(12, () => failureOf(gateway.chat(ask())))
    expect(counts()).toEqual([12])
    expect(gateway.health()[0]).toMatchObject({ state: 'closed', errorRate: 1 })
  })

  test('an open breaker sends a chain on', async () => {
    const down = await upstream(status(500))
    const up = await upstream(openai.answer('here'))
    const { gateway } = gatewayOf({
      providers: [provider('a', down.url, { breaker: { failureThreshold: 1 } }), provider('b', up.url)],
      chains: [chain('c', 'a', 'b')],
    })
    await gateway.chat(ask())
    const { content, attempts } = await gateway.chat(ask())
    expect(content).toBe('here')
    expect(attempts[0]).toMatchObject({ provider: 'a', errorCode: 'PROVIDER_UNAVAILABLE' })
    expect(down.requests).toHaveLength(1)
  })

  test.each([400, 404, 413, 422])("%i is not the target's failure", async (code) => {
    const up = await upstream(status(code))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { breaker: { failureThreshold: 1 } })] })
    await times(3, () => failureOf(gateway.chat(ask())))
    expect(gateway.health()[0]).toMatchObject({ state: 'closed', errorRate: 0, targets: [{ errorRate: null }] })
  })

  test('models of one entry have breakers of their own', async () => {
    const up = await upstream((_, res, recorded) => {
      const down = recorded.body.model === 'bad'
      res.writeHead(down ? 500 : 200, { 'content-type': 'application/json' })
      res.end(JSON.stringify(openai.answer().body))
    })
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { breaker: { failureThreshold: 1 } })] })
    await failureOf(gateway.chat(ask({ model: 'bad' })))
    await gateway.chat(ask({ model: 'good' }))
    const [health] = gateway.health()
    expect(health.state).toBe('open')
    expect(health.targets.map(({ model, state }) => [model, state])).toEqual([
      ['bad', 'open'],
      ['good', 'closed'],
    ])
    expect(health.errorRate).toBe(0.5)
  })

  test('a target that says 429 rests for as long as it asks, and the pool goes elsewhere', async () => {
    const limited = await upstream(status(429, 'slow down', { 'retry-after-ms': '300' }), openai.answer('a'))
    const other = await upstream(openai.answer('b'))
    const { gateway } = gatewayOf({
      providers: [provider('a', limited.url), provider('b', other.url, { priority: 1 })],
      rules: [pool(['a', 'b'])],
    })
    expect((await gateway.chat(ask())).attempts[0].errorCode).toBe('PROVIDER_RATE_LIMIT')
    expect(gateway.health()[0]).toMatchObject({ state: 'closed', targets: [{ blockedMs: expect.any(Number) }] })
    expect(await gateway.chat(ask())).toMatchObject({ content: 'b', fallbackTriggered: false })
    await sleep(320)
    expect((await gateway.chat(ask())).content).toBe('a')
  })

  test('a stream that breaks off is a failure', async () => {
    const up = live()
    const server = await upstream(up)
    const { gateway } = gatewayOf({ providers: [provider('main', server.url, { breaker: { failureThreshold: 1 } })] })
    const opening = gateway.chatStream(ask())
    await up.opened
    up.send(openai.chunk({ content: 'half' }))
    const { stream } = await opening
    expect(gateway.health()[0]).toMatchObject({ state: 'closed', inFlight: 1 })
    up.cut()
    await failureOf(collect(stream))
    await vi.waitFor(() => expect(gateway.health()[0]).toMatchObject({ state: 'open', inFlight: 0 }))
  })

  test("a refusal that a subclass of a built-in provider hands on is the caller's own fault", async () => {
    class Passing extends OpenAIProvider {
      async chat(options) {
        return super.chat(options)
      }
    }
    const bad = await upstream(status(400))
    const good = await upstream(openai.answer('from b'))
    const entry = (name, up, priority) =>
      provider(name, up.url, { provider: 'passing', priority, breaker: { failureThreshold: 1 } })
    const { gateway } = gatewayOf({
      providers: [entry('a', bad, 0), entry('b', good, 1)],
      rules: [pool(['a', 'b'], { strategy: 'priority' })],
      customProviders: { passing: (config) => new Passing(config) },
    })
    for (let i = 0; i < 3; i++) {
      expect(await failureOf(gateway.chat(ask()))).toMatchObject({
        kind: 'provider_response',
        details: { upstreamStatus: 400 },
      })
    }
    expect([bad.requests.length, good.requests.length]).toEqual([3, 0])
    expect(gateway.health()[0]).toMatchObject({ state: 'closed', errorRate: 0 })
  })

  /** What becomes of a breaker that opens at once when the provider throws this. */
  const afterThrowing = async (error) => {
    const own = customs(
      {
        main: async () => {
          throw error
        },
      },
      { main: { breaker: { failureThreshold: 1 } } },
    )
    // Pools alone leave a target alone that asks for a pause.
    const { gateway } = gatewayOf({ ...own, rules: [pool(['main'])] })
    expect(await failureOf(gateway.chat(ask()))).toBe(error)
    const [{ state, targets }] = gateway.health()
    return { state, blockedMs: targets[0].blockedMs }
  }
  const thrown = (kind, details) =>
    new GatewayError({ code: 'MADE_UP', kind, message: 'no', retryable: false, details })

  test("a custom provider's limits make it rest for as long as they say, and trip nothing", async () => {
    for (const kind of ['rate_limited', 'provider_rate_limit']) {
      const { state, blockedMs } = await afterThrowing(thrown(kind, { retryAfterMs: 20_000 }))
      expect(state).toBe('closed')
      expect(blockedMs).toBeGreaterThan(15_000)
      expect(blockedMs).toBeLessThanOrEqual(20_000)
      expect((await afterThrowing(thrown(kind))).blockedMs).toBeLessThanOrEqual(1000)
    }
    expect(
      (await afterThrowing(thrown('rate_limited', { retryAfterMs: Number.MAX_VALUE }))).blockedMs,
    ).toBeLessThanOrEqual(60_000)
  })

  test("a custom provider's errors leave its breaker as the gateway's own do, whatever is in them", async () => {
    const cases = [
      ['provider_response', { upstreamStatus: 422 }, 'closed'],
      ['provider_response', { upstreamStatus: 404 }, 'closed'],
      ['budget_exceeded', undefined, 'closed'],
      ['provider_response', { upstreamStatus: 503 }, 'open'],
      ['provider_response', undefined, 'open'],
      ['provider_response', null, 'open'],
      ['provider_response', { upstreamStatus: '400' }, 'open'],
      ['provider_response', { upstreamStatus: 400.5 }, 'open'],
      ['provider_response', { upstreamStatus: 1e300, retryAfterMs: -1 }, 'open'],
      ['provider_response', { upstreamStatus: 400n, retryAfterMs: 1n }, 'open'],
      [
        'provider_response',
        {
          get upstreamStatus() {
            throw new Error('not to be read')
          },
        },
        'open',
      ],
      ['rate_limited', { retryAfterMs: 'soon' }, 'closed'],
      ['rate_limited', { retryAfterMs: Number.NaN }, 'closed'],
      [400n, { upstreamStatus: 400 }, 'closed'],
    ]
    for (const [kind, details, state] of cases) expect((await afterThrowing(thrown(kind, details))).state).toBe(state)
  })
})

describe('health()', () => {
  test('tells latency, calls under way and errors of each loaded provider, in order', async () => {
    let finish
    const own = customs({
      quick: async () => 'q',
      slow: () => new Promise((resolve) => (finish = () => resolve('s'))),
      broken: async () => {
        throw new Error('no')
      },
    })
    const { gateway } = gatewayOf({
      ...own,
      rules: ['quick', 'slow', 'broken'].map((name) => rule(name, { match: { taskType: name } })),
    })
    expect(gateway.health()).toEqual(
      ['quick', 'slow', 'broken'].map((name) => ({
        provider: name,
        state: 'closed',
        latencyMs: { p50: null, p95: null },
        errorRate: 0,
        inFlight: 0,
        targets: [],
      })),
    )
    await times(5, () => gateway.chat(ask({ taskType: 'quick' })))
    await failureOf(gateway.chat(ask({ taskType: 'broken' })))
    const running = gateway.chat(ask({ taskType: 'slow' }))
    await vi.waitFor(() => expect(finish).toBeTypeOf('function'))
    expect(gateway.health()[1].inFlight).toBe(1)
    const [quick, , broken] = gateway.health()
    expect(quick.latencyMs.p50).toBeGreaterThan(0)
    expect(quick.latencyMs.p95).toBeGreaterThanOrEqual(quick.latencyMs.p50)
    expect(broken).toMatchObject({ errorRate: 1, latencyMs: { p50: null } })
    finish()
    await running
    expect(gateway.health()[1]).toMatchObject({ inFlight: 0 })
  })

  test("a pool's members are there before they are asked", () => {
    const { gateway } = gatewayOf({
      ...customs({ a: async () => 'a' }),
      rules: [
        pool([
          ['a', 'x'],
          ['a', 'y'],
        ]),
      ],
    })
    expect(gateway.health()[0].targets.map(({ model }) => model)).toEqual(['x', 'y'])
  })

  test('tells of keys by their variables, and of why they rest', async () => {
    process.env.AI_GATEWAY_TEST_HEALTH_A = 'sk-health-a-0123456789'
    process.env.AI_GATEWAY_TEST_HEALTH_B = 'sk-health-b-0123456789'
    process.env.AI_GATEWAY_TEST_HEALTH_C = 'sk-health-c-0123456789'
    const answers = { a: status(401), b: status(429, 'no', { 'retry-after': '30' }), c: openai.answer() }
    const up = await upstream((req, res) => {
      const { status = 200, headers = {}, body } = answers[req.headers.authorization.match(/health-(.)/)[1]]
      res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    })
    const variable = (letter) => `AI_GATEWAY_TEST_HEALTH_${letter}`
    const auth = { type: 'apiKey', envVars: ['A', 'B', 'C', 'D'].map(variable) }
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { auth })] })
    await gateway.chat(ask())
    const [restingUntil, cooldownMs] = [expect.any(Number), expect.any(Number)]
    const { keys } = gateway.health()[0]
    expect(keys).toEqual([
      { variable: variable('A'), reason: 'unauthorized', why: 'unauthorized', cooldownMs, restingUntil },
      {
        variable: variable('B'),
        reason: 'rate_limited',
        why: 'rate_limited',
        cooldownMs,
        restingUntil,
        model: 'gpt-4o-mini',
      },
      { variable: variable('C') },
      { variable: variable('D'), reason: 'not_set', why: 'not_set' },
    ])
    expect(keys[1].cooldownMs).toBe(keys[1].restingUntil)
    expect(keys[1].restingUntil).toBeGreaterThan(25_000)
    expect(keys[1].restingUntil).toBeLessThanOrEqual(30_000)
    expect(JSON.stringify(gateway.health())).not.toContain('sk-health')
  })
})

test('healthCheck opens and closes a breaker while nobody calls', async () => {
  let down = false
  const up = await upstream((req, res) => {
    const models = req.url.endsWith('/models')
    res.writeHead(down ? 500 : 200, { 'content-type': 'application/json' })
    res.end(
      JSON.stringify(
        models ? { object: 'list', data: [{ id: 'gpt-4o-mini', object: 'model' }] } : openai.answer().body,
      ),
    )
  })
  const entry = {
    healthCheck: { intervalMs: 30 },
    breaker: { failureThreshold: 2, cooldownMs: 60_000, halfOpenMaxRequests: 1 },
  }
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, entry)] })
  await gateway.chat(ask())
  const state = (wanted) => vi.waitFor(() => expect(gateway.health()[0].state).toBe(wanted), { timeout: 5000 })
  down = true
  await state('open')
  down = false
  await state('closed')
  await gateway.chat(ask())
})
