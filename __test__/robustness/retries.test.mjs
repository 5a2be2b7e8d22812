// How long to wait before another attempt, as the upstream asks.
import { describe, expect, test } from 'vitest'
import { openai, stream } from './helpers/formats.mjs'
import { ask, failure, gatewayOf, readAll } from './helpers/gateway.mjs'
import { upstream } from './helpers/upstream.mjs'

/** An upstream that is busy once, and then answers; `arrivals` are the moments of its requests. */
async function busyOnce(headers, status = 429) {
  const arrivals = []
  const server = await upstream((exchange, number) => {
    arrivals.push(performance.now())
    if (number === 1) exchange.reply('busy', { status, headers: typeof headers === 'function' ? headers() : headers })
    else if (exchange.json.stream) exchange.events().end(stream(openai))
    else exchange.reply(openai.whole())
  })
  return { server, waited: () => arrivals[1] - arrivals[0] }
}

const entry = (url, retry) => openai.entry(url, { retry: { maxAttempts: 2, ...retry } })
const LONG = 60_000

describe('an upstream that says how long to wait is heard', () => {
  test.each([
    ['seconds', { 'retry-after': '1' }, 950],
    ['fractions of a second', { 'retry-after': '0.3' }, 280],
    ['milliseconds', { 'retry-after-ms': '300' }, 280],
    ['milliseconds before seconds', { 'retry-after-ms': '300', 'retry-after': '40' }, 280],
    ['a date', () => ({ 'retry-after': new Date(Date.now() + 2000).toUTCString() }), 900],
    ['a date that has passed', { 'retry-after': new Date(0).toUTCString() }, 0],
    ['nothing to wait for', { 'retry-after': '0' }, 0],
  ])('%s', async (_, headers, atLeast) => {
    const { server, waited } = await busyOnce(headers)
    const { gateway } = gatewayOf({ providers: [entry(server.url, { backoffMs: LONG })] })
    expect((await gateway.chat(ask())).content).toBe('Hello')
    expect(waited()).toBeGreaterThanOrEqual(atLeast)
    expect(waited()).toBeLessThan(atLeast + 1500)
  })

  test('with a 503, and before a stream', async () => {
    const { server, waited } = await busyOnce({ 'retry-after-ms': '200' }, 503)
    const { gateway, logs } = gatewayOf({ providers: [entry(server.url, { backoffMs: LONG })] })
    expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Hello')
    expect(waited()).toBeGreaterThanOrEqual(190)
    expect(logs).toHaveLength(1)
  })
})

test('words that are no time are passed over', async () => {
  const { server } = await busyOnce({ 'retry-after': 'in a while' })
  const { gateway } = gatewayOf({ providers: [entry(server.url, { backoffMs: 1 })] })
  expect((await gateway.chat(ask())).content).toBe('Hello')
})

describe('a wait that is too long', () => {
  test.each([
    ['than 60 seconds', { 'retry-after': '61' }, {}],
    ['than 60 seconds, as a date', { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() }, {}],
    ['than retry.maxRetryAfterMs', { 'retry-after': '2' }, { maxRetryAfterMs: 1000 }],
    ['than retry.maxRetryAfterMs, in milliseconds', { 'retry-after-ms': '1001' }, { maxRetryAfterMs: 1000 }],
    ['to be counted', { 'retry-after': '99999999999999999999' }, { backoffMs: LONG }],
  ])(
    '%s ends the attempt, and the chain goes on',
    async (_, headers, retry) => {
      const { server } = await busyOnce(headers)
      const other = await upstream((exchange) => exchange.reply(openai.whole('other')))
      const { gateway } = gatewayOf({
        providers: [entry(server.url, retry), openai.entry(other.url, { name: 'q' })],
        steps: [{ provider: 'p' }, { provider: 'q', when: ['rate_limit'] }],
      })
      const started = performance.now()
      expect(await gateway.chat(ask())).toMatchObject({ content: 'other', fallbackFrom: 'p' })
      expect(performance.now() - started).toBeLessThan(900)
      expect(server.requests).toHaveLength(1)
    },
    5000,
  )

  test('for the call’s deadline ends the attempt likewise', async () => {
    const { server } = await busyOnce({ 'retry-after': '5' })
    const target = { provider: 'p' }
    const { gateway } = gatewayOf({
      providers: [entry(server.url)],
      rules: [{ name: 'quick', priority: 0, match: {}, target, constraints: { maxLatencyMs: 1000 } }],
    })
    const started = performance.now()
    expect(await failure(gateway.chat(ask()))).toMatchObject({ code: 'PROVIDER_RATE_LIMIT' })
    expect(performance.now() - started).toBeLessThan(900)
    expect(server.requests).toHaveLength(1)
  })
})

test.each([400, 401, 403, 404, 422, 500])('a %i is not tried again', async (status) => {
  const { server } = await busyOnce({ 'retry-after': '0' }, status)
  const { gateway } = gatewayOf({ providers: [entry(server.url, { backoffMs: 1 })] })
  await failure(gateway.chat(ask()))
  expect(server.requests).toHaveLength(1)
})
