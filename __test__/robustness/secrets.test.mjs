// Keys and the values of an entry's own headers show nowhere.
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { formats, openai } from './helpers/formats.mjs'
import { ask, failure, gatewayOf, library, listenToConsole, readAll } from './helpers/gateway.mjs'
import { closedPort, upstream } from './helpers/upstream.mjs'

const KEY = 'sk-live-4f9Qx7/Zt+secret-0123456789'
const HEADER = 'tenant-token-98765-abcdef'

let printed
beforeEach(() => {
  printed = listenToConsole()
  process.env.TEST_KEY = KEY
})
afterEach(() => {
  vi.restoreAllMocks()
  delete process.env.TEST_KEY
})

const keyed = { auth: { type: 'apiKey', envVar: 'TEST_KEY' }, headers: { 'x-tenant': HEADER } }

/** Every way in which a value shows itself. */
const shows = (value) =>
  [
    inspect(value, { depth: 10, showHidden: true }),
    JSON.stringify(value),
    String(value?.message),
    String(value?.stack),
  ].join('\n')

/** Fails where `text` holds a secret, or so much of one that it helps. */
function expectNoSecret(text, secrets = [KEY, HEADER]) {
  for (const secret of secrets) {
    for (let at = 0; at + 10 <= secret.length; at++) expect(text).not.toContain(secret.slice(at, at + 10))
  }
}

describe.each(formats)('$family', (format) => {
  const echo = `Incorrect API key provided: ${KEY}; tenant ${HEADER}.`
  const echoes = [
    ['an error’s body', (exchange) => exchange.reply({ error: { message: echo } }, { status: 400 })],
    ['an error’s body of plain text', (exchange) => exchange.reply(echo, { status: 500 })],
    ['an error’s body where the quotation ends', (exchange) => exchange.reply('x'.repeat(280) + echo, { status: 500 })],
    [
      'an error’s body whose JSON escapes slashes',
      (exchange) => exchange.reply(JSON.stringify({ error: echo }).replaceAll('/', '\\/'), { status: 400 }),
    ],
    ['a 401', (exchange) => exchange.reply({ error: { message: echo } }, { status: 401 })],
    ['a 429', (exchange) => exchange.reply({ error: { message: echo } }, { status: 429 })],
    ['an error in a 200', (exchange) => exchange.reply({ error: { message: echo } })],
    ['an error object in a 200', (exchange) => exchange.reply({ error: { code: echo } })],
    ['a page in a 200', (exchange) => exchange.reply(`<p>${echo}</p>`)],
    ['a page in a 200, where the quotation ends', (exchange) => exchange.reply(`<!-- ${'x'.repeat(70)} --> ${echo}`)],
    ['a page in a 200, further on', (exchange) => exchange.reply(`<!-- ${'x'.repeat(130)} --> ${echo}`)],
    ['an event of a stream', (exchange) => exchange.events().end(format.start, format.error(echo))],
    [
      'an event of a stream, later',
      (exchange) => exchange.events().end(format.start, format.delta('a'), format.error(echo)),
    ],
    [
      'an error event that is no JSON',
      (exchange) => exchange.events().end(format.start, `event: error\ndata: ${echo}\n\n`),
    ],
    ['headers', (exchange) => exchange.reply('no', { status: 500, headers: { 'x-echo': echo, 'retry-after': echo } })],
    ['a redirect', (exchange) => exchange.reply('', { status: 302, headers: { location: `/?key=${KEY}` } })],
  ]

  test.each(echoes)('an upstream that repeats them in %s', async (_, answer) => {
    const server = await upstream(answer)
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, keyed)] })
    const errors = [
      await failure(gateway.chat(ask())),
      await gateway.chatStream(ask()).then(
        async ({ stream }) => (await readAll(stream)).error,
        (error) => error,
      ),
    ]
    expect(server.requests[0].headers['x-tenant']).toBe(HEADER)
    for (const error of errors) {
      expect(error).toBeInstanceOf(library.GatewayError)
      expectNoSecret(shows(error))
    }
    expect(logs).toHaveLength(2)
    expectNoSecret(shows(logs))
    expectNoSecret(printed.join('\n'))
  })

  test.each([
    ['after "Bearer"', { authorization: `Bearer ${HEADER}` }],
    ['between blanks', { 'x-tenant': `  ${HEADER}  ` }],
  ])('an upstream that repeats the value of a header written %s', async (_, headers) => {
    const server = await upstream((exchange) => exchange.reply(`unknown token ${HEADER}`, { status: 400 }))
    const { gateway } = gatewayOf({ providers: [format.entry(server.url, { headers })] })
    const error = await failure(gateway.chat(ask()))
    expect(error.message).toContain('unknown token')
    expectNoSecret(shows(error))
  })

  test('a usage log on the console', async () => {
    const server = await upstream((exchange) => exchange.reply(`no ${KEY}`, { status: 500 }))
    const entry = format.entry(server.url, keyed)
    const routes = [{ name: 'all', priority: 0, match: {}, target: { provider: 'p' } }]
    const gateway = new library.Gateway({ config: { providers: [entry], routes, fallbackChains: [], budgets: [] } })
    await failure(gateway.chat(ask()))
    expect(printed.some((line) => line.startsWith('[usage] '))).toBe(true)
    expectNoSecret(printed.join('\n'))
  })
})

