import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { registerModelPricing } from '../index.mjs'
import {
  ask,
  budget,
  chain,
  collect,
  custom,
  customs,
  failureOf,
  gatewayOf,
  pool,
  provider,
  result,
  rule,
} from './helpers/config.mjs'
import { live, openai, status, upstream } from './helpers/upstream.mjs'

registerModelPricing('priced', { inputPer1kTokens: 1, outputPer1kTokens: 2 })
const PRICE = (3 * 1 + 2 * 2) / 1000

const CACHE = { cache: { enabled: true } }
const priced = async (_, number) => result(`answer ${number}`, { model: 'priced' })

/** A gateway over one provider, `main`, and how often that was asked. */
function counting(settings = CACHE, chat = priced, options = {}) {
  const own = customs({ main: chat })
  return { ...gatewayOf({ ...own, settings, ...options }), asked: () => own.calls.main.length, calls: own.calls.main }
}

const textOf = async ({ stream }) => (await collect(stream)).map(({ delta }) => delta).join('')

describe('the cache', () => {
  test('answers an identical call at no cost, and the log tells what was saved', async () => {
    const { gateway, logs, asked } = counting()
    const first = await gateway.chat(ask())
    expect(first).toMatchObject({ content: 'answer 1', estimatedCostUsd: PRICE })
    expect(first).not.toHaveProperty('cached')
    const second = await gateway.chat(ask({ feature: 'search' }))
    expect(second).toMatchObject({
      content: 'answer 1',
      provider: 'main',
      model: 'priced',
      cached: true,
      inputTokens: 0,
      outputTokens: 0,
      totalTokens: 0,
      estimatedCostUsd: 0,
    })
    expect(second.requestId).not.toBe(first.requestId)
    expect(asked()).toBe(1)
    expect(logs).toHaveLength(2)
    expect(logs[0]).not.toHaveProperty('savedUsd')
    expect(logs[1]).toMatchObject({
      requestId: second.requestId,
      success: true,
      cached: true,
      estimatedCostUsd: 0,
      savedUsd: PRICE,
      routeRule: 'to-main',
      feature: 'search',
    })
  })

  test('is off unless it is asked for', async () => {
    const { gateway, asked } = counting({})
    await gateway.chat(ask())
    await gateway.chat(ask())
    expect(asked()).toBe(2)
  })

  test('a request may want it where it is off, and not want it where it is on', async () => {
    const off = counting({})
    await off.gateway.chat(ask({ cache: true }))
    expect((await off.gateway.chat(ask({ cache: true }))).cached).toBe(true)
    await off.gateway.chat(ask())
    expect(off.asked()).toBe(2)

    const on = counting()
    await on.gateway.chat(ask())
    expect(await on.gateway.chat(ask({ cache: false }))).toMatchObject({ content: 'answer 2' })
    // Nor was that one kept.
    expect((await on.gateway.chat(ask())).content).toBe('answer 1')
  })

  test("answers are kept for ttlMs, the settings' or the request's own", async () => {
    const { gateway, asked } = counting({ cache: { enabled: true, ttlMs: 60 } })
    await gateway.chat(ask())
    const long = (content) => ask({ messages: [{ role: 'user', content }], cache: { ttlMs: 60_000 } })
    await gateway.chat(long('keep this'))
    await sleep(80)
    await gateway.chat(ask())
    expect(asked()).toBe(3)
    expect((await gateway.chat(long('keep this'))).cached).toBe(true)
  })

  test.each([
    ['maxTokens', { maxTokens: 5 }],
    ['temperature', { temperature: 0.5 }],
    ['model', { model: 'other' }],
    ['messages', { messages: [{ role: 'user', content: 'Hi!' }] }],
    ['tools', { tools: [{ name: 't', parameters: { type: 'object' } }] }],
    ['responseFormat', { responseFormat: 'json' }],
    ['userId', { userId: 'ada' }],
    ['providerOptions', { providerOptions: { custom: { x: 1 } } }],
  ])('another %s is another call', async (_, fields) => {
    const { gateway, asked } = counting(CACHE, async () => '{}')
    await gateway.chat(ask())
    await gateway.chat(ask(fields))
    expect(asked()).toBe(2)
    expect((await gateway.chat(ask(fields))).cached).toBe(true)
  })

  test('tenants are apart: what one user was told, no other is', async () => {
    const { gateway, asked } = counting()
    const told = async (userId) => (await gateway.chat(ask({ userId }))).content
    expect([await told('ada'), await told('bob'), await told('ada'), await told(undefined)]).toEqual([
      'answer 1',
      'answer 2',
      'answer 1',
      'answer 3',
    ])
    expect(asked()).toBe(3)
  })

  test.each([
    ['the cache', CACHE],
    ['calls in flight', { dedupe: true }],
  ])('%s: answers that a budget cuts short are for those whom it cuts short', async (_, settings) => {
    const chat = async ({ maxTokens }) => (
      await sleep(20), result(`at most ${maxTokens}`, { finishReason: maxTokens ? 'length' : 'stop' })
    )
    const strict = { enforcement: 'strict', scope: { type: 'user', key: 'free' }, maxOutputTokensPerCall: 10 }
    const { gateway, asked } = counting(settings, chat, {
      budgets: [budget('free tier', { maxTotalTokens: 100_000 }, strict)],
    })
    const told = async (fields) => (await gateway.chat(ask(fields))).content
    const calls = [
      { userTier: 'free' },
      { userTier: 'pro' },
      {},
      { userTier: 'pro', maxTokens: 10 },
      { userTier: 'free', maxTokens: 20 },
    ]
    const answers = settings === CACHE ? [] : await Promise.all(calls.map(told))
    if (settings === CACHE) for (const fields of calls) answers.push(await told(fields))
    expect(answers).toEqual(['at most 10', 'at most undefined', 'at most undefined', 'at most 10', 'at most 20'])
    // What was asked for with the same bound is shared all the same.
    expect(asked()).toBe(3)
  })

  test('rules that lead elsewhere are apart', async () => {
    const own = customs(
      { a: async () => 'a', b: async () => 'b' },
      { a: { models: ['same'] }, b: { models: ['same'] } },
    )
    const { gateway } = gatewayOf({
      ...own,
      settings: CACHE,
      rules: [rule('b', { match: { taskType: 'b' }, priority: 1 }), rule('a')],
    })
    expect((await gateway.chat(ask())).content).toBe('a')
    expect((await gateway.chat(ask({ taskType: 'b' }))).content).toBe('b')
  })

  test('a whole answer is streamed again, and a stream is given whole', async () => {
    const up = await upstream(openai.answer('A whole answer.'), openai.stream(['In', ' pieces.']))
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)], settings: CACHE })
    await gateway.chat(ask())
    const replayed = await gateway.chatStream(ask())
    expect(await textOf(replayed)).toBe('A whole answer.')
    expect(await replayed.getUsageSummary()).toMatchObject({
      cached: true,
      totalTokens: 0,
      estimatedCostUsd: 0,
      finishReason: 'stop',
    })
    expect(logs.at(-1)).toMatchObject({ cached: true, savedUsd: expect.any(Number) })

    const other = ask({ messages: [{ role: 'user', content: 'Stream' }] })
    expect(await textOf(await gateway.chatStream(other))).toBe('In pieces.')
    expect(await gateway.chat(other)).toMatchObject({ content: 'In pieces.', cached: true, finishReason: 'stop' })
    expect(up.requests).toHaveLength(2)
  })

  test('content comes again as it was, whatever is in it', async () => {
    const contents = [
      '\n',
      'two\nlines\r\n',
      '用户 🎉',
      '"quoted" \\ \u0000\u2028',
      'naïve',
      '{"json":\n[1]}',
      'x'.repeat(100_000),
    ]
    const { gateway, asked } = counting(CACHE, async ({ messages }) => result(contents[messages[0].content.length]))
    for (const [number, content] of contents.entries()) {
      const request = ask({ messages: [{ role: 'user', content: '?'.repeat(number) }] })
      const first = await gateway.chat(request)
      const again = await gateway.chat(request)
      expect(again).toMatchObject({ content, cached: true })
      expect(Object.keys(again).filter((name) => name !== 'cached')).toEqual(Object.keys(first))
    }
    expect(asked()).toBe(contents.length)
  })

  test('tools and events come again as they were', async () => {
    const tools = [
      {
        name: 'get_weather',
        parameters: {
          type: 'object',
          properties: { city: { type: 'string', examples: ['Rome'] } },
          required: ['city'],
        },
      },
    ]
    const { gateway } = gatewayOf({
      providers: [{ name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' } }],
      settings: CACHE,
    })
    const request = ask({ tools, messages: [{ role: 'user', content: 'What does get weather say?' }] })
    const first = await gateway.chat(request)
    const again = await gateway.chat(request)
    expect(first.toolCalls).toHaveLength(1)
    expect(again).toMatchObject({ cached: true, toolCalls: first.toolCalls, finishReason: 'tool_calls' })
    const events = await collect((await gateway.chatStream(request)).events)
    const { id, name, arguments: input } = first.toolCalls[0]
    expect(events).toContainEqual({ type: 'tool_use', id, name, input })
    expect(events.at(-1)).toMatchObject({
      type: 'done',
      usage: { totalTokens: 0, estimatedCostUsd: 0 },
      finishReason: 'tool_calls',
    })
  })

  test('errors are not kept', async () => {
    const up = await upstream(status(500), openai.answer('now'))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url)], settings: CACHE })
    await failureOf(gateway.chat(ask()))
    expect(await gateway.chat(ask())).toMatchObject({ content: 'now' })
  })

  test('an answer that was cut by its filter, or has nothing to say, is not kept', async () => {
    const { gateway, asked } = counting(CACHE, async () => '')
    await gateway.chat(ask())
    await gateway.chat(ask())
    expect(asked()).toBe(2)
  })

  test('a stream that broke off, or was left, is not kept', async () => {
    const first = live()
    const second = live()
    const up = await upstream(first, second, openai.answer('whole'))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url)], settings: CACHE })
    for (const [wire, end] of [
      [first, 'cut'],
      [second, 'leave'],
    ]) {
      const opening = gateway.chatStream(ask())
      await wire.opened
      wire.send(openai.chunk({ content: 'half' }))
      const { stream } = await opening
      if (end === 'cut') {
        wire.cut()
        await failureOf(collect(stream))
      } else {
        for await (const _ of stream) break
      }
    }
    expect(await gateway.chat(ask())).toMatchObject({ content: 'whole' })
  })

  test('a hit asks no budget and counts for none', async () => {
    const { gateway } = counting(CACHE, priced, {
      budgets: [budget('small', { maxTotalTokens: 6 }, { scope: { type: 'global' } })],
    })
    await gateway.chat(ask({ maxTokens: 1 }))
    for (let i = 0; i < 5; i++) expect((await gateway.chat(ask({ maxTokens: 1 }))).cached).toBe(true)
  })

  test('middleware is around it', async () => {
    const { gateway, asked } = counting()
    const seen = []
    gateway.use(async (request, next) => {
      const answer = await next(request)
      seen.push(answer.cached ?? false)
      return { ...answer, content: answer.content.toUpperCase() }
    })
    expect((await gateway.chat(ask())).content).toBe('ANSWER 1')
    expect((await gateway.chat(ask())).content).toBe('ANSWER 1')
    expect(seen).toEqual([false, true])
    expect(asked()).toBe(1)
  })

  test.each(['chat', 'chatStream'])('an aborted signal gets no answer of %s from it', async (method) => {
    const { gateway } = counting()
    await gateway.chat(ask())
    expect((await failureOf(gateway[method](ask({ signal: AbortSignal.abort() })))).name).toBe('AbortError')
  })

  test.each([
    [{ cache: 'yes' }, 'cache'],
    [{ cache: { ttlMs: 0 } }, 'cache.ttlMs'],
    [{ cache: { ttlMs: 'long' } }, 'cache.ttlMs'],
  ])('%j is refused', async (fields, path) => {
    const { gateway } = counting()
    expect(await failureOf(gateway.chat(ask(fields)))).toMatchObject({ kind: 'invalid_request', details: { path } })
  })
})

