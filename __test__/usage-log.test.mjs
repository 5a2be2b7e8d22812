import { describe, expect, test } from 'vitest'
import { Gateway, GatewayError, UsageLogger } from '../index.mjs'
import {
  ask,
  budget,
  chain,
  collect,
  config,
  consoleLines,
  custom,
  failureOf,
  gatewayOf,
  provider,
  rule,
} from './helpers/config.mjs'
import { live, never, openai, status, upstream } from './helpers/upstream.mjs'

const failing = (error) => ({
  custom: ({ name }) => ({
    name,
    family: 'custom',
    chat: async () => {
      throw error
    },
  }),
})

describe('the entry of an answer', () => {
  test('has every field', async () => {
    const up = await upstream(openai.answer('x', { model: 'gpt-4o', usage: [1000, 500] }))
    const { gateway, logs } = gatewayOf({
      providers: [provider('main', up.url)],
      rules: [rule({ provider: 'main', model: 'gpt-4o' }, { name: 'the-rule' })],
    })
    const before = Date.now()
    const answer = await gateway.chat(ask({ feature: 'search', userTier: 'gold' }))
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
      requestId: answer.requestId,
      provider: 'main',
      model: 'gpt-4o',
      routeRule: 'the-rule',
      feature: 'search',
      userTier: 'gold',
      success: true,
      inputTokens: 1000,
      outputTokens: 500,
      totalTokens: 1500,
      estimatedCostUsd: answer.estimatedCostUsd,
      latencyMs: answer.latencyMs,
      fallbackTriggered: false,
    })
    expect(logs[0].errorCode).toBeUndefined()
    expect(logs[0].fallbackFrom).toBeUndefined()
    expect(logs[0].estimatedCostUsd).toBeCloseTo(0.0075, 12)
    expect(Math.abs(Date.parse(logs[0].timestamp) - before)).toBeLessThan(60_000)
  })

  test('says who called, and for what: of an answer, a stream and a failure', async () => {
    const labels = { userId: 'ada', metadata: { team: 'red', order: { id: 7 } } }
    const up = await upstream(openai.answer('x'), openai.stream(['x']), status(500))
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    await gateway.chat(ask(labels))
    await collect((await gateway.chatStream(ask(labels))).stream)
    await failureOf(gateway.chat(ask(labels)))
    expect(logs).toHaveLength(3)
    for (const log of logs) expect(log).toMatchObject(labels)
    await failureOf(gateway.chat(ask()))
    expect(Object.keys(logs[3])).not.toContain('metadata')
  })

  test('has no feature and no tier where the request has none', async () => {
    const up = await upstream(openai.answer())
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    await gateway.chat(ask())
    expect([logs[0].feature, logs[0].userTier]).toEqual([undefined, undefined])
  })

  test('names both ends of a fallback', async () => {
    const [a, b] = [await upstream(status(500)), await upstream(openai.answer())]
    const { gateway, logs } = gatewayOf({
      providers: [provider('a', a.url), provider('b', b.url)],
      chains: [chain('safe', 'a', 'b')],
    })
    await gateway.chat(ask())
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({ provider: 'b', success: true, fallbackTriggered: true, fallbackFrom: 'a' })
  })

  test('is one for each call, each with its own id', async () => {
    const up = await upstream(openai.answer())
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    const answers = await Promise.all(Array.from({ length: 25 }, () => gateway.chat(ask())))
    const ids = (list) => list.map((item) => item.requestId).sort()
    expect(ids(logs)).toEqual(ids(answers))
  })
})