describe('objects that are looked into', () => {
  test('a gateway', async () => {
    const server = await upstream((exchange) => exchange.reply(openai.whole()))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url, keyed)] })
    await gateway.chat(ask())
    expectNoSecret(shows(gateway))
  })

  test.each(['OpenAIProvider', 'AnthropicProvider', 'OpenRouterProvider'])('a provider: %s', (name) => {
    const provider = new library[name](openai.entry('http://127.0.0.1:9', keyed))
    expectNoSecret(shows(provider))
  })

  test('a registry and a router', () => {
    const registry = new library.ProviderRegistry()
    registry.load([openai.entry('http://127.0.0.1:9', keyed)])
    const rules = [{ name: 'all', priority: 0, match: {}, target: { provider: 'p' } }]
    const router = new library.Router(rules, [], registry)
    for (const value of [registry, router, router.resolve(ask()), registry.get('p')]) expectNoSecret(shows(value))
  })

  test('an open stream', async () => {
    const server = await upstream((exchange) => exchange.events().write(openai.start, openai.delta('a')))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url, keyed)] })
    const response = await gateway.chatStream(ask())
    expectNoSecret(shows(response))
    expectNoSecret(shows(response.stream))
    await response.stream.return()
  })
})

describe('addresses that hold a key', () => {
  const inPath = (port) => `http://user:${KEY.replaceAll('/', '%2F')}@127.0.0.1:${port}/${HEADER}`
  const secrets = [KEY.replaceAll('/', '%2F'), KEY, HEADER]

  test.each([
    ['refused', async () => ({ port: await closedPort() })],
    ['reset', () => upstream((exchange) => exchange.reset())],
    ['stalled', () => upstream(() => {})],
    ['cut', () => upstream((exchange) => exchange.head({ 'content-length': 99 }).write('{').hangUp())],
  ])('a connection that is %s', async (_, serve) => {
    const { port } = await serve()
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(inPath(port), { timeoutMs: 200 })] })
    const error = await failure(gateway.chat(ask()))
    expectNoSecret(shows(error) + shows(logs) + shows(gateway), secrets)
  })

  test.each(['not an address', 'ftp://user'])('that cannot be used: %s', (start) => {
    const { gateway } = gatewayOf({ providers: [openai.entry('', { baseUrl: `${start}:${HEADER}@127.0.0.1` })] })
    expect(gateway.listProviders()).toEqual([])
    expect(printed.join('\n')).toContain('[gateway] Skipping provider "p"')
    expectNoSecret(printed.join('\n') + shows(gateway), secrets)
  })
})

test('a key that no header may hold is not printed', () => {
  process.env.TEST_KEY = `${KEY}\u0007${KEY}`
  const { gateway } = gatewayOf({ providers: [openai.entry('http://127.0.0.1:9', keyed)] })
  expect(gateway.listProviders()).toEqual([])
  expect(printed.join('\n')).toContain('[gateway] Skipping provider "p"')
  expectNoSecret(printed.join('\n'))
})

test('a header that no request may hold is not printed', () => {
  gatewayOf({ providers: [openai.entry('http://127.0.0.1:9', { headers: { 'x-tenant': `${HEADER}\n${HEADER}` } })] })
  expect(printed.join('\n')).toContain('[gateway] Skipping provider "p"')
  expectNoSecret(printed.join('\n'))
})

test('a configuration that cannot be read does not repeat its values', () => {
  const config = {
    providers: [openai.entry('http://127.0.0.1:9', { headers: HEADER, timeoutMs: HEADER, auth: { type: HEADER } })],
    routes: [],
    fallbackChains: [],
    budgets: [],
  }
  let error
  try {
    new library.Gateway({ config })
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
  expectNoSecret(shows(error))
})
