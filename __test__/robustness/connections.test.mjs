// Lost, refused and reset connections.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { formats, openai, stream } from './helpers/formats.mjs'
import { NETWORK, ask, failure, gatewayOf, library, readAll } from './helpers/gateway.mjs'
import { closedPort, tcp, upstream } from './helpers/upstream.mjs'

function expectNetwork(error, logs) {
  expect(error).toBeInstanceOf(library.GatewayError)
  expect(error).toMatchObject({ ...NETWORK, provider: 'p' })
  expect(logs).toHaveLength(1)
  expect(logs[0]).toMatchObject({ success: false, errorCode: 'PROVIDER_NETWORK', requestId: error.requestId })
}

const lost = (format) => [
  ['reset before anything is answered', (exchange) => exchange.reset()],
  ['closed before anything is answered', (exchange) => exchange.hangUp()],
  ['reset within the headers', (exchange) => exchange.raw('HTTP/1.1 200 OK\r\ncontent-ty').reset()],
  ['reset after the headers', (exchange) => exchange.head({ 'content-length': 500 }).reset()],
  [
    'reset in the middle of the body',
    (exchange) => exchange.head({ 'content-length': 500 }).write('{"model":').reset(),
  ],
  [
    'closed before the announced length is there',
    (exchange) => exchange.head({ 'content-length': 5000 }).write(JSON.stringify(format.whole())).hangUp(),
  ],
  ['closed before a chunked body ends', (exchange) => exchange.head().write(JSON.stringify(format.whole())).hangUp()],
]

describe.each(formats)('$family', (format) => {
  test.each(lost(format))('a connection %s', async (_, answer) => {
    const server = await upstream(answer)
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    expectNetwork(await failure(gateway.chat(ask())), logs)
    expect(server.requests).toHaveLength(1)
  })

  test('a connection that is refused', async () => {
    const { gateway, logs } = gatewayOf({ providers: [format.entry(`http://127.0.0.1:${await closedPort()}`)] })
    expectNetwork(await failure(gateway.chat(ask())), logs)
    logs.length = 0
    expectNetwork(await failure(gateway.chatStream(ask())), logs)
  })

  test('a stream lost before its first content rejects', async () => {
    const server = await upstream((exchange) => exchange.events().write(format.start).reset())
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    expectNetwork(await failure(gateway.chatStream(ask())), logs)
    expect(server.requests).toHaveLength(1)
  })

  test('a stream lost half-way delivers what came, then throws', async () => {
    const server = await upstream((exchange) =>
      exchange.events().write(format.start, format.delta('Hel'), format.delta('lo')).reset(),
    )
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect(text).toBe('Hello')
    expectNetwork(error, logs)
    expect(server.requests).toHaveLength(1)
  })

  test('a stream whose end has come is whole, whatever becomes of the connection', async () => {
    const server = await upstream((exchange) => exchange.events().write(stream(format)).reset())
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect([text, error]).toEqual(['Hello', undefined])
    expect(logs[0]).toMatchObject({ success: true })
  })
})

test('a server that closes each connection without reading it', async () => {
  const server = await tcp((socket) => socket.resetAndDestroy())
  const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
  expectNetwork(await failure(gateway.chat(ask())), logs)
  expect(server.connections).toHaveLength(1)
})