describe('the entry of a failure', () => {
  const failed = async (answer, fields) => {
    const up = await upstream(answer)
    const { gateway, logs } = gatewayOf({
      providers: [provider('main', up.url, fields)],
      rules: [rule({ provider: 'main', model: 'asked-for' }, { name: 'the-rule' })],
    })
    const error = await failureOf(gateway.chat(ask({ feature: 'search', userTier: 'gold' })))
    return { error, logs }
  }

  test('has every field', async () => {
    const { error, logs } = await failed(status(500))
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      requestId: error.requestId,
      provider: 'main',
      model: 'asked-for',
      routeRule: 'the-rule',
      feature: 'search',
      userTier: 'gold',
      success: false,
      inputTokens: 0,
      outputTokens: 0,
      totalTokens: 0,
      fallbackTriggered: false,
      errorCode: 'PROVIDER_RESPONSE',
    })
    expect(logs[0].estimatedCostUsd ?? 0).toBe(0)
    expect(Number.isInteger(logs[0].latencyMs)).toBe(true)
  })

  test.each([
    ['PROVIDER_AUTH', status(401)],
    ['PROVIDER_RATE_LIMIT', status(429)],
    ['PROVIDER_TIMEOUT', never],
    ['PROVIDER_RESPONSE', status(200, '<html>')],
    ['PROVIDER_NETWORK', (req) => req.socket.destroy()],
  ])('has the errorCode %s', async (errorCode, answer) => {
    const { logs } = await failed(answer, { timeoutMs: 80 })
    expect(logs).toMatchObject([{ success: false, errorCode }])
  })

  test.each([
    ['UNKNOWN', new Error('boom')],
    ['UNKNOWN', Object.assign(new Error('boom'), { code: 'ECONNRESET' })],
    ['UNKNOWN', 'boom'],
    ['BUDGET_EXCEEDED', GatewayError.budgetExceeded('theirs')],
    ['MINE', new GatewayError({ code: 'MINE', kind: 'internal', message: 'm', retryable: false })],
  ])('has the errorCode %s for what a custom provider throws: %s', async (errorCode, thing) => {
    const { gateway, logs } = gatewayOf({ providers: [custom('main')], customProviders: failing(thing) })
    await failureOf(gateway.chat(ask()))
    expect(logs).toMatchObject([{ provider: 'main', success: false, errorCode }])
  })

  test('is one for the whole chain, with the rule’s provider and model', async () => {
    const { gateway, logs } = gatewayOf({
      providers: [custom('a'), custom('b')],
      rules: [rule({ provider: 'a', model: 'rule-model', fallbackChain: 'safe' })],
      chains: [chain('safe', 'a', 'b')],
      customProviders: failing(new Error('boom')),
    })
    await failureOf(gateway.chat(ask()))
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({ provider: 'a', model: 'rule-model', success: false, errorCode: 'UNKNOWN' })
  })

  test('is written for a stream that could not be opened', async () => {
    const up = await upstream(status(429))
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    const error = await failureOf(gateway.chatStream(ask()))
    expect(logs).toMatchObject([{ requestId: error.requestId, success: false, errorCode: 'PROVIDER_RATE_LIMIT' }])
  })
})

describe('the entry of a stream', () => {
  test('is written once, when the stream ends, with the figures of its summary', async () => {
    const feed = live()
    const up = await upstream(feed)
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    const opening = gateway.chatStream(ask({ feature: 'search' }))
    await feed.opened
    feed.send(openai.chunk({ content: 'a' }))
    const { requestId, stream, getUsageSummary } = await opening
    const iterator = stream[Symbol.asyncIterator]()
    await iterator.next()
    expect(logs).toEqual([])
    feed.send(openai.chunk({ content: 'b' }, 'stop'), openai.usageChunk(1000, 2000), '[DONE]')
    feed.end()
    await collect({ [Symbol.asyncIterator]: () => iterator })
    const summary = await getUsageSummary()
    await getUsageSummary()
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({
      requestId,
      provider: 'main',
      model: 'gpt-4o-mini',
      feature: 'search',
      success: true,
      inputTokens: 1000,
      outputTokens: 2000,
      totalTokens: 3000,
      estimatedCostUsd: summary.estimatedCostUsd,
      latencyMs: summary.latencyMs,
      fallbackTriggered: false,
    })
  })

  test('is written without getUsageSummary', async () => {
    const up = await upstream(openai.stream(['x']))
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    await collect((await gateway.chatStream(ask())).stream)
    expect(logs).toMatchObject([{ success: true, totalTokens: 17 }])
  })

  test('says so when the stream broke off', async () => {
    const feed = live()
    const up = await upstream(feed)
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    const opening = gateway.chatStream(ask())
    await feed.opened
    feed.send(openai.chunk({ content: 'half' }))
    const { requestId, stream } = await opening
    const reading = failureOf(collect(stream))
    feed.cut()
    const error = await reading
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({ requestId, success: false, errorCode: error.code })
  })
})

describe('there is no entry', () => {
  test('for a request that no rule matches', async () => {
    const { gateway, logs } = gatewayOf({ providers: [custom('main', 'mock')], rules: [] })
    await failureOf(gateway.chat(ask()))
    await failureOf(gateway.chatStream(ask()))
    expect(logs).toEqual([])
  })

  test('for a rule whose provider is not loaded', async () => {
    const { gateway, logs } = gatewayOf({ rules: [rule('gone')] })
    await failureOf(gateway.chat(ask()))
    expect(logs).toEqual([])
  })

  test('for a request that a budget refuses', async () => {
    consoleLines('warn')
    const up = await upstream(openai.answer('x', { usage: [600, 400] }))
    const { gateway, logs } = gatewayOf({
      providers: [provider('main', up.url)],
      budgets: [budget('cap', { maxTotalTokens: 500 })],
    })
    await gateway.chat(ask())
    logs.length = 0
    await failureOf(gateway.chat(ask()))
    await failureOf(gateway.chatStream(ask()))
    expect(logs).toEqual([])
  })
})

