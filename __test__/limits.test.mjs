import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { ask, chain, collect, customs, failureOf, gatewayOf, pool, provider, rule } from './helpers/config.mjs'
import { live, openai, upstream } from './helpers/upstream.mjs'

const says = (name) => async () => name

/** A provider whose calls wait to be let go. */
function gated(entry) {
  const waiting = []
  const own = customs({ main: () => new Promise((resolve) => waiting.push(() => resolve('done'))) }, { main: entry })
  return { ...gatewayOf({ ...own, rules: [rule('main')] }), waiting, counts: own.counts }
}

describe('rateLimit of an entry', () => {
  test('requests above it are refused with the wait, and nothing is sent', async () => {
    const own = customs({ main: says('yes') }, { main: { rateLimit: { requestsPerMinute: 2 } } })
    const { gateway, logs } = gatewayOf(own)
    await gateway.chat(ask())
    await gateway.chat(ask())
    const error = await failureOf(gateway.chat(ask()))
    expect(error).toMatchObject({
      kind: 'rate_limited',
      code: 'RATE_LIMITED',
      httpStatus: 429,
      retryable: true,
      provider: 'main',
      details: { limit: 'rateLimit.requestsPerMinute' },
    })
    expect(error.details.retryAfterMs).toBeGreaterThan(28_000)
    expect(error.details.retryAfterMs).toBeLessThanOrEqual(30_000)
    expect(own.counts()).toEqual([2])
    expect(logs.map(({ errorCode }) => errorCode)).toEqual([undefined, undefined, 'RATE_LIMITED'])
    expect(logs[2].requestId).toBe(error.requestId)
  })

  test('it fills evenly', async () => {
    const own = customs({ main: says('yes') }, { main: { rateLimit: { requestsPerMinute: 600 } } })
    const { gateway } = gatewayOf(own)
    await Promise.all(Array.from({ length: 600 }, () => gateway.chat(ask()).catch(() => {})))
    const error = await failureOf(async () => {
      for (;;) await gateway.chat(ask())
    })
    await sleep(error.details.retryAfterMs + 5)
    await gateway.chat(ask())
  })

  test('tokens count by the estimate', async () => {
    const own = customs({ main: says('yes') }, { main: { rateLimit: { tokensPerMinute: 500 } } })
    const { gateway } = gatewayOf(own)
    await gateway.chat(ask({ maxTokens: 400 }))
    const error = await failureOf(gateway.chat(ask({ maxTokens: 400 })))
    expect(error).toMatchObject({ kind: 'rate_limited', details: { limit: 'rateLimit.tokensPerMinute' } })
    await gateway.chat(ask({ maxTokens: 10 }))
  })

  test('a bound on the answer counts for a minute at most', async () => {
    const own = customs({ main: says('yes') }, { main: { rateLimit: { tokensPerMinute: 1_000 } } })
    for (const options of [
      own,
      { ...customs({ main: says('yes') }), settings: { limits: { tokensPerMinute: 1_000 } } },
    ]) {
      const { gateway } = gatewayOf(options)
      await gateway.chat(ask({ maxTokens: 1e12 }))
      const { kind, details } = await failureOf(gateway.chat(ask({ maxTokens: 1 })))
      expect(kind).toBe('rate_limited')
      expect(details.retryAfterMs).toBeLessThan(62_000)
    }
  })

  test('a chain goes on with the trigger rate_limit', async () => {
    const own = customs({ a: says('a'), b: says('b') }, { a: { rateLimit: { requestsPerMinute: 1 } } })
    const { gateway } = gatewayOf({ ...own, chains: [chain('c', 'a', ['b', { when: ['rate_limit'] }])] })
    await gateway.chat(ask())
    const { content, attempts } = await gateway.chat(ask())
    expect(content).toBe('b')
    expect(attempts[0]).toMatchObject({ provider: 'a', errorCode: 'RATE_LIMITED' })
  })

  test('a pool goes on, and the breaker does not mind', async () => {
    const limited = { rateLimit: { requestsPerMinute: 1 }, breaker: { failureThreshold: 1 } }
    const own = customs({ a: says('a'), b: says('b') }, { a: limited, b: { priority: 1 } })
    const { gateway } = gatewayOf({ ...own, rules: [pool(['a', 'b'])] })
    expect([(await gateway.chat(ask())).content, (await gateway.chat(ask())).content]).toEqual(['a', 'b'])
    expect(gateway.health()[0].state).toBe('closed')
  })
})

