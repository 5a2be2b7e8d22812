// What errors carry, and that errors of others are left alone.
import { describe, expect, test } from 'vitest'
import { openai } from './helpers/formats.mjs'
import { ask, customEntry, failure, gatewayOf, library, readAll } from './helpers/gateway.mjs'
import { closedPort, upstream } from './helpers/upstream.mjs'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('the request id', () => {
  test.each([401, 403, 404, 408, 422, 429, 500, 503, 504])(
    'of an upstream’s %i is that of the log entry',
    async (status) => {
      const server = await upstream((exchange) => exchange.reply('no', { status }))
      const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
      for (const method of ['chat', 'chatStream']) {
        const error = await failure(gateway[method](ask()))
        expect(error).toBeInstanceOf(library.GatewayError)
        expect(error.requestId).toMatch(UUID)
        expect(error.toJSON().requestId).toBe(error.requestId)
        expect(logs.pop()).toMatchObject({ requestId: error.requestId, errorCode: error.code, success: false })
      }
    },
  )

  test('of a call that fell back to the end is that of its one entry', async () => {
    const url = `http://127.0.0.1:${await closedPort()}`
    const { gateway, logs } = gatewayOf({
      providers: [openai.entry(url), openai.entry(url, { name: 'q' })],
      steps: [{ provider: 'p' }, { provider: 'q' }],
    })
    const error = await failure(gateway.chat(ask()))
    expect(logs).toEqual([expect.objectContaining({ requestId: error.requestId, errorCode: 'PROVIDER_NETWORK' })])
  })

  test('is on refusals too, which have no entry', async () => {
    const budgets = [
      { name: 'b', scope: { type: 'global' }, window: 'request', limits: { maxInputTokens: 1 }, enforcement: 'hard' },
    ]
    const providers = [openai.entry('http://127.0.0.1:9')]
    const refused = gatewayOf({ providers, budgets })
    const error = await failure(refused.gateway.chat(ask()))
    expect(error).toMatchObject({ code: 'BUDGET_EXCEEDED', requestId: expect.stringMatching(UUID) })
    const unrouted = gatewayOf({ providers, rules: [] })
    expect(await failure(unrouted.gateway.chat(ask()))).toMatchObject({
      code: 'ROUTE_NOT_FOUND',
      requestId: expect.stringMatching(UUID),
    })
    expect([...refused.logs, ...unrouted.logs]).toEqual([])
  })

  test('of an error while streaming is that of the stream', async () => {
    const server = await upstream((exchange) => exchange.events().end(openai.start, openai.delta('a')))
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
    const { stream, requestId } = await gateway.chatStream(ask())
    const { chunks, error } = await readAll(stream)
    expect(error.requestId).toBe(requestId)
    expect(logs[0].requestId).toBe(requestId)
    for (const chunk of chunks) expect(chunk.requestId).toBe(requestId)
  })
})

describe('what a provider written in JavaScript throws is thrown as it is', () => {
  const own = Object.assign(new Error('own'), { status: 418, requestId: 'theirs' })
  test.each([
    ['an Error', own],
    ['a frozen Error', Object.freeze(new Error('frozen'))],
    ['a GatewayError', library.GatewayError.providerRateLimit('js')],
    ['a GatewayError with an id', library.GatewayError.providerTimeout('js', 'theirs')],
    ['text', 'broken'],
    ['null', null],
    ['undefined', undefined],
    ['an object without a prototype', Object.create(null)],
    ['an Error whose message is a symbol', Object.assign(new Error(''), { message: Symbol('odd') })],
  ])(
    '%s',
    async (_, thrown) => {
      const before = thrown instanceof Error ? { ...thrown } : undefined
      const throws = async () => {
        throw thrown
      }
      const { gateway, logs } = gatewayOf(customEntry({ chat: throws, chatStream: throws }))
      expect(await failure(gateway.chat(ask()))).toBe(thrown)
      expect(await failure(gateway.chatStream(ask()))).toBe(thrown)
      expect(logs).toHaveLength(2)
      expect(logs[0].errorCode).toBe(thrown instanceof library.GatewayError ? thrown.code : 'UNKNOWN')
      if (before) expect({ ...thrown }).toEqual(before)
    },
    5000,
  )
})

test('the new kinds have their codes and status', async () => {
  const { gateway } = gatewayOf({ providers: [openai.entry(`http://127.0.0.1:${await closedPort()}`)] })
  expect(await failure(gateway.chat(ask()))).toMatchObject({
    kind: 'provider_network',
    httpStatus: 502,
    retryable: true,
  })
  expect(await failure(gateway.chat({}))).toMatchObject({ kind: 'invalid_request', httpStatus: 400, retryable: false })
  const aborted = new library.GatewayError({
    code: 'ABORTED',
    kind: 'aborted',
    message: 'stopped',
    retryable: false,
    httpStatus: 499,
  })
  expect(aborted).toMatchObject({ name: 'AbortError', httpStatus: 499 })
})