describe('dedupe', () => {
  const DEDUPE = { dedupe: true }

  test('fifty identical calls at once are one, which the first of them pays', async () => {
    const { gateway, logs, asked } = counting(DEDUPE, async (_, number) => (await sleep(50), priced(_, number)))
    const answers = await Promise.all(Array.from({ length: 50 }, () => gateway.chat(ask())))
    expect(asked()).toBe(1)
    expect(answers.every(({ content }) => content === 'answer 1')).toBe(true)
    const paid = answers.filter(({ cached }) => !cached)
    expect(paid).toHaveLength(1)
    expect(paid[0].estimatedCostUsd).toBe(PRICE)
    expect(
      answers.filter(
        ({ cached, estimatedCostUsd, totalTokens }) => cached && estimatedCostUsd === 0 && totalTokens === 0,
      ),
    ).toHaveLength(49)
    await vi.waitFor(() => expect(logs).toHaveLength(50))
    expect(logs.reduce((sum, { estimatedCostUsd }) => sum + estimatedCostUsd, 0)).toBeCloseTo(PRICE)
    expect(new Set(logs.map(({ requestId }) => requestId)).size).toBe(50)
  })

  test('a call after the first has ended is a call of its own', async () => {
    const { gateway, asked } = counting(DEDUPE)
    await gateway.chat(ask())
    await gateway.chat(ask())
    expect(asked()).toBe(2)
  })

  test('users are apart, and cache: false is never shared', async () => {
    const { gateway, asked } = counting(DEDUPE, async () => (await sleep(30), 'x'))
    const requests = [{}, { userId: 'ada' }, { userId: 'bob' }, { cache: false }, { cache: false }]
    await Promise.all(requests.flatMap((fields) => [gateway.chat(ask(fields))]))
    expect(asked()).toBe(5)
  })

  test('the first may leave: the others have their answer', async () => {
    const { gateway, logs, asked } = counting(DEDUPE, async () => (await sleep(80), 'for the others'))
    const controller = new AbortController()
    const first = failureOf(gateway.chat(ask({ signal: controller.signal })))
    const others = [gateway.chat(ask()), gateway.chat(ask())]
    await sleep(20)
    controller.abort()
    expect((await first).name).toBe('AbortError')
    for (const { content } of await Promise.all(others)) expect(content).toBe('for the others')
    expect(asked()).toBe(1)
    await vi.waitFor(() => expect(logs.filter(({ success }) => success).length).toBeGreaterThanOrEqual(2))
  })

  test('when all have left, the upstream is closed', async () => {
    let closed
    const gone = new Promise((resolve) => (closed = resolve))
    const up = await upstream((req, res) => res.on('close', closed))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url)], settings: DEDUPE })
    const controller = new AbortController()
    const calls = [0, 1, 2].map(() => failureOf(gateway.chat(ask({ signal: controller.signal }))))
    await vi.waitFor(() => expect(up.requests).toHaveLength(1))
    controller.abort()
    await Promise.all(calls)
    await gone
  })

  test("a failure is everybody's, each with a request id of its own", async () => {
    const up = await upstream(async (_, res) => (await sleep(40), res.writeHead(500).end('no')))
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)], settings: DEDUPE })
    const errors = await Promise.all([0, 1, 2].map(() => failureOf(gateway.chat(ask()))))
    expect(up.requests).toHaveLength(1)
    expect(errors.map(({ kind }) => kind)).toEqual(Array(3).fill('provider_response'))
    expect(new Set(errors.map(({ requestId }) => requestId)).size).toBe(3)
    await vi.waitFor(() => expect(logs.map(({ errorCode }) => errorCode)).toEqual(Array(3).fill('PROVIDER_RESPONSE')))
  })

  test('a stream that breaks off breaks for all, with the error that was thrown', async () => {
    const thrown = new Error('broken')
    async function* pieces() {
      yield { delta: 'begun', model: 'm' }
      await sleep(20)
      throw thrown
    }
    const breaking = {
      name: 'main',
      family: 'custom',
      chat: async () => result('no'),
      chatStream: async () => ({ stream: pieces() }),
    }
    const own = { providers: [custom('main')], customProviders: { custom: () => breaking } }
    const { gateway, logs } = gatewayOf({ ...own, settings: { dedupe: true } })
    const read = async () => {
      const response = await gateway.chatStream(ask())
      const error = await failureOf(collect(response.stream))
      return { error, requestId: response.requestId }
    }
    const [first, second] = await Promise.all([read(), read()])
    expect(first.error).toBe(thrown)
    expect(second.error).toBe(thrown)
    expect(second.requestId).not.toBe(first.requestId)
    await vi.waitFor(() => expect(logs).toHaveLength(2))
    expect((await gateway.health()).map(({ inFlight }) => inFlight)).toEqual([0])
  })

  test('streams are shared from their first piece on', async () => {
    const wire = live()
    const up = await upstream(wire)
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)], settings: DEDUPE })
    const opening = [gateway.chatStream(ask()), gateway.chatStream(ask())]
    await wire.opened
    wire.send(openai.chunk({ content: 'one ' }))
    const streams = await Promise.all(opening)
    const late = await gateway.chatStream(ask())
    const texts = [...streams, late].map(textOf)
    wire.send(openai.chunk({ content: 'two' }), openai.chunk({}, 'stop'), openai.usageChunk(4, 2), '[DONE]')
    wire.end()
    expect(await Promise.all(texts)).toEqual(Array(3).fill('one two'))
    expect(up.requests).toHaveLength(1)
    const summaries = await Promise.all([...streams, late].map((stream) => stream.getUsageSummary()))
    expect(summaries.map(({ totalTokens, cached }) => [totalTokens, cached ?? false]).sort()).toEqual([
      [0, true],
      [0, true],
      [6, false],
    ])
    await vi.waitFor(() => expect(logs).toHaveLength(3))
    expect(logs.map(({ totalTokens }) => totalTokens).sort()).toEqual([0, 0, 6])
    const paid = logs.find(({ cached }) => !cached).estimatedCostUsd
    expect(paid).toBeGreaterThan(0)
    expect(logs.filter(({ cached }) => cached).map(({ savedUsd }) => savedUsd)).toEqual([paid, paid])
  })

  test("the first one's stream tells of its attempts", async () => {
    const bad = await upstream(status(500))
    const good = await upstream(openai.stream(['ok']))
    const providers = [provider('a', bad.url), provider('b', good.url)]
    const { gateway } = gatewayOf({ providers, settings: DEDUPE, chains: [chain('c', 'a', 'b')] })
    const answer = await gateway.chatStream(ask())
    expect(await textOf(answer)).toBe('ok')
    expect((await answer.getUsageSummary()).attempts?.map(({ provider }) => provider)).toEqual(['a', 'b'])
  })

  test("the first one's answer tells of its attempts", async () => {
    const own = customs({
      a: async () => {
        throw new Error('down')
      },
      b: async () => 'b',
    })
    const { gateway } = gatewayOf({ ...own, settings: DEDUPE, chains: [chain('c', 'a', 'b')] })
    const { attempts } = await gateway.chat(ask())
    expect(attempts?.map(({ provider }) => provider)).toEqual(['a', 'b'])
  })

  test('a degraded reply is marked for all who share it', async () => {
    const own = customs({
      main: async () => {
        await sleep(20)
        throw new Error('down')
      },
    })
    const { gateway } = gatewayOf({
      ...own,
      settings: DEDUPE,
      chains: [{ ...chain('c', 'main'), degradedReply: 'sorry' }],
    })
    const answers = await Promise.all([gateway.chat(ask()), gateway.chat(ask())])
    expect(answers.map(({ degraded }) => degraded)).toEqual([true, true])
  })

  test('with the cache, calls after it are hits', async () => {
    const { gateway, asked } = counting(
      { ...DEDUPE, ...CACHE },
      async (_, number) => (await sleep(20), priced(_, number)),
    )
    await Promise.all([gateway.chat(ask()), gateway.chat(ask())])
    expect(await gateway.chat(ask())).toMatchObject({ cached: true })
    expect(asked()).toBe(1)
  })
})

