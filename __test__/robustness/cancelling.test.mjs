// Calls that are cancelled with an AbortSignal.
import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { formats, openai, stream } from './helpers/formats.mjs'
import { ask, customEntry, eventually, failure, gatewayOf, library, readAll } from './helpers/gateway.mjs'
import { upstream } from './helpers/upstream.mjs'

/** Fails when the upstream's connection outlives the signal by more than a busy machine explains. */
async function expectClosed(exchange, abortedAt, what) {
  const ms = (await exchange.closed) - abortedAt
  console.info(`${what}: upstream closed ${ms.toFixed(1)} ms after the signal`)
  expect(ms).toBeLessThan(250)
}

const waiting = {
  'before the headers': () => {},
  'in the middle of the body': (exchange) => exchange.head().write('{"model"'),
}

describe.each(formats)('$family', (format) => {
  test.each(Object.entries(waiting))('chat is cancelled %s', async (when, answer) => {
    const server = await upstream(answer)
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const controller = new AbortController()
    const call = failure(gateway.chat(ask({ signal: controller.signal })))
    const exchange = await server.request()
    await sleep(30)
    const abortedAt = performance.now()
    controller.abort()
    const error = await call
    expect(error).toBe(controller.signal.reason)
    expect(error).toBeInstanceOf(DOMException)
    expect(error.name).toBe('AbortError')
    await expectClosed(exchange, abortedAt, `${format.family} chat ${when}`)
    expect(logs).toEqual([expect.objectContaining({ success: false, errorCode: 'ABORTED', provider: 'p' })])
  })

  test('chatStream is cancelled before its first content', async () => {
    const server = await upstream((exchange) => exchange.events().write(format.start))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const controller = new AbortController()
    const call = failure(gateway.chatStream(ask({ signal: controller.signal })))
    const exchange = await server.request()
    await sleep(30)
    const abortedAt = performance.now()
    controller.abort()
    expect(await call).toBe(controller.signal.reason)
    await expectClosed(exchange, abortedAt, `${format.family} chatStream`)
    expect(logs).toEqual([expect.objectContaining({ success: false, errorCode: 'ABORTED' })])
  })

  test('a stream is cancelled half-way', async () => {
    const server = await upstream((exchange) => exchange.events().write(format.start, format.delta('Hel')))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const controller = new AbortController()
    const { stream: reader, requestId, getUsageSummary } = await gateway.chatStream(ask({ signal: controller.signal }))
    expect((await readUntilText(reader)).delta).toBe('Hel')
    const next = failure(reader.next())
    const abortedAt = performance.now()
    controller.abort()
    expect(await next).toBe(controller.signal.reason)
    await expectClosed(server.requests[0], abortedAt, `${format.family} stream half-way`)
    expect(logs).toEqual([expect.objectContaining({ success: false, errorCode: 'ABORTED', requestId })])
    expect(logs[0].outputTokens).toBeGreaterThan(0)
    expect((await getUsageSummary()).content).toBe('Hel')
    expect(logs).toHaveLength(1)
    expect(await reader.next()).toEqual({ value: undefined, done: true })
  })
})

async function readUntilText(reader) {
  for (;;) {
    const { value } = await reader.next()
    if (value.delta !== '') return value
  }
}

test.each([
  ['an error', new RangeError('enough')],
  ['text', 'enough'],
  ['null', null],
  ['zero', 0],
])('the signal’s own reason is what calls reject with: %s', async (_, reason) => {
  const server = await upstream((exchange) => {
    if (exchange.json.stream) exchange.events().write(openai.start, openai.delta('a'))
  })
  const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
  const controller = new AbortController()
  const { signal } = controller
  const call = failure(gateway.chat(ask({ signal })))
  const { stream: reader } = await gateway.chatStream(ask({ signal }))
  const read = readAll(reader)
  await server.request(2)
  controller.abort(reason)
  expect(await call).toBe(reason)
  expect((await read).error).toBe(reason)
  expect(logs.map(({ errorCode }) => errorCode)).toEqual(['ABORTED', 'ABORTED'])
})

test('AbortSignal.timeout rejects with its TimeoutError', async () => {
  const server = await upstream(() => {})
  const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
  const error = await failure(gateway.chat(ask({ signal: AbortSignal.timeout(60) })))
  expect(error.name).toBe('TimeoutError')
  expect(logs[0].errorCode).toBe('ABORTED')
})

