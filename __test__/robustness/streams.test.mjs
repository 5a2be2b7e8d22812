// When streams open, how they end, and what is written of them.
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { formats, openai, stream } from './helpers/formats.mjs'
import {
  RESPONSE,
  ask,
  customEntry,
  eventually,
  failure,
  gatewayOf,
  library,
  readAll,
  settledWithin,
} from './helpers/gateway.mjs'
import { upstream } from './helpers/upstream.mjs'

const run = promisify(execFile)

/** A stream that goes on until its reader leaves. */
const endless = (format) => async (exchange) => {
  exchange.events().write(format.start)
  for (let i = 0; exchange.connection.closedAt === undefined; i++) await exchange.trickle(5, [format.delta(`${i} `)])
}

describe.each(formats)('$family', (format) => {
  describe('chatStream()', () => {
    test('resolves at the first content, not before', async () => {
      let go
      const server = await upstream(async (exchange) => {
        exchange.events().write(format.start)
        await new Promise((resolve) => (go = resolve))
        exchange.write(format.delta('Hello'))
        await exchange.closed
      })
      const { gateway } = gatewayOf({ providers: [format.entry(server.url)] })
      const opening = gateway.chatStream(ask())
      await server.request()
      expect(await settledWithin(100, opening)).toBe(false)
      go()
      const { stream: reader } = await opening
      let text = ''
      for await (const { delta } of reader) if ((text += delta)) break
      expect(text).toBe('Hello')
    })

    test('rejects when the upstream reports an error before any content', async () => {
      const server = await upstream((exchange) => exchange.events().end(format.start, format.error('overloaded')))
      const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
      const error = await failure(gateway.chatStream(ask()))
      expect(error).toBeInstanceOf(library.GatewayError)
      expect(error).toMatchObject(RESPONSE)
      expect(error.message).toContain('overloaded')
      expect(logs).toEqual([
        expect.objectContaining({ success: false, errorCode: 'PROVIDER_RESPONSE', requestId: error.requestId }),
      ])
    })

    test.each([
      ['an error event', (exchange) => exchange.events().end(format.start, format.error('overloaded'))],
      ['a stream that is cut short', (exchange) => exchange.events().end(format.start)],
      ['an empty stream', (exchange) => exchange.events().end()],
      ['an error status', (exchange) => exchange.reply('no', { status: 500 })],
    ])('falls back from %s before any content', async (_, answer) => {
      const bad = await upstream(answer)
      const good = await upstream((exchange) => exchange.events().end(stream(format)))
      const { gateway, logs } = gatewayOf({
        providers: [format.entry(bad.url), format.entry(good.url, { name: 'q' })],
        steps: [{ provider: 'p' }, { provider: 'q', when: ['provider_error'] }],
      })
      const { stream: reader, getUsageSummary } = await gateway.chatStream(ask())
      const { chunks, text } = await readAll(reader)
      expect([text, chunks[0].provider]).toEqual(['Hello', 'q'])
      expect(await getUsageSummary()).toMatchObject({ provider: 'q', fallbackTriggered: true, fallbackFrom: 'p' })
      expect(logs).toEqual([expect.objectContaining({ success: true, provider: 'q', fallbackFrom: 'p' })])
    })
  })

  test.each([
    ['is cut short', (exchange) => exchange.events().end(format.start, format.delta('Hel'), format.delta('lo'))],
    [
      'carries an error event',
      (exchange) => exchange.events().end(format.start, format.delta('Hello'), format.error('overloaded')),
    ],
    [
      'carries an error event and stays open',
      (exchange) => exchange.events().write(format.start, format.delta('Hello'), format.error('overloaded')),
    ],
  ])('a stream that %s delivers what came before, then throws', async (_, answer) => {
    const server = await upstream(answer)
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const { stream: reader, requestId } = await gateway.chatStream(ask())
    const { text, error } = await readAll(reader)
    expect(text).toBe('Hello')
    expect(error).toBeInstanceOf(library.GatewayError)
    expect(error).toMatchObject({ ...RESPONSE, provider: 'p', requestId })
    expect(logs).toEqual([expect.objectContaining({ success: false, errorCode: 'PROVIDER_RESPONSE', requestId })])
    // A connection whose answer has ended may be kept for the next call.
    if (!server.requests[0].res.writableEnded) await server.requests[0].closed
  })

  test('a finish reason without the last marker is a whole answer', async () => {
    const server = await upstream((exchange) =>
      exchange.events().end(format.start, format.delta('Hello'), format.finish),
    )
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect([text, error]).toEqual(['Hello', undefined])
    expect(logs[0].success).toBe(true)
  })

  test('the last marker without a finish reason is a whole answer', async () => {
    const server = await upstream((exchange) => exchange.events().end(format.start, format.delta('Hello'), format.done))
    const { gateway } = gatewayOf({ providers: [format.entry(server.url)] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect([text, error]).toEqual(['Hello', undefined])
  })

  test('a reader that breaks off closes the upstream at once; that is a success, logged once', async () => {
    const server = await upstream(endless(format))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const { stream: reader, requestId, getUsageSummary } = await gateway.chatStream(ask())
    let text = ''
    let leftAt
    for await (const { delta } of reader) {
      text += delta
      leftAt = performance.now()
      if (text) break
    }
    const ms = (await server.requests[0].closed) - leftAt
    console.info(`${format.family} break: upstream closed after ${ms.toFixed(1)} ms`)
    expect(ms).toBeLessThan(250)
    expect(logs).toEqual([expect.objectContaining({ success: true, requestId, usageSource: 'estimated' })])
    expect(logs[0].outputTokens).toBeGreaterThan(0)
    expect(logs[0].inputTokens).toBeGreaterThan(0)
    expect(logs[0].errorCode).toBeUndefined()
    await getUsageSummary()
    await sleep(30)
    expect(logs).toHaveLength(1)
  })

  test('return() beside a pending next() closes the upstream at once and ends both', async () => {
    const server = await upstream((exchange) => exchange.events().write(format.start, format.delta('Hello')))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const { stream: reader } = await gateway.chatStream(ask())
    while ((await reader.next()).value.delta === '');
    const pending = reader.next()
    const leftAt = performance.now()
    const returned = reader.return()
    expect(await pending).toMatchObject({ done: true })
    expect(await returned).toMatchObject({ done: true })
    expect((await server.requests[0].closed) - leftAt).toBeLessThan(250)
    expect(logs).toEqual([expect.objectContaining({ success: true })])
    expect(await reader.next()).toEqual({ value: undefined, done: true })
  })
})

describe('getUsageSummary()', () => {
  test('answers with the figures so far before the end, and writes no entry', async () => {
    let go
    const server = await upstream(async (exchange) => {
      exchange.events().write(openai.start, openai.delta('Hel'))
      await new Promise((resolve) => (go = resolve))
      exchange.end(openai.delta('lo'), openai.finish, openai.usage(30, 20), openai.done)
    })
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
    const { stream: reader, requestId, getUsageSummary } = await gateway.chatStream(ask())
    while ((await reader.next()).value.delta === '');
    const early = await getUsageSummary()
    expect(early).toMatchObject({
      requestId,
      provider: 'p',
      model: 'up-model',
      content: 'Hel',
      fallbackTriggered: false,
    })
    for (const field of ['inputTokens', 'outputTokens', 'totalTokens', 'estimatedCostUsd', 'latencyMs']) {
      expect(early[field], field).toBeTypeOf('number')
    }
    // The upstream has not told its counts yet: the text so far is counted.
    expect(early.inputTokens).toBeGreaterThan(0)
    expect(early.outputTokens).toBeGreaterThan(0)
    expect(early).toMatchObject({ totalTokens: early.inputTokens + early.outputTokens, usageSource: 'estimated' })
    expect(logs).toHaveLength(0)
    go()
    await readAll(reader)
    expect(await getUsageSummary()).toMatchObject({
      requestId,
      content: 'Hello',
      inputTokens: 30,
      outputTokens: 20,
      totalTokens: 50,
    })
    await getUsageSummary()
    expect(logs).toEqual([
      expect.objectContaining({ requestId, inputTokens: 30, outputTokens: 20, totalTokens: 50, success: true }),
    ])
  })

  test('agrees with the log entry, cost and latency included', async () => {
    const server = await upstream((exchange) => exchange.events().end(stream(openai).replaceAll('up-model', 'gpt-4')))
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
    const { stream: reader, getUsageSummary } = await gateway.chatStream(ask({ model: 'gpt-4' }))
    await readAll(reader)
    const { inputTokens, outputTokens, totalTokens, estimatedCostUsd, latencyMs, requestId } = await getUsageSummary()
    expect(logs[0]).toMatchObject({ inputTokens, outputTokens, totalTokens, estimatedCostUsd, latencyMs, requestId })
    expect(estimatedCostUsd).toBeCloseTo(0.03 * 0.003 + 0.06 * 0.002, 10)
  })

  test('is not needed: a stream that was read is logged without it, before iteration ends', async () => {
    const server = await upstream((exchange) => exchange.events().end(stream(openai)))
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
    await readAll((await gateway.chatStream(ask())).stream)
    expect(logs).toEqual([expect.objectContaining({ success: true, totalTokens: 5 })])
  })
})

describe('a forgotten stream', () => {
  test('is closed and logged once it is collected', async () => {
    const server = await upstream((exchange) => exchange.events().write(openai.start, openai.delta('Hello')))
    const library = createRequire(import.meta.url).resolve('../../index.js')
    const program = `
      const { Gateway } = require(${JSON.stringify(library)})
      const logs = []
      const gateway = new Gateway({
        config: {
          providers: [${JSON.stringify(openai.entry(server.url, { timeoutMs: 60_000 }))}],
          routes: [{ name: 'all', priority: 0, match: {}, target: { provider: 'p' } }],
          fallbackChains: [],
          budgets: [],
        },
        onUsageLog: (entry) => void logs.push(entry),
      })
      const forget = async () => void (await gateway.chatStream({ messages: [{ role: 'user', content: 'hi' }] }))
      forget().then(async () => {
        for (let i = 0; i < 200 && logs.length === 0; i++) {
          gc()
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
        console.log(JSON.stringify(logs.map(({ success, errorCode }) => ({ success, errorCode }))))
        process.exit()
      })`
    const { stdout } = await run(process.execPath, ['--expose-gc', '-e', program])
    expect(JSON.parse(stdout)).toEqual([{ success: true }])
  })

  const idle = (url, more) => openai.entry(url, { streamIdleMs: 150, timeoutMs: 60_000, ...more })

  test('is closed when its buffer has been full for its idle limit', async () => {
    const server = await upstream((exchange) => {
      exchange.events().write(openai.start, ...Array.from({ length: 5000 }, (_, i) => openai.delta(`${i} `)))
    })
    const { gateway, logs } = gatewayOf({ providers: [idle(server.url)] })
    const kept = await gateway.chatStream(ask())
    await eventually(() => logs.length > 0)
    await server.requests[0].closed
    expect(logs).toHaveLength(1)
    expect(kept.requestId).toBe(logs[0].requestId)
  })

  test('is closed when it has been unread for its idle limit though more keeps coming', async () => {
    const server = await upstream(endless(openai))
    const { gateway, logs } = gatewayOf({ providers: [idle(server.url)] })
    const kept = await gateway.chatStream(ask())
    await kept.stream.next()
    await eventually(() => logs.length > 0, 1500)
    await server.requests[0].closed
    expect(logs).toHaveLength(1)
  })

  test('does not look whole to a reader that comes back', async () => {
    const server = await upstream((exchange) => {
      exchange.events().write(openai.start, ...Array.from({ length: 5000 }, (_, i) => openai.delta(`${i} `)))
    })
    const { gateway, logs } = gatewayOf({ providers: [idle(server.url)] })
    const { stream: reader } = await gateway.chatStream(ask())
    await eventually(() => logs.length > 0)
    expect((await readAll(reader)).error).toBeInstanceOf(library.GatewayError)
  })

  test('is not one whose reader takes its time', async () => {
    const deltas = Array.from({ length: 8 }, (_, i) => `${i} `)
    const server = await upstream((exchange) => exchange.events().end(stream(openai, deltas)))
    const { gateway, logs } = gatewayOf({ providers: [idle(server.url, { streamIdleMs: 300 })] })
    let text = ''
    for await (const { delta } of (await gateway.chatStream(ask())).stream) {
      text += delta
      await sleep(60)
    }
    expect(text).toBe(deltas.join(''))
    expect(logs[0]).toMatchObject({ success: true, totalTokens: 5 })
  })

  test('is not one whose reader waits for a slow upstream', async () => {
    const server = await upstream(async (exchange) => {
      exchange.events().write(openai.start, openai.delta('Hel'))
      await sleep(500)
      exchange.end(openai.delta('lo'), openai.finish, openai.done)
    })
    const { gateway } = gatewayOf({ providers: [idle(server.url)] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect([text, error]).toEqual(['Hello', undefined])
  })
})

describe('a provider written in JavaScript', () => {
  const usage = { content: 'ab', model: 'm', inputTokens: 7, outputTokens: 2, totalTokens: 9 }

  test('has its iterable pulled for its first item before chatStream() resolves', async () => {
    let pulled = 0
    async function* items() {
      pulled++
      yield { delta: 'a' }
      yield { delta: 'b' }
    }
    const { gateway, logs } = gatewayOf(
      customEntry({ chatStream: async () => ({ stream: items(), getUsage: async () => usage }) }),
    )
    const { stream: reader, getUsageSummary } = await gateway.chatStream(ask())
    expect(pulled).toBe(1)
    expect((await readAll(reader)).text).toBe('ab')
    expect(await getUsageSummary()).toMatchObject({ inputTokens: 7, outputTokens: 2, totalTokens: 9, content: 'ab' })
    expect(logs).toEqual([expect.objectContaining({ inputTokens: 7, outputTokens: 2, success: true, provider: 'js' })])
  })

  test('that throws before its first item falls back; afterwards its own error is thrown', async () => {
    const broken = new TypeError('boom')
    async function* failing(before) {
      for (const delta of before) yield { delta }
      throw broken
    }
    const good = await upstream((exchange) => exchange.events().end(stream(openai)))
    const { providers, custom } = customEntry({
      chatStream: async ({ messages }) => ({ stream: failing(messages[0].content === 'late' ? ['a'] : []) }),
    })
    const { gateway, logs } = gatewayOf({
      providers: [...providers, openai.entry(good.url)],
      custom,
      steps: [{ provider: 'js' }, { provider: 'p' }],
    })
    expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Hello')
    const { text, error } = await readAll((await gateway.chatStream(ask({}, 'late'))).stream)
    expect(text).toBe('a')
    expect(error).toBe(broken)
    expect(logs[1]).toMatchObject({ success: false, errorCode: 'UNKNOWN' })
  })

  test('may cut its text anywhere, pairs of surrogates included', async () => {
    async function* halves() {
      yield { delta: 'a\ud83d' }
      yield { delta: '\udc4bb' }
    }
    const { gateway } = gatewayOf(customEntry({ chatStream: async () => ({ stream: halves() }) }))
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect([text, error]).toEqual(['a👋b', undefined])
  })
})
