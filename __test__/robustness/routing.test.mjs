// Rules, constraints, chains and their models.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { openai, stream } from './helpers/formats.mjs'
import { TIMEOUT, ask, failure, gatewayOf, library, listenToConsole, readAll } from './helpers/gateway.mjs'
import { upstream } from './helpers/upstream.mjs'

afterEach(() => vi.restoreAllMocks())

const answering = () => upstream((exchange) => exchange.reply(openai.whole('Hello')))
const rule = (name, provider, more) => ({ name, priority: 0, match: {}, target: { provider }, ...more })
const NOT_FOUND = {
  name: 'GatewayError',
  code: 'ROUTE_NOT_FOUND',
  kind: 'route_not_found',
  httpStatus: 404,
  retryable: false,
}

test('match.sensitivity is matched against the request', async () => {
  const server = await answering()
  const { gateway, logs } = gatewayOf({
    providers: [openai.entry(server.url), openai.entry(server.url, { name: 'private' })],
    rules: [rule('secret', 'private', { priority: 5, match: { sensitivity: 'high' } }), rule('rest', 'p')],
  })
  expect((await gateway.chat(ask({ sensitivity: 'high' }))).provider).toBe('private')
  expect((await gateway.chat(ask({ sensitivity: 'low' }))).provider).toBe('p')
  expect((await gateway.chat(ask())).provider).toBe('p')
  expect(logs.map(({ routeRule }) => routeRule)).toEqual(['secret', 'rest', 'rest'])
})

describe('constraints', () => {
  const long = 'one two three four five six seven eight nine ten'

  test.each([
    ['maxInputTokens', 10, {}],
    ['maxCostUsd', 0.01, { model: 'gpt-4', maxTokens: 100 }],
  ])('a rule whose %s the estimate exceeds is passed over', async (constraint, limit, request) => {
    const server = await answering()
    const providers = [openai.entry(server.url), openai.entry(server.url, { name: 'q' })]
    const limited = rule('small', 'p', { priority: 5, constraints: { [constraint]: limit } })
    const tooMuch = ask({ ...request, ...(request.maxTokens ? { maxTokens: 1000 } : {}) }, long)

    const both = gatewayOf({ providers, rules: [limited, rule('rest', 'q')] })
    expect((await both.gateway.chat(ask(request))).provider).toBe('p')
    expect((await both.gateway.chat(tooMuch)).provider).toBe('q')

    const alone = gatewayOf({ providers, rules: [limited] })
    for (const method of ['chat', 'chatStream']) {
      const error = await failure(alone.gateway[method](tooMuch))
      expect(error).toMatchObject({ ...NOT_FOUND, details: { excluded: [{ rule: 'small', constraint, limit }] } })
      expect(error.details.excluded[0].estimate).toBeGreaterThan(limit)
    }
    expect(server.requests).toHaveLength(2)
    expect(alone.logs).toEqual([])
  })

  test('a limit that is just met is kept', async () => {
    const server = await answering()
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      rules: [rule('small', 'p', { constraints: { maxInputTokens: 7 } })],
    })
    expect((await gateway.chat(ask())).content).toBe('Hello')
  })
})

describe('maxLatencyMs', () => {
  const rules = (maxLatencyMs, fallbackChain) => [
    rule('quick', 'p', { target: { provider: 'p', fallbackChain }, constraints: { maxLatencyMs } }),
  ]

  test('ends the call whatever its provider’s timeout', async () => {
    const server = await upstream(() => {})
    const { gateway, logs } = gatewayOf({
      providers: [openai.entry(server.url, { timeoutMs: 60_000 })],
      rules: rules(200),
    })
    for (const method of ['chat', 'chatStream']) {
      const started = performance.now()
      expect(await failure(gateway[method](ask()))).toMatchObject(TIMEOUT)
      expect(performance.now() - started).toBeLessThan(1500)
    }
    expect(logs).toHaveLength(2)
  })

  test('spans retries: a wait that would pass it is not begun', async () => {
    const server = await upstream((exchange) => exchange.reply('busy', { status: 503 }))
    const entry = openai.entry(server.url, { retry: { maxAttempts: 5, backoffMs: 60_000 } })
    const { gateway } = gatewayOf({ providers: [entry], rules: rules(500) })
    const started = performance.now()
    expect(await failure(gateway.chat(ask()))).toMatchObject({
      code: 'PROVIDER_RESPONSE',
      details: { upstreamStatus: 503 },
    })
    expect(performance.now() - started).toBeLessThan(1500)
    expect(server.requests).toHaveLength(1)
  })

  test('spans fallbacks: what the first step used up is gone', async () => {
    const slow = await upstream(async (exchange) => {
      await sleep(200)
      exchange.reply('no', { status: 500 })
    })
    const stalled = await upstream(() => {})
    const third = await answering()
    const chain = { name: 'chain', steps: [{ provider: 'p' }, { provider: 'q', timeoutMs: 60_000 }, { provider: 'r' }] }
    const logs = []
    const gateway = new library.Gateway({
      config: {
        providers: [
          openai.entry(slow.url),
          openai.entry(stalled.url, { name: 'q' }),
          openai.entry(third.url, { name: 'r' }),
        ],
        routes: rules(400, 'chain'),
        fallbackChains: [chain],
        budgets: [],
      },
      onUsageLog: (entry) => void logs.push(entry),
    })
    const started = performance.now()
    expect(await failure(gateway.chat(ask()))).toMatchObject({ ...TIMEOUT, provider: 'q' })
    expect(performance.now() - started).toBeLessThan(1500)
    expect(third.requests).toHaveLength(0)
    expect(logs).toHaveLength(1)
  })

  test('ends a stream that goes on for longer', async () => {
    const server = await upstream(async (exchange) => {
      exchange.events().write(openai.start)
      await exchange.trickle(
        50,
        Array.from({ length: 100 }, () => openai.delta('a')),
      )
    })
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)], rules: rules(400) })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect(text).toMatch(/^a+$/)
    expect(error).toMatchObject(TIMEOUT)
    await server.requests[0].closed
  })
})