test('a server that speaks no HTTP is an error of the gateway’s own kinds', async () => {
  const server = await tcp((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'))
  const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
  expect((await failure(gateway.chat(ask()))).code).toMatch(/^PROVIDER_(NETWORK|RESPONSE)$/)
})

test('a lost connection is the trigger provider_error, and no other', async () => {
  const broken = await upstream((exchange) => exchange.reset())
  const good = await upstream((exchange) => exchange.reply(openai.whole()))
  const providers = [openai.entry(broken.url), openai.entry(good.url, { name: 'q' })]
  const chain = (when) => gatewayOf({ providers, steps: [{ provider: 'p' }, { provider: 'q', when }] }).gateway
  expect(await chain(['provider_error']).chat(ask())).toMatchObject({ provider: 'q', fallbackFrom: 'p' })
  expect(await failure(chain(['timeout', 'rate_limit']).chat(ask()))).toMatchObject(NETWORK)
})

test('a stream lost before its first content falls back', async () => {
  const broken = await upstream((exchange) => exchange.events().write(openai.start).reset())
  const good = await upstream((exchange) => exchange.events().end(stream(openai)))
  const { gateway, logs } = gatewayOf({
    providers: [openai.entry(broken.url), openai.entry(good.url, { name: 'q' })],
    steps: [{ provider: 'p' }, { provider: 'q', when: ['provider_error'] }],
  })
  expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Hello')
  expect(logs).toEqual([
    expect.objectContaining({ success: true, provider: 'q', fallbackTriggered: true, fallbackFrom: 'p' }),
  ])
})

test('lost connections are tried again as often as the entry allows', async () => {
  const server = await upstream((exchange, number) => (number < 3 ? exchange.reset() : exchange.reply(openai.whole())))
  const { gateway, logs } = gatewayOf({
    providers: [openai.entry(server.url, { retry: { maxAttempts: 3, backoffMs: 1 } })],
  })
  expect((await gateway.chat(ask())).content).toBe('Hello')
  expect(server.requests).toHaveLength(3)
  expect(logs).toHaveLength(1)
})

test('answers whose bytes come one by one are read whole', async () => {
  const answer = JSON.stringify(openai.whole('Grüße 👋'))
  const server = await upstream(async (exchange) => {
    const bytes = Buffer.from(exchange.json.stream ? stream(openai, ['Grüße', ' 👋']) : answer)
    exchange.events()
    for (const byte of bytes) {
      exchange.res.write(Buffer.from([byte]))
      await new Promise(setImmediate)
    }
    exchange.res.end()
  })
  const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
  expect((await gateway.chat(ask())).content).toBe('Grüße 👋')
  expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Grüße 👋')
})

describe('connections kept for the next call', () => {
  const replying = (exchange) => exchange.reply(openai.whole())

  test('are used again', async () => {
    const server = await upstream(replying)
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    for (let i = 0; i < 5; i++) await gateway.chat(ask())
    expect(server.connections).toHaveLength(1)
  })

  test('may have been closed by the server meanwhile', async () => {
    const server = await upstream(replying)
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    await gateway.chat(ask())
    server.connections[0].socket.end()
    await sleep(50)
    expect((await gateway.chat(ask())).content).toBe('Hello')
    expect(server.requests).toHaveLength(2)
  })

  test('may be reset at the moment of the next request', async () => {
    const server = await upstream((exchange, number) => {
      if (exchange.connection === server.connections[0] && number > 1) exchange.reset()
      else replying(exchange)
    })
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    await gateway.chat(ask())
    expect((await gateway.chat(ask())).content).toBe('Hello')
    expect(server.connections).toHaveLength(2)
  })

  test('may all be dead at once', async () => {
    let restarted = false
    const old = new Set()
    const server = await upstream(async (exchange, number) => {
      if (restarted && old.has(exchange.connection)) return exchange.reset()
      old.add(exchange.connection)
      if (number <= 3) await server.request(3)
      replying(exchange)
    })
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    await Promise.all([1, 2, 3].map(() => gateway.chat(ask())))
    expect(server.connections).toHaveLength(3)
    restarted = true
    expect((await gateway.chat(ask())).content).toBe('Hello')
  })

  test('are given back by streams that were read to their end', async () => {
    const server = await upstream((exchange) => exchange.events().end(stream(openai)))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    for (let i = 0; i < 3; i++) {
      await readAll((await gateway.chatStream(ask())).stream)
      await sleep(20)
    }
    expect(server.connections).toHaveLength(1)
  })
})