describe('degradedReply', () => {
  const down = async () => {
    throw new Error('down')
  }
  const degraded = (settings = {}) => {
    const own = customs({ a: down, b: down })
    const chains = [{ ...chain('c', 'a', 'b'), degradedReply: 'Please try again later.' }]
    return { ...gatewayOf({ ...own, chains, settings }), counts: own.counts }
  }

  test('is the answer when all steps have failed, at no cost', async () => {
    const { gateway, logs } = degraded()
    const answer = await gateway.chat(ask())
    expect(answer).toMatchObject({
      content: 'Please try again later.',
      degraded: true,
      model: 'model-of-a',
      fallbackTriggered: true,
      finishReason: 'stop',
      totalTokens: 0,
      estimatedCostUsd: 0,
    })
    expect(answer.attempts.map(({ provider, errorCode }) => [provider, errorCode])).toEqual([
      ['a', 'UNKNOWN'],
      ['b', 'UNKNOWN'],
    ])
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({ success: true, degraded: true, totalTokens: 0, estimatedCostUsd: 0 })
  })

  test('streams, as chunks and as events', async () => {
    const { gateway, logs } = degraded()
    const chunks = await gateway.chatStream(ask())
    expect(await textOf(chunks)).toBe('Please try again later.')
    expect(await chunks.getUsageSummary()).toMatchObject({ degraded: true, totalTokens: 0 })
    const { events } = await gateway.chatStream(ask())
    expect(await collect(events)).toEqual([
      { type: 'text', delta: 'Please try again later.' },
      { type: 'done', usage: expect.objectContaining({ totalTokens: 0, estimatedCostUsd: 0 }), finishReason: 'stop' },
    ])
    expect(logs.map(({ degraded }) => degraded)).toEqual([true, true])
  })

  test('costs nothing where the model has a fee for each request', async () => {
    const down = await upstream(...Array.from({ length: 5 }, () => status(503)))
    const { gateway, logs } = gatewayOf({
      providers: [provider('main', down.url, { provider: 'perplexity', models: ['sonar'] })],
      chains: [{ ...chain('c', 'main'), degradedReply: 'sorry' }],
      settings: { dedupe: true },
    })
    const free = { degraded: true, inputTokens: 0, outputTokens: 0, totalTokens: 0, estimatedCostUsd: 0 }
    expect(await gateway.chat(ask())).toMatchObject(free)
    const read = await gateway.chatStream(ask())
    expect(await textOf(read)).toBe('sorry')
    expect(await read.getUsageSummary()).toMatchObject(free)
    // A stream that is left, one that nobody reads, and one that others share.
    const left = await gateway.chatStream(ask({ cache: false }))
    for await (const _ of left.stream) break
    expect(await left.getUsageSummary()).toMatchObject(free)
    const unread = await gateway.chatStream(ask({ cache: false }))
    expect(await unread.getUsageSummary()).toMatchObject(free)
    await unread.stream[Symbol.asyncIterator]().return()
    const shared = await Promise.all([gateway.chatStream(ask()), gateway.chatStream(ask())])
    await Promise.all(shared.map(textOf))
    for (const { getUsageSummary } of shared) expect(await getUsageSummary()).toMatchObject(free)
    await vi.waitFor(() => expect(logs).toHaveLength(6))
    for (const log of logs) expect(log).toMatchObject({ ...free, success: true })
    expect(logs.map(({ savedUsd }) => savedUsd ?? 0)).toEqual([0, 0, 0, 0, 0, 0])
  })

  test('is not kept', async () => {
    const { gateway, counts } = degraded(CACHE)
    expect((await gateway.chat(ask())).degraded).toBe(true)
    expect((await gateway.chat(ask())).cached).toBeUndefined()
    await textOf(await gateway.chatStream(ask()))
    expect((await gateway.chat(ask())).cached).toBeUndefined()
    expect(counts()[0]).toBeGreaterThanOrEqual(3)
  })

  test('comes after a pool and its chain', async () => {
    const own = customs({ a: down, b: down })
    const { gateway } = gatewayOf({
      ...own,
      rules: [pool(['a', 'b'], { fallbackChain: 'c' })],
      chains: [{ ...chain('c', 'a'), degradedReply: 'sorry' }],
    })
    expect(await gateway.chat(ask())).toMatchObject({ content: 'sorry', degraded: true })
    expect(own.counts().reduce((a, b) => a + b)).toBe(3)
  })

  test("the request's own fault is an error all the same", async () => {
    const up = await upstream(status(400))
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url)],
      rules: [pool(['main'], { fallbackChain: 'c' })],
      chains: [{ ...chain('c', 'main'), degradedReply: 'sorry' }],
    })
    expect((await failureOf(gateway.chat(ask()))).details.upstreamStatus).toBe(400)
  })
})