describe('a provider that is not loaded', () => {
  const keyless = (name) =>
    openai.entry('http://127.0.0.1:9', { name, auth: { type: 'apiKey', envVar: 'NOT_SET_ANYWHERE' } })

  test('gives route_not_found where the rule has no chain', async () => {
    listenToConsole()
    const server = await answering()
    const { gateway, logs } = gatewayOf({ providers: [keyless('p'), openai.entry(server.url, { name: 'q' })] })
    expect(gateway.listProviders()).toEqual(['q'])
    for (const method of ['chat', 'chatStream']) expect(await failure(gateway[method](ask()))).toMatchObject(NOT_FOUND)
    expect(logs).toEqual([])
  })

  test('is passed over in a chain, as a step that failed', async () => {
    listenToConsole()
    const server = await upstream((exchange) => {
      if (exchange.json.stream) exchange.events().end(stream(openai))
      else exchange.reply(openai.whole('Hello'))
    })
    const providers = [keyless('p'), openai.entry(server.url, { name: 'q' })]
    const { gateway, logs } = gatewayOf({
      providers,
      steps: [{ provider: 'p' }, { provider: 'q', when: ['provider_error'] }],
    })
    expect(await gateway.chat(ask())).toMatchObject({ provider: 'q', fallbackTriggered: true, fallbackFrom: 'p' })
    expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Hello')
    expect(logs).toHaveLength(2)
    for (const entry of logs)
      expect(entry).toMatchObject({ provider: 'q', fallbackTriggered: true, fallbackFrom: 'p', success: true })
  })

  test('ends a chain whose next step waits for something else', async () => {
    listenToConsole()
    const server = await answering()
    const providers = [keyless('p'), openai.entry(server.url, { name: 'q' })]
    const { gateway } = gatewayOf({ providers, steps: [{ provider: 'p' }, { provider: 'q', when: ['timeout'] }] })
    expect(await failure(gateway.chat(ask()))).toBeInstanceOf(library.GatewayError)
    expect(server.requests).toHaveLength(0)
  })

  test('in the middle of a chain is passed over too; the provider that failed first is named', async () => {
    listenToConsole()
    const broken = await upstream((exchange) => exchange.reply('no', { status: 500 }))
    const good = await answering()
    const { gateway } = gatewayOf({
      providers: [openai.entry(broken.url), keyless('gone'), openai.entry(good.url, { name: 'q' })],
      steps: [{ provider: 'p' }, { provider: 'gone' }, { provider: 'q', when: ['provider_error'] }],
    })
    expect(await gateway.chat(ask())).toMatchObject({ provider: 'q', fallbackFrom: 'p' })
  })
})

describe('a chain step without a model', () => {
  async function modelsAsked(request, second = {}, step = {}) {
    const asked = []
    const broken = await upstream((exchange) => {
      asked.push(exchange.json.model)
      exchange.reply('no', { status: 500 })
    })
    const good = await upstream((exchange) => {
      asked.push(exchange.json.model)
      exchange.reply(openai.whole())
    })
    const { gateway } = gatewayOf({
      providers: [
        openai.entry(broken.url, { models: ['a1', 'a2'] }),
        openai.entry(good.url, { name: 'q', models: ['b1', 'b2'], ...second }),
      ],
      steps: [{ provider: 'p' }, { provider: 'q', ...step }],
    })
    await gateway.chat(ask(request))
    return asked
  }

  test('uses its provider’s own default', async () => {
    expect(await modelsAsked({})).toEqual(['a1', 'b1'])
    expect(await modelsAsked({}, { defaultModel: 'b2' })).toEqual(['a1', 'b2'])
  })

  test('uses its provider’s own default where the request named a model that the provider does not list', async () => {
    expect(await modelsAsked({ model: 'a2' })).toEqual(['a2', 'b1'])
  })

  test('uses the request’s model where the provider lists it', async () => {
    expect(await modelsAsked({ model: 'b2' })).toEqual(['b2', 'b2'])
  })

  test('is overridden by a model of its own', async () => {
    expect(await modelsAsked({ model: 'b2' }, {}, { model: 'b3' })).toEqual(['b2', 'b3'])
  })
})

test('a rule without a model uses its provider’s default, or the first it lists', async () => {
  const server = await answering()
  const { gateway } = gatewayOf({
    providers: [
      openai.entry(server.url, { models: ['x', 'y'] }),
      openai.entry(server.url, { name: 'q', models: ['x', 'y'], defaultModel: 'y' }),
    ],
    rules: [rule('second', 'q', { priority: 1, match: { feature: 'f' } }), rule('first', 'p')],
  })
  await gateway.chat(ask())
  await gateway.chat(ask({ feature: 'f' }))
  expect(server.requests.map(({ json }) => json.model)).toEqual(['x', 'y'])
})
