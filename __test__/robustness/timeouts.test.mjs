// Timeouts cover the whole answer; of a stream, the wait for each next byte.
import { Worker } from 'node:worker_threads'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { formats, openai, stream } from './helpers/formats.mjs'
import { TIMEOUT, ask, customEntry, failure, gatewayOf, library, readAll } from './helpers/gateway.mjs'
import { tcp, upstream } from './helpers/upstream.mjs'

const SHORT = { timeoutMs: 200 }

function expectTimeout(error, logs, provider = 'p') {
  expect(error).toBeInstanceOf(library.GatewayError)
  expect(error).toMatchObject({ ...TIMEOUT, provider, message: `Provider "${provider}" timed out` })
  expect(logs).toHaveLength(1)
  expect(logs[0]).toMatchObject({ success: false, errorCode: 'PROVIDER_TIMEOUT', requestId: error.requestId })
}

describe.each(formats)('$family', (format) => {
  test('an answer whose headers never come times out, and its connection is closed', async () => {
    const server = await upstream(() => {})
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, SHORT)] })
    expectTimeout(await failure(gateway.chat(ask())), logs)
    await server.requests[0].closed
    expect(server.requests).toHaveLength(1)
  })

  test('an answer whose body stalls times out', async () => {
    const server = await upstream((exchange) => exchange.head().write(JSON.stringify(format.whole()).slice(0, 20)))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, SHORT)] })
    expectTimeout(await failure(gateway.chat(ask())), logs)
    await server.requests[0].closed
  })

  test('an answer that trickles in without ever being whole times out', async () => {
    const pieces = Array.from({ length: 100 }, () => ' ')
    const server = await upstream((exchange) => exchange.head().trickle(30, pieces))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, SHORT)] })
    const started = performance.now()
    expectTimeout(await failure(gateway.chat(ask())), logs)
    expect(performance.now() - started).toBeLessThan(1500)
  })

  test('a stream whose headers never come times out', async () => {
    const server = await upstream(() => {})
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, SHORT)] })
    expectTimeout(await failure(gateway.chatStream(ask())), logs)
    await server.requests[0].closed
  })

  test('a stream that stalls before its first content times out', async () => {
    const server = await upstream((exchange) => exchange.events().write(format.start))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, SHORT)] })
    expectTimeout(await failure(gateway.chatStream(ask())), logs)
    await server.requests[0].closed
  })

  test('a stream that stalls half-way delivers what came, then times out', async () => {
    const server = await upstream((exchange) => exchange.events().write(format.start, format.delta('Hel')))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, SHORT)] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect(text).toBe('Hel')
    expectTimeout(error, logs)
    await server.requests[0].closed
  })

  test('a stream may take longer than the timeout as long as bytes keep coming', async () => {
    const letters = [...'Hello, world']
    const server = await upstream(async (exchange) => {
      exchange.events().write(format.start)
      await exchange.trickle(60, letters.map(format.delta))
      exchange.end(format.finish, format.done)
    })
    const { gateway } = gatewayOf({ providers: [format.entry(server.url, { timeoutMs: 300 })] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect([text, error]).toEqual(['Hello, world', undefined])
  })
})

test('comments and halves of events keep a stream alive that has begun', async () => {
  const server = await upstream(async (exchange) => {
    exchange.events().write(openai.start + openai.delta('Hel'))
    await exchange.trickle(
      60,
      Array.from({ length: 8 }, () => ': still there\n\n'),
    )
    await exchange.trickle(60, openai.delta('lo').match(/.{1,16}/gs))
    exchange.end(openai.finish, openai.done)
  })
  const { gateway } = gatewayOf({ providers: [openai.entry(server.url, { timeoutMs: 300 })] })
  const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
  expect([text, error]).toEqual(['Hello', undefined])
})

test('the reader may pause for longer than the timeout', async () => {
  const deltas = Array.from({ length: 3000 }, (_, i) => `${i} `)
  const server = await upstream((exchange) => exchange.events().end(stream(openai, deltas)))
  const { gateway } = gatewayOf({ providers: [openai.entry(server.url, { timeoutMs: 150 })] })
  const { stream: reader } = await gateway.chatStream(ask())
  const { value: first } = await reader.next()
  await sleep(400)
  const { text, error } = await readAll(reader)
  expect(error).toBeUndefined()
  expect(first.delta + text).toBe(deltas.join(''))
})

test('connecting is timed: a server that never answers the TLS handshake', async () => {
  const server = await tcp()
  const { gateway, logs } = gatewayOf({ providers: [openai.entry(`https://127.0.0.1:${server.port}`, SHORT)] })
  expectTimeout(await failure(gateway.chat(ask())), logs)
  await server.connections[0].closed
})

// What a full queue does to a newcomer is the system's own affair; Linux lets it wait.
if (process.platform === 'linux') {
  test('connecting is timed: a server that never accepts', async () => {
    const port = await deafServer()
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(`http://127.0.0.1:${port}`, SHORT)] })
    expectTimeout(await failure(gateway.chat(ask())), logs)
  })
}

