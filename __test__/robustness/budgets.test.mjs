// Budgets under concurrency, and around streams.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { anthropic, openai, stream } from './helpers/formats.mjs'
import {
  ask,
  customEntry,
  eventually,
  failure,
  gatewayOf,
  library,
  listenToConsole,
  readAll,
} from './helpers/gateway.mjs'
import { upstream } from './helpers/upstream.mjs'

// "hi" is one token; its message and the answer's start are three each.
const PROMPT = 7

const policy = (limits, more) => ({
  name: 'cap',
  scope: { type: 'global' },
  window: 'hour',
  limits,
  enforcement: 'hard',
  ...more,
})

const EXCEEDED = {
  name: 'GatewayError',
  code: 'BUDGET_EXCEEDED',
  kind: 'budget_exceeded',
  httpStatus: 429,
  details: { policy: 'cap' },
}

let printed
beforeEach(() => (printed = listenToConsole()))
afterEach(() => vi.restoreAllMocks())

/** An upstream that answers only when told to, so that all calls are in flight at once. */
async function held(usage) {
  let open
  const gate = new Promise((resolve) => (open = resolve))
  const server = await upstream(async (exchange) => {
    await gate
    exchange.reply(openai.whole('Hello', usage(exchange.json)))
  })
  return { server, open }
}

const counts = (input, output) => ({ prompt_tokens: input, completion_tokens: output, total_tokens: input + output })

/** Sends `count` calls at once, and waits until each was refused or has reached the server; `admitted` are the latter. */
async function crowd({ gateway, server, count, request }) {
  const before = server.requests.length
  const calls = Array.from({ length: count }, () =>
    gateway.chat(ask(request)).then(
      (answer) => ({ answer }),
      (error) => ({ error }),
    ),
  )
  const settled = []
  for (const call of calls) void call.then((result) => settled.push(result))
  await eventually(() => settled.length + server.requests.length - before === count)
  for (const { error } of settled) expect(error).toMatchObject(EXCEEDED)
  return { admitted: count - settled.length, results: Promise.all(calls) }
}

describe('a hard limit', () => {
  test('stops admission once what is spent and reserved has passed it', async () => {
    const { server, open } = await held(() => counts(PROMPT, 20))
    const { gateway, logs } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 1000 })],
    })
    const { admitted, results } = await crowd({ gateway, server, count: 50, request: { maxTokens: 100 } })
    // Nine calls hold 963 tokens; the tenth is let in by them and takes the sum over the limit.
    expect(admitted).toBe(10)
    expect(server.requests).toHaveLength(10)
    open()
    expect((await results).filter(({ answer }) => answer)).toHaveLength(10)
    expect(logs).toHaveLength(10)
    // What was reserved but not used is free again: 270 of 1,000 are spent.
    expect((await gateway.chat(ask({ maxTokens: 100 }))).content).toBe('Hello')
  })

  test('reserves 256 tokens of output at first, then the model’s mean', async () => {
    const { server, open } = await held(() => counts(PROMPT, 2))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 2 * 263 - 1 })],
    })
    const first = await crowd({ gateway, server, count: 10 })
    expect(first.admitted).toBe(2)
    open()
    await first.results
    const second = await Promise.all(Array.from({ length: 40 }, () => gateway.chat(ask())))
    expect(second).toHaveLength(40)
  })

  test('returns what failed calls held, and bills them nothing', async () => {
    let fail = true
    const server = await upstream((exchange) =>
      fail ? exchange.reply('no', { status: 500 }) : exchange.reply(openai.whole('Hello', counts(1, 1))),
    )
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 120 }, { enforcement: 'strict' })],
    })
    for (let i = 0; i < 5; i++)
      expect(await failure(gateway.chat(ask({ maxTokens: 100 })))).toMatchObject({ code: 'PROVIDER_RESPONSE' })
    for (let i = 0; i < 5; i++)
      expect(await failure(gateway.chatStream(ask({ maxTokens: 100 })))).toMatchObject({ code: 'PROVIDER_RESPONSE' })
    fail = false
    expect((await gateway.chat(ask({ maxTokens: 100 }))).content).toBe('Hello')
  })

  test('bills a timeout, a lost connection and a refused answer nothing', async () => {
    const faults = [
      () => {},
      (exchange) => exchange.reset(),
      (exchange) => exchange.reply({}),
      (exchange) => exchange.reply(openai.whole('Hello', counts(1, 1))),
    ]
    const server = await upstream((exchange, number) => faults[number - 1](exchange))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url, { timeoutMs: 150 })],
      budgets: [policy({ maxTotalTokens: 120 }, { enforcement: 'strict' })],
    })
    for (const code of ['PROVIDER_TIMEOUT', 'PROVIDER_NETWORK', 'PROVIDER_RESPONSE']) {
      expect(await failure(gateway.chat(ask({ maxTokens: 100 })))).toMatchObject({ code })
    }
    expect((await gateway.chat(ask({ maxTokens: 100 }))).content).toBe('Hello')
  })

  test('on output tokens is enforced', async () => {
    const server = await upstream((exchange) => exchange.reply(openai.whole('Hello', counts(1, 60))))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxOutputTokens: 100 })],
    })
    await gateway.chat(ask())
    await gateway.chat(ask())
    expect(await failure(gateway.chat(ask()))).toMatchObject(EXCEEDED)
  })
})