test('an aborted signal sends nothing', async () => {
  const server = await upstream((exchange) => exchange.reply(openai.whole()))
  const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
  const reason = new Error('too late')
  const signal = AbortSignal.abort(reason)
  expect(await failure(gateway.chat(ask({ signal })))).toBe(reason)
  expect(await failure(gateway.chatStream(ask({ signal })))).toBe(reason)
  expect((await failure(gateway.chat(ask({ signal: AbortSignal.abort() })))).name).toBe('AbortError')
  await sleep(50)
  expect(server.connections).toHaveLength(0)
  expect(logs.map(({ errorCode }) => errorCode)).toEqual(['ABORTED', 'ABORTED', 'ABORTED'])
})

test('cancelling ends retries and fallbacks', async () => {
  const server = await upstream((exchange) => exchange.reply('busy', { status: 503 }))
  const other = await upstream((exchange) => exchange.reply(openai.whole()))
  const { gateway, logs } = gatewayOf({
    providers: [
      openai.entry(server.url, { retry: { maxAttempts: 5, backoffMs: 60_000 } }),
      openai.entry(other.url, { name: 'q' }),
    ],
    steps: [{ provider: 'p' }, { provider: 'q' }],
  })
  const controller = new AbortController()
  const call = failure(gateway.chat(ask({ signal: controller.signal })))
  await server.request()
  await sleep(50)
  controller.abort()
  expect(await call).toBe(controller.signal.reason)
  await sleep(50)
  expect([server.requests.length, other.requests.length]).toEqual([1, 0])
  expect(logs).toHaveLength(1)
})

test('a provider on its own is cancelled likewise', async () => {
  const server = await upstream(() => {})
  const provider = new library.OpenAIProvider(openai.entry(server.url))
  const controller = new AbortController()
  const call = failure(provider.chat({ model: 'm', messages: ask().messages, signal: controller.signal }))
  const exchange = await server.request()
  const abortedAt = performance.now()
  controller.abort()
  expect(await call).toBe(controller.signal.reason)
  await expectClosed(exchange, abortedAt, 'provider on its own')
})

test('a router on its own is cancelled likewise', async () => {
  const server = await upstream(() => {})
  const registry = new library.ProviderRegistry()
  registry.load([openai.entry(server.url)])
  const router = new library.Router([{ name: 'all', priority: 0, match: {}, target: { provider: 'p' } }], [], registry)
  const controller = new AbortController()
  const request = ask({ signal: controller.signal })
  const call = failure(router.execute(request, router.resolve(request)))
  const exchange = await server.request()
  const abortedAt = performance.now()
  controller.abort()
  expect(await call).toBe(controller.signal.reason)
  await expectClosed(exchange, abortedAt, 'router on its own')
})