test('a fallback step’s timeout is shorter than its provider’s', async () => {
  const slow = await upstream(() => {})
  const fast = await upstream((exchange) => exchange.reply(openai.whole('second')))
  const { gateway } = gatewayOf({
    providers: [openai.entry(slow.url), openai.entry(fast.url, { name: 'q' })],
    steps: [
      { provider: 'p', timeoutMs: 150 },
      { provider: 'q', when: ['timeout'] },
    ],
  })
  const started = performance.now()
  const answer = await gateway.chat(ask())
  expect(answer).toMatchObject({ content: 'second', provider: 'q', fallbackTriggered: true, fallbackFrom: 'p' })
  expect(performance.now() - started).toBeLessThan(2500)
})

test('a fallback step’s timeout is longer than its provider’s, also for streams', async () => {
  const server = await upstream(async (exchange) => {
    await sleep(300)
    if (exchange.json.stream) exchange.events().end(stream(openai))
    else exchange.reply(openai.whole())
  })
  const { gateway } = gatewayOf({
    providers: [openai.entry(server.url, { timeoutMs: 100 })],
    steps: [{ provider: 'p', timeoutMs: 4000 }],
  })
  expect((await gateway.chat(ask())).content).toBe('Hello')
  expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Hello')
})

test('a stream that times out before its first content falls back', async () => {
  const slow = await upstream((exchange) => exchange.events().write(openai.start))
  const fast = await upstream((exchange) => exchange.events().end(stream(openai)))
  const { gateway } = gatewayOf({
    providers: [openai.entry(slow.url, SHORT), openai.entry(fast.url, { name: 'q' })],
    steps: [{ provider: 'p' }, { provider: 'q', when: ['timeout'] }],
  })
  const { chunks, text } = await readAll((await gateway.chatStream(ask())).stream)
  expect([text, chunks[0].provider]).toEqual(['Hello', 'q'])
})

test('each attempt of a retried call has the whole timeout', async () => {
  const server = await upstream(async (exchange, number) => {
    if (number === 1) return
    await sleep(120)
    exchange.reply(openai.whole())
  })
  const { gateway } = gatewayOf({
    providers: [openai.entry(server.url, { timeoutMs: 250, retry: { maxAttempts: 2, backoffMs: 1 } })],
  })
  expect((await gateway.chat(ask())).content).toBe('Hello')
  expect(server.requests).toHaveLength(2)
})

test('a provider on its own is timed as well', async () => {
  const server = await upstream(() => {})
  const provider = new library.OpenAIProvider(openai.entry(server.url, SHORT))
  const request = { model: 'm', messages: ask().messages }
  expect(await failure(provider.chat(request))).toMatchObject(TIMEOUT)
  expect(await failure(provider.chatStream(request))).toMatchObject(TIMEOUT)
})

describe('a provider written in JavaScript', () => {
  const slow = {
    async chat({ model }) {
      await sleep(300)
      return { content: 'slow', model, inputTokens: 1, outputTokens: 1, totalTokens: 2 }
    },
    async chatStream({ model }) {
      return {
        stream: slowly(),
        getUsage: async () => ({ content: '', model, inputTokens: 1, outputTokens: 1, totalTokens: 2 }),
      }
    },
  }
  async function* slowly() {
    for (const delta of ['a', 'b']) {
      yield { delta }
      await sleep(300)
    }
  }

  test('is not timed where its entry says nothing', async () => {
    const { gateway } = gatewayOf(customEntry(slow))
    expect((await gateway.chat(ask())).content).toBe('slow')
    expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('ab')
  })

  test('is timed where its entry sets timeoutMs', async () => {
    const { gateway, logs } = gatewayOf(customEntry(slow, { timeoutMs: 100 }))
    expectTimeout(await failure(gateway.chat(ask())), logs, 'js')
    await sleep(300)
    expect(logs).toHaveLength(1)
  })

  test('has its stream closed when that stalls for too long', async () => {
    let returned = 0
    const stalling = {
      [Symbol.asyncIterator]: () => ({
        pulled: 0,
        next() {
          return this.pulled++ === 0 ? Promise.resolve({ value: { delta: 'a' }, done: false }) : new Promise(() => {})
        },
        return() {
          returned++
          return Promise.resolve({ done: true })
        },
      }),
    }
    const { gateway, logs } = gatewayOf(
      customEntry({ chatStream: async () => ({ stream: stalling }) }, { timeoutMs: 100 }),
    )
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect(text).toBe('a')
    expectTimeout(error, logs, 'js')
    expect(returned).toBe(1)
  })
})

/** A server that has stopped accepting, its queue of newcomers full. */
async function deafServer() {
  const code = `
    const server = require('node:net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:worker_threads').parentPort.postMessage(server.address().port)
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
    })`
  const worker = new Worker(code, { eval: true })
  onTestFinished(() => worker.terminate())
  const [port] = await once(worker, 'message')
  await sleep(50)
  for (let i = 0; i < 8; i++) {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    onTestFinished(() => socket.destroy())
  }
  await sleep(100)
  return port
}