describe('a strict limit', () => {
  test('is never passed, whatever comes at once', async () => {
    const { server, open } = await held(({ max_tokens }) => counts(PROMPT, max_tokens))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 1000 }, { enforcement: 'strict', maxOutputTokensPerCall: 100 })],
    })
    const { admitted, results } = await crowd({ gateway, server, count: 50 })
    expect(admitted).toBe(9)
    open()
    const answers = (await results).flatMap(({ answer }) => answer ?? [])
    expect(answers.reduce((sum, { totalTokens }) => sum + totalTokens, 0)).toBe(9 * 107)
    expect(server.requests.map(({ json }) => json.max_tokens)).toEqual(Array(9).fill(100))
    // 37 tokens are left: room for an answer of 30, not for one of 31.
    expect(await failure(gateway.chat(ask({ maxTokens: 31 })))).toMatchObject(EXCEEDED)
    expect((await gateway.chat(ask({ maxTokens: 30 }))).totalTokens).toBe(37)
    expect(await failure(gateway.chat(ask({ maxTokens: 1 })))).toMatchObject(EXCEEDED)
  })

  test('bounds each answer by 4,096 tokens where nothing else is said, for every family', async () => {
    const server = await upstream((exchange) =>
      exchange.reply(exchange.path.endsWith('messages') ? anthropic.whole() : openai.whole()),
    )
    for (const format of [openai, anthropic]) {
      const { gateway } = gatewayOf({
        providers: [format.entry(server.url)],
        budgets: [policy({ maxTotalTokens: 10_000 }, { enforcement: 'strict' })],
      })
      await gateway.chat(ask())
      expect(server.requests.at(-1).json.max_tokens).toBe(4096)
      await gateway.chat(ask({ maxTokens: 12 }))
      expect(server.requests.at(-1).json.max_tokens).toBe(12)
    }
  })

  test('bounds streams and providers written in JavaScript alike', async () => {
    const budgets = [policy({ maxTotalTokens: 10_000 }, { enforcement: 'strict', maxOutputTokensPerCall: 50 })]
    const server = await upstream((exchange) => exchange.events().end(stream(openai)))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
    await readAll((await gateway.chatStream(ask())).stream)
    expect(server.requests[0].json.max_tokens).toBe(50)
    const seen = []
    const chat = async (options) => {
      seen.push(options.maxTokens)
      return { content: '', model: 'm', inputTokens: 1, outputTokens: 1, totalTokens: 2 }
    }
    await gatewayOf({ ...customEntry({ chat }), budgets }).gateway.chat(ask())
    expect(seen).toEqual([50])
  })

  test('on dollars holds too', async () => {
    const { server, open } = await held(({ max_tokens }) => counts(PROMPT, max_tokens))
    // gpt-4: seven tokens in and a hundred out are $0.00621.
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxCostUsd: 0.02 }, { enforcement: 'strict' })],
    })
    const { admitted, results } = await crowd({
      gateway,
      server,
      count: 20,
      request: { model: 'gpt-4', maxTokens: 100 },
    })
    expect(admitted).toBe(3)
    open()
    await results
  })
})

describe('the window "request"', () => {
  test.each([
    ['input tokens', { maxInputTokens: PROMPT }, {}],
    ['output tokens', { maxOutputTokens: 99 }, { maxTokens: 99 }],
    ['tokens', { maxTotalTokens: PROMPT + 10 }, { maxTokens: 10 }],
    ['dollars', { maxCostUsd: 0.0063 }, { model: 'gpt-4', maxTokens: 100 }],
  ])('refuses a call before anything is sent: %s', async (_, limits, request) => {
    const server = await upstream((exchange) => exchange.reply(openai.whole()))
    const budgets = [policy(limits, { window: 'request' })]
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
    await gateway.chat(ask(request))
    const tooMuch = ask({ ...request, maxTokens: (request.maxTokens ?? 1) + 50 }, 'tell me a story of some length')
    expect(await failure(gateway.chat(tooMuch))).toMatchObject(EXCEEDED)
    expect(await failure(gateway.chatStream(tooMuch))).toMatchObject(EXCEEDED)
    expect(server.requests).toHaveLength(1)
    expect(logs).toHaveLength(1)
    // Nothing adds up: each call stands for itself.
    for (let i = 0; i < 3; i++) await gateway.chat(ask(request))
  })
})