describe('the caller’s signal', () => {
  test('runs the caller’s own handlers too', async () => {
    const server = await upstream(() => {})
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    const controller = new AbortController()
    const heard = []
    const onabort = () => heard.push('onabort')
    controller.signal.onabort = onabort
    controller.signal.addEventListener('abort', () => heard.push('listener'))
    const call = failure(gateway.chat(ask({ signal: controller.signal })))
    await server.request()
    expect(controller.signal.onabort).toBe(onabort)
    controller.abort()
    await call
    expect(heard.sort()).toEqual(['listener', 'onabort'])
    expect(controller.signal.onabort).toBe(onabort)
  })

  test('keeps no listeners of calls that have ended', async () => {
    const server = await upstream((exchange, number) => {
      if (number % 5 === 0) return exchange.reply('no', { status: 500 })
      if (exchange.json.stream) return exchange.events().end(stream(openai))
      exchange.reply(openai.whole())
    })
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    const warnings = []
    const onWarning = (warning) => warnings.push(warning.name)
    process.on('warning', onWarning)
    onTestFinished(() => process.off('warning', onWarning))
    const { signal } = new AbortController()
    for (let i = 0; i < 50; i++) {
      if (i % 2) await gateway.chat(ask({ signal })).catch(() => {})
      else
        await gateway.chatStream(ask({ signal })).then(
          ({ stream: reader }) => readAll(reader),
          () => {},
        )
    }
    await failure(gateway.chat({ messages: [], signal }))
    await sleep(10)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    expect(warnings).toEqual([])
  })

  test('may be shared by many calls at once', async () => {
    const server = await upstream(() => {})
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
    const controller = new AbortController()
    const calls = Array.from({ length: 50 }, () => failure(gateway.chat(ask({ signal: controller.signal }))))
    await server.request(50)
    controller.abort()
    for (const error of await Promise.all(calls)) expect(error).toBe(controller.signal.reason)
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
    expect(logs).toHaveLength(50)
    await Promise.all(server.requests.map(({ closed }) => closed))
  })

  test('keeps no listener of a stream that was left', async () => {
    const server = await upstream((exchange) => exchange.events().write(openai.start, openai.delta('a')))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    const { signal } = new AbortController()
    const { stream: reader } = await gateway.chatStream(ask({ signal }))
    for await (const _ of reader) break
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  test('may fire after the call has ended', async () => {
    const server = await upstream((exchange) => exchange.reply(openai.whole()))
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
    const controller = new AbortController()
    await gateway.chat(ask({ signal: controller.signal }))
    controller.abort()
    await sleep(20)
    expect(logs).toEqual([expect.objectContaining({ success: true })])
  })
})

test('a cancelled call gives its part of the budget back, but for its prompt', async () => {
  const server = await upstream((exchange) => {
    const [{ content }] = exchange.json.messages
    if (content === 'answer') exchange.reply(openai.whole('Hello', openai.zeroUsage))
    else if (exchange.json.stream) exchange.events().write(openai.start)
  })
  const budgets = [
    { name: 'all', scope: { type: 'global' }, window: 'hour', limits: { maxTotalTokens: 140 }, enforcement: 'strict' },
  ]
  const { gateway } = gatewayOf({ providers: [openai.entry(server.url)], budgets })
  for (const method of ['chat', 'chatStream']) {
    const controller = new AbortController()
    const call = failure(gateway[method](ask({ maxTokens: 80, signal: controller.signal })))
    await eventually(() => server.requests.length > 0)
    expect(await failure(gateway.chat(ask({ maxTokens: 80 }, 'answer')))).toMatchObject({ code: 'BUDGET_EXCEEDED' })
    controller.abort()
    await call
    expect((await gateway.chat(ask({ maxTokens: 80 }, 'answer'))).content).toBe('Hello')
    server.requests.length = 0
  }
})

describe('a provider written in JavaScript', () => {
  test('has its pending chat abandoned', async () => {
    let settle
    const { gateway, logs } = gatewayOf(customEntry({ chat: () => new Promise((resolve) => (settle = resolve)) }))
    const controller = new AbortController()
    const call = failure(gateway.chat(ask({ signal: controller.signal })))
    await eventually(() => settle)
    controller.abort()
    expect(await call).toBe(controller.signal.reason)
    settle({ content: 'late', model: 'm', inputTokens: 1, outputTokens: 1, totalTokens: 2 })
    await sleep(20)
    expect(logs).toEqual([expect.objectContaining({ errorCode: 'ABORTED', provider: 'js' })])
  })

  test('has its iterator’s return() called, beside a pending next()', async () => {
    const iterator = iteratorOf(['a'])
    const { gateway } = gatewayOf(customEntry({ chatStream: async () => ({ stream: iterator }) }))
    const controller = new AbortController()
    const { stream: reader } = await gateway.chatStream(ask({ signal: controller.signal }))
    const read = readAll(reader)
    await eventually(() => iterator.pulled === 2)
    controller.abort()
    expect(await read).toMatchObject({ text: 'a', error: controller.signal.reason })
    await eventually(() => iterator.return.mock.calls.length > 0)
    expect(iterator.return).toHaveBeenCalledTimes(1)
  })

  test('has its iterator’s return() called when the reader leaves', async () => {
    const iterator = iteratorOf(['a'])
    const { gateway, logs } = gatewayOf(customEntry({ chatStream: async () => ({ stream: iterator }) }))
    const { stream: reader } = await gateway.chatStream(ask())
    for await (const _ of reader) break
    await eventually(() => iterator.return.mock.calls.length > 0)
    expect(logs).toEqual([expect.objectContaining({ success: true })])
  })

  test('that opens its stream only after the call was cancelled has it closed', async () => {
    const iterator = iteratorOf(['a', 'b'])
    let open
    const chatStream = () => new Promise((resolve) => (open = () => resolve({ stream: iterator })))
    const { gateway } = gatewayOf(customEntry({ chatStream }))
    const controller = new AbortController()
    const call = failure(gateway.chatStream(ask({ signal: controller.signal })))
    await eventually(() => open)
    controller.abort()
    await call
    open()
    await eventually(() => iterator.return.mock.calls.length > 0, 500)
    expect(iterator.pulled).toBeLessThanOrEqual(1)
  })

  function iteratorOf(deltas) {
    return {
      pulled: 0,
      [Symbol.asyncIterator]() {
        return this
      },
      next() {
        const delta = deltas[this.pulled++]
        return delta === undefined ? new Promise(() => {}) : Promise.resolve({ value: { delta }, done: false })
      },
      return: vi.fn(async () => ({ value: undefined, done: true })),
    }
  }
})