describe('maxConcurrency', () => {
  test('further calls wait in turn', async () => {
    const { gateway, waiting, counts } = gated({ maxConcurrency: 2 })
    const order = []
    const calls = []
    // One after the other: calls that begin together may come to the limit in any order.
    for (const n of [0, 1, 2, 3]) {
      calls.push(gateway.chat(ask()).then(() => order.push(n)))
      await vi.waitFor(() => expect(gateway.health()[0].inFlight).toBe(n + 1))
      if (n < 2) await vi.waitFor(() => expect(waiting).toHaveLength(n + 1))
    }
    await sleep(30)
    expect(counts()).toEqual([2])
    expect(gateway.health()[0].inFlight).toBe(4)
    waiting[0]()
    await vi.waitFor(() => expect(waiting).toHaveLength(3))
    waiting[1]()
    await vi.waitFor(() => expect(waiting).toHaveLength(4))
    waiting[2]()
    waiting[3]()
    await Promise.all(calls)
    expect(order.slice(0, 2)).toEqual([0, 1])
  })

  test('a call whose time is over leaves the queue', async () => {
    const { gateway, waiting, counts } = gated({ maxConcurrency: 1 })
    const first = gateway.chat(ask())
    await vi.waitFor(() => expect(waiting).toHaveLength(1))
    const error = await failureOf(gateway.chat(ask({ timeoutMs: 40 })))
    expect(error).toMatchObject({ kind: 'provider_timeout', details: { limit: 'maxConcurrency' } })
    const reason = await failureOf(gateway.chat(ask({ signal: AbortSignal.timeout(30) })))
    expect(reason.name).toBe('TimeoutError')
    waiting[0]()
    await first
    expect(counts()).toEqual([1])
  })

  test('a stream keeps its place to its end, and gives it back when it is left', async () => {
    const first = live()
    const up = await upstream(first, openai.stream(['second']))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { maxConcurrency: 1 })] })
    const opening = gateway.chatStream(ask())
    await first.opened
    first.send(openai.chunk({ content: 'one' }))
    const { stream } = await opening
    const second = gateway.chatStream(ask())
    await sleep(30)
    expect(up.requests).toHaveLength(1)
    for await (const _ of stream) break
    expect((await collect((await second).stream)).map(({ delta }) => delta).join('')).toBe('second')
  })
})

describe('limits of users', () => {
  const settings = { limits: { requestsPerMinute: 2 } }

  test('each userId has its own; calls without one share another', async () => {
    const own = customs({ main: says('yes') })
    const { gateway, logs } = gatewayOf({ ...own, settings })
    const call = (userId) =>
      gateway.chat(ask({ userId })).then(
        () => 'ok',
        ({ kind }) => kind,
      )
    const outcomes = []
    for (const user of ['ada', 'ada', 'ada', 'bob', 'bob', undefined, undefined, undefined])
      outcomes.push(await call(user))
    expect(outcomes).toEqual(['ok', 'ok', 'rate_limited', 'ok', 'ok', 'ok', 'ok', 'rate_limited'])
    expect(own.counts()).toEqual([6])
    // As refusals by budgets: no provider was asked, and there is no entry.
    expect(logs).toHaveLength(6)
  })

  test('several limits count each by its own key, and calls at once while they run', async () => {
    const own = customs({ main: async () => (await sleep(40), 'yes') })
    const limits = [
      { requestsPerMinute: 3, per: 'metadata.team' },
      { maxConcurrency: 1, per: 'userId' },
    ]
    const { gateway } = gatewayOf({ ...own, settings: { limits } })
    const call = (userId, team) =>
      gateway.chat(ask({ userId, metadata: { team } })).then(
        () => 'ok',
        ({ details }) => details.limit,
      )
    const atOnce = await Promise.all([call('ada', 'red'), call('ada', 'red'), call('bob', 'red')])
    expect(atOnce).toEqual(['ok', 'limits[1].maxConcurrency', 'ok'])
    expect(await call('ada', 'red')).toBe('ok')
    expect(await call('ada', 'red')).toBe('limits[0].requestsPerMinute')
    expect(await call('ada', 'blue')).toBe('ok')
  })

  test('a stream holds its part of maxConcurrency until it ends', async () => {
    const feed = live()
    const up = await upstream(feed, openai.stream(['x']))
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url)],
      settings: { limits: { maxConcurrency: 1 } },
    })
    const opening = gateway.chatStream(ask())
    await feed.opened
    feed.send(openai.chunk({ content: 'x' }))
    const { stream } = await opening
    expect((await failureOf(gateway.chat(ask()))).details.limit).toBe('limits.maxConcurrency')
    feed.send(...openai.events(['y']))
    feed.end()
    await collect(stream)
    await collect((await gateway.chatStream(ask())).stream)
  })

  test('the error tells the setting and the wait', async () => {
    const { gateway } = gatewayOf({ ...customs({ main: says('yes') }), settings: { limits: { tokensPerMinute: 300 } } })
    await gateway.chat(ask({ userId: 'ada', maxTokens: 290 }))
    const error = await failureOf(gateway.chat(ask({ userId: 'ada', maxTokens: 290 })))
    expect(error).toMatchObject({ kind: 'rate_limited', details: { limit: 'limits.tokensPerMinute' } })
    expect(error.details.retryAfterMs).toBeGreaterThan(0)
    expect(error.provider).toBeUndefined()
    expect(error.requestId).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('streams count, too', async () => {
    const up = await upstream(openai.stream(['x']))
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url)],
      settings: { limits: { requestsPerMinute: 1 } },
    })
    await collect((await gateway.chatStream(ask())).stream)
    expect((await failureOf(gateway.chatStream(ask()))).kind).toBe('rate_limited')
  })

  test('an answer from the cache does not count', async () => {
    const { gateway } = gatewayOf({
      ...customs({ main: says('yes') }),
      settings: { limits: { requestsPerMinute: 1 }, cache: { enabled: true } },
    })
    for (let i = 0; i < 4; i++) await gateway.chat(ask())
    expect((await failureOf(gateway.chat(ask({ maxTokens: 7 })))).kind).toBe('rate_limited')
  })
})