describe('warnings', () => {
  const warnings = () => printed.filter((line) => line.startsWith('[budget-warn] [cap] '))

  test('come once when the fraction is reached, and not again', async () => {
    const server = await upstream((exchange) => exchange.reply(openai.whole('Hello', counts(100, 100))))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 2000, warnAt: 0.5 })],
    })
    const after = []
    for (let i = 0; i < 9; i++) {
      await gateway.chat(ask({ maxTokens: 10 }))
      after.push(warnings().length)
    }
    expect(after).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1])
    expect(console.warn).toHaveBeenCalledTimes(1)
  })

  test('come once when many calls cross the line together', async () => {
    const { server, open } = await held(() => counts(100, 100))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 10_000, warnAt: 0.1 })],
    })
    const { results } = await crowd({ gateway, server, count: 20, request: { maxTokens: 10 } })
    open()
    await results
    expect(warnings()).toHaveLength(1)
  })

  test('come once for each value of the scope', async () => {
    const server = await upstream((exchange) => exchange.reply(openai.whole('Hello', counts(100, 100))))
    const budgets = [policy({ maxTotalTokens: 1000, warnAt: 0.3 }, { scope: { type: 'user' }, enforcement: 'soft' })]
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
    for (const userTier of ['free', 'pro', 'free', 'pro', 'free', 'pro'])
      await gateway.chat(ask({ userTier, maxTokens: 10 }))
    expect(warnings()).toHaveLength(2)
  })

  test('of a soft limit let the call through', async () => {
    const server = await upstream((exchange) => exchange.reply(openai.whole('Hello', counts(100, 100))))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 150 }, { enforcement: 'soft' })],
    })
    for (let i = 0; i < 3; i++) expect((await gateway.chat(ask())).content).toBe('Hello')
    expect(warnings().length).toBeGreaterThan(0)
  })

  test('come from streams as well', async () => {
    const server = await upstream((exchange) => exchange.events().end(stream(openai, ['Hello'], [60, 60])))
    const { gateway } = gatewayOf({
      providers: [openai.entry(server.url)],
      budgets: [policy({ maxTotalTokens: 1000, warnAt: 0.1 })],
    })
    await readAll((await gateway.chatStream(ask({ maxTokens: 10 }))).stream)
    expect(warnings()).toHaveLength(1)
  })
})

describe('a stream is billed exactly once', () => {
  const five = [3, 2]
  // An upper bound of 10 for each call, 5 really used: the fourth call finds 15 spent.
  const budgets = [policy({ maxTotalTokens: 20 }, { enforcement: 'strict' })]
  const request = { maxTokens: 3 }

  test.each([
    [
      'with getUsageSummary()',
      async ({ stream: reader, getUsageSummary }) => {
        await getUsageSummary()
        await readAll(reader)
        await getUsageSummary()
        await getUsageSummary()
      },
    ],
    ['without', async ({ stream: reader }) => void (await readAll(reader))],
  ])('%s', async (_, use) => {
    const server = await upstream((exchange) => exchange.events().end(stream(openai, ['Hello'], five)))
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
    for (let i = 0; i < 3; i++) await use(await gateway.chatStream(ask(request)))
    expect(await failure(gateway.chatStream(ask(request)))).toMatchObject(EXCEEDED)
    expect(logs.map(({ totalTokens }) => totalTokens)).toEqual([5, 5, 5])
  })

  test('and holds its reservation while it is open', async () => {
    const server = await upstream((exchange) => exchange.events().write(openai.start, openai.delta('Hello')))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
    const first = await gateway.chatStream(ask(request))
    const second = await gateway.chatStream(ask(request))
    expect(await failure(gateway.chatStream(ask(request)))).toMatchObject(EXCEEDED)
    await first.stream.return()
    await second.stream.return()
  })

  test('when its reader leaves: for what came up to then', async () => {
    const server = await upstream((exchange) => exchange.events().write(openai.start, openai.delta('Hello')))
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
    // Seven tokens in, one out: 8 for each of them, and twice 8 leave no room for another 10.
    for (let i = 0; i < 2; i++) {
      const { stream: reader } = await gateway.chatStream(ask(request))
      while ((await reader.next()).value.delta === '');
      await reader.return()
    }
    expect(logs.map(({ totalTokens }) => totalTokens)).toEqual([8, 8])
    expect(await failure(gateway.chatStream(ask(request)))).toMatchObject(EXCEEDED)
  })

  test('when it breaks off: for what came up to then', async () => {
    const server = await upstream((exchange) => exchange.events().end(openai.start, openai.delta('Hello')))
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
    for (let i = 0; i < 2; i++) {
      expect((await readAll((await gateway.chatStream(ask(request))).stream)).error).toBeInstanceOf(
        library.GatewayError,
      )
    }
    expect(logs.map(({ success, totalTokens }) => [success, totalTokens])).toEqual([
      [false, 8],
      [false, 8],
    ])
    expect(await failure(gateway.chatStream(ask(request)))).toMatchObject(EXCEEDED)
  })
})
