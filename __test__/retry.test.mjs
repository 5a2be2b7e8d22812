import { describe, expect, test } from 'vitest'
import { ask, chain, collect, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { cut, never, openai, status, upstream } from './helpers/upstream.mjs'

const over = (up, retry, fields = {}) =>
  gatewayOf({
    providers: [provider('main', up.url, { ...(retry && { retry: { backoffMs: 1, ...retry } }), ...fields })],
  })

const MANY = { maxAttempts: 3 }

test('without retry, there is one attempt', async () => {
  const up = await upstream(status(503), openai.answer())
  expect(await failureOf(over(up).gateway.chat(ask()))).toMatchObject({ details: { upstreamStatus: 503 } })
  expect(up.requests.length).toBe(1)
})

test('with a retry that does not say how many, there is one attempt', async () => {
  const up = await upstream(status(503), openai.answer())
  await failureOf(over(up, {}).gateway.chat(ask()))
  expect(up.requests.length).toBe(1)
})

test.each([1, 2, 3, 5])('maxAttempts: %i counts all attempts', async (maxAttempts) => {
  const up = await upstream(status(503))
  await failureOf(over(up, { maxAttempts }).gateway.chat(ask()))
  expect(up.requests.length).toBe(maxAttempts)
})

describe.each([
  ['429', status(429)],
  ['502', status(502)],
  ['503', status(503)],
  ['504', status(504)],
  ['a timeout', never],
  ['a lost connection', cut],
])('%s', (_, answer) => {
  const hasty = { timeoutMs: 100 }

  test('is tried again until an answer comes', async () => {
    const up = await upstream(answer, answer, openai.answer('third time'))
    expect((await over(up, MANY, hasty).gateway.chat(ask())).content).toBe('third time')
    expect(up.requests.length).toBe(3)
  })

  test('is tried again for streams', async () => {
    const up = await upstream(answer, openai.stream(['second time']))
    const { stream } = await over(up, MANY, hasty).gateway.chatStream(ask())
    expect((await collect(stream)).map((chunk) => chunk.delta).join('')).toBe('second time')
    expect(up.requests.length).toBe(2)
  })
})

describe.each([400, 401, 403, 404, 409, 413, 422, 500, 501])('status %i', (code) => {
  test('is not tried again', async () => {
    const up = await upstream(status(code), openai.answer())
    await failureOf(over(up, MANY).gateway.chat(ask()))
    expect(up.requests.length).toBe(1)
  })
})

test('an answer is not asked for again', async () => {
  const up = await upstream(openai.answer())
  await over(up, MANY).gateway.chat(ask())
  expect(up.requests.length).toBe(1)
})

test('every attempt sends the same request', async () => {
  const up = await upstream(status(503), status(503), openai.answer())
  await over(up, MANY).gateway.chat(ask({ maxTokens: 5 }))
  const [first, ...others] = up.requests.map(({ url, text, headers }) => ({
    url,
    text,
    authorization: headers.authorization,
  }))
  expect(others).toEqual([first, first])
})

test('the last failure is what the caller gets', async () => {
  const up = await upstream(status(503), status(503), status(429))
  expect(await failureOf(over(up, MANY).gateway.chat(ask()))).toMatchObject({ code: 'PROVIDER_RATE_LIMIT' })
})

test('a failure that may not be tried again ends the attempts', async () => {
  const up = await upstream(status(503), status(400), openai.answer())
  expect(await failureOf(over(up, MANY).gateway.chat(ask()))).toMatchObject({ details: { upstreamStatus: 400 } })
  expect(up.requests.length).toBe(2)
})

test('all attempts of a call are one entry in the usage log', async () => {
  const up = await upstream(status(503), openai.answer())
  const { gateway, logs } = over(up, MANY)
  await gateway.chat(ask())
  expect(logs).toMatchObject([{ success: true, fallbackTriggered: false }])
})

test('a step of a chain is tried as often as its provider says before the next', async () => {
  const [a, b] = [await upstream(status(503)), await upstream(openai.answer())]
  const { gateway } = gatewayOf({
    providers: [provider('a', a.url, { retry: { maxAttempts: 2, backoffMs: 1 } }), provider('b', b.url)],
    chains: [chain('safe', 'a', 'b')],
  })
  expect(await gateway.chat(ask())).toMatchObject({ provider: 'b', fallbackFrom: 'a' })
  expect([a.requests.length, b.requests.length]).toEqual([2, 1])
})

test('the wait before an attempt doubles, give or take 15 percent', async () => {
  const up = await upstream(status(503))
  await failureOf(over(up, { maxAttempts: 4, backoffMs: 40 }).gateway.chat(ask()))
  // From an answer to the next request there is at least the wait.
  const waits = up.requests.slice(1).map(({ arrivedAt }, i) => arrivedAt - up.requests[i].answeredAt)
  expect(waits).toHaveLength(3)
  for (const [i, wait] of waits.entries()) expect(wait).toBeGreaterThanOrEqual(40 * 2 ** i * 0.85)
})

test('the wait is half a second, give or take, where the entry does not say', async () => {
  const up = await upstream(status(503), openai.answer())
  await over(up, { maxAttempts: 2, backoffMs: undefined }).gateway.chat(ask())
  expect(up.requests[1].arrivedAt - up.requests[0].answeredAt).toBeGreaterThanOrEqual(500 * 0.85)
})

test.each(['anthropic', 'openrouter'])('%s is tried again as well', async (family) => {
  const up = await upstream(status(503))
  await failureOf(over(up, MANY, { provider: family }).gateway.chat(ask()))
  expect(up.requests.length).toBe(3)
})