describe('the handler', () => {
  const answering = async (onUsageLog, answer = openai.answer()) => {
    const up = await upstream(answer)
    return gatewayOf({ providers: [provider('main', up.url)], onUsageLog }).gateway
  }

  /** A handler that takes its time and then notes that it is done. */
  const slow = (order) => async () => {
    await new Promise((resolve) => setTimeout(resolve, 30))
    order.push('logged')
  }

  test('is awaited before the answer', async () => {
    const order = []
    const gateway = await answering(slow(order))
    await gateway.chat(ask())
    order.push('answered')
    expect(order).toEqual(['logged', 'answered'])
  })

  test('is awaited before the failure', async () => {
    const order = []
    const gateway = await answering(slow(order), status(500))
    await failureOf(gateway.chat(ask()))
    order.push('failed')
    expect(order).toEqual(['logged', 'failed'])
  })

  test('is awaited before the end of a stream', async () => {
    const order = []
    const gateway = await answering(slow(order), openai.stream(['x']))
    await collect((await gateway.chatStream(ask())).stream)
    order.push('ended')
    expect(order).toEqual(['logged', 'ended'])
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('handler')
      },
    ],
    ['rejects', () => Promise.reject(new Error('handler'))],
    [
      'throws undefined',
      () => {
        throw undefined
      },
    ],
  ])('that %s is ignored', async (_, handler) => {
    expect((await (await answering(handler)).chat(ask())).content).toBe('Hello!')
    expect(await failureOf((await answering(handler, status(500))).chat(ask()))).toMatchObject({
      code: 'PROVIDER_RESPONSE',
    })
    const { stream } = await (await answering(handler, openai.stream(['x']))).chatStream(ask())
    expect((await collect(stream)).map((chunk) => chunk.delta).join('')).toBe('x')
  })

  test('keeps the console silent', async () => {
    const printed = consoleLines('log')
    await (await answering(() => {})).chat(ask())
    expect(printed.lines).toEqual([])
  })
})

test('without a handler, the entry is printed', async () => {
  const printed = consoleLines('log')
  const up = await upstream(openai.answer())
  const gateway = new Gateway({ config: config({ providers: [provider('main', up.url)] }) })
  const { requestId } = await gateway.chat(ask())
  expect(printed.lines).toHaveLength(1)
  expect(printed.lines[0].slice(0, 8)).toBe('[usage] ')
  expect(JSON.parse(printed.lines[0].slice(8))).toMatchObject({
    requestId,
    provider: 'main',
    success: true,
    totalTokens: 17,
  })
})

describe('UsageLogger', () => {
  const entry = Object.freeze({ requestId: 'r', provider: 'p', success: true })

  test('gives each handler the very entry, in order', async () => {
    const seen = []
    const logger = new UsageLogger((log) => void seen.push(['first', log]))
    logger.addHandler((log) => void seen.push(['second', log]))
    await logger.log(entry)
    expect(seen.map(([name]) => name)).toEqual(['first', 'second'])
    for (const [, log] of seen) expect(log).toBe(entry)
  })

  test('waits for each handler', async () => {
    const order = []
    const later = (name, ms) => () => new Promise((resolve) => setTimeout(resolve, ms)).then(() => order.push(name))
    const logger = new UsageLogger(later('slow', 20))
    logger.addHandler(later('quick', 1))
    await logger.log(entry)
    expect([...order].sort()).toEqual(['quick', 'slow'])
  })

  test('ignores what handlers throw and goes on to the next', async () => {
    const seen = []
    const logger = new UsageLogger(() => {
      throw new Error('handler')
    })
    logger.addHandler(() => Promise.reject(new Error('handler')))
    logger.addHandler((log) => void seen.push(log))
    expect(await logger.log(entry)).toBeUndefined()
    expect(seen).toEqual([entry])
  })

  test('prints the entry where it has no handler', async () => {
    const printed = consoleLines('log')
    await new UsageLogger().log(entry)
    expect(printed.lines).toEqual([`[usage] ${JSON.stringify(entry)}`])
  })

  test('prints nothing once it has one', async () => {
    const printed = consoleLines('log')
    const logger = new UsageLogger()
    logger.addHandler(() => {})
    await logger.log(entry)
    expect(printed.lines).toEqual([])
  })
})
