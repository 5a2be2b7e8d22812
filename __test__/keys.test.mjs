import { inspect } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import { ask, chain, collect, consoleLines, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { openai, status, upstream } from './helpers/upstream.mjs'

const NAMES = ['AI_GATEWAY_TEST_KEY_A', 'AI_GATEWAY_TEST_KEY_B', 'AI_GATEWAY_TEST_KEY_C']
const secretOf = (name) => `sk-live-${name.at(-1)}4f9Qx7/Zt-0123456789`
for (const name of NAMES) process.env[name] = secretOf(name)

const several = (names = NAMES, fields = {}) => ({ auth: { type: 'apiKey', envVars: names, ...fields } })

/** An upstream that answers each key as `answers` says: `{A: answer}`; the others get `otherwise`. */
async function keyed(answers, otherwise = openai.answer()) {
  const used = []
  const up = await upstream((req, res) => {
    const key = (req.headers.authorization ?? req.headers['x-api-key'] ?? '').match(/sk-live-(.)/)?.[1]
    used.push(key)
    const { status = 200, headers = {}, body } = answers[key] ?? otherwise
    const isText = typeof body === 'string'
    res.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json', ...headers })
    res.end(isText ? body : JSON.stringify(body))
  })
  return { ...up, used, answers, take: () => used.splice(0).join('') }
}

const refused = (name, code = 401) =>
  status(code, { error: { message: `Incorrect API key provided: ${secretOf(name)}` } })
const limited = (headers) => status(429, { error: { message: 'Rate limit reached' } }, headers)

const shows = (value) =>
  [
    inspect(value, { depth: 10, showHidden: true }),
    JSON.stringify(value),
    String(value?.message),
    String(value?.stack),
  ].join('\n')

function expectNoKey(...values) {
  for (const text of values.map(shows)) {
    for (const secret of NAMES.map(secretOf)) {
      for (let at = 0; at + 10 <= secret.length; at++) expect(text).not.toContain(secret.slice(at, at + 10))
    }
  }
}

let printed
beforeEach(() => {
  printed = ['log', 'info', 'warn', 'error'].map(consoleLines)
  return () => {
    expectNoKey(printed.map(({ lines }) => lines))
  }
})

const times = async (count, one) => {
  for (let i = 0; i < count; i++) await one()
}

test('keys take turns', async () => {
  const up = await keyed({})
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, several())] })
  await times(6, () => gateway.chat(ask()))
  expect(up.take()).toBe('ABCABC')
})

test('calls at once are spread evenly', async () => {
  const up = await keyed({})
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, several())] })
  await Promise.all(Array.from({ length: 30 }, () => gateway.chat(ask())))
  expect([...up.take()].sort().join('')).toBe('A'.repeat(10) + 'B'.repeat(10) + 'C'.repeat(10))
})

test.each([401, 403])('a key that is answered %i is left alone, and the call goes on', async (code) => {
  const up = await keyed({ A: refused(NAMES[0], code) })
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url, several())] })
  expect(await gateway.chat(ask())).toMatchObject({ content: 'Hello!', fallbackTriggered: false })
  expect(up.take()).toBe('AB')
  await times(4, () => gateway.chat(ask({ model: 'another' })))
  expect(up.take()).toBe('CBCB')
  expect(logs).toHaveLength(5)
  expect(logs.every(({ success }) => success)).toBe(true)
  expectNoKey(logs, gateway)
})

test('a key that is answered 429 rests for that model alone, as long as it is told', async () => {
  const up = await keyed({ A: limited({ 'retry-after-ms': '1500' }) })
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, several(NAMES.slice(0, 2)))] })
  await gateway.chat(ask({ model: 'm' }))
  await gateway.chat(ask({ model: 'm' }))
  expect(up.take()).toBe('ABB')
  delete up.answers.A
  await times(2, () => gateway.chat(ask({ model: 'other' })))
  expect([...up.take()].sort().join('')).toBe('AB')
  await new Promise((resolve) => setTimeout(resolve, 1520))
  await times(2, () => gateway.chat(ask({ model: 'm' })))
  expect([...up.take()].sort().join('')).toBe('AB')
})

describe('all keys refused', () => {
  test('is a failure of authentication; the next call sends nothing', async () => {
    const up = await keyed(Object.fromEntries(NAMES.map((name) => [name.at(-1), refused(name)])))
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url, several())] })
    for (const sent of ['ABC', '']) {
      const error = await failureOf(gateway.chat(ask()))
      expect(error).toMatchObject({ kind: 'provider_auth', code: 'PROVIDER_AUTH', provider: 'main', retryable: false })
      expect(up.take()).toBe(sent)
      expectNoKey(error)
    }
    expect(logs).toMatchObject([{ errorCode: 'PROVIDER_AUTH' }, { errorCode: 'PROVIDER_AUTH' }])
    expectNoKey(logs)
  })

  test('leads a chain on', async () => {
    const up = await keyed(Object.fromEntries(NAMES.map((name) => [name.at(-1), refused(name)])))
    const second = await upstream(openai.answer('second'))
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url, several()), provider('second', second.url)],
      chains: [chain('safe', 'main', ['second', { when: ['provider_error'] }])],
    })
    expect(await gateway.chat(ask())).toMatchObject({ content: 'second', fallbackFrom: 'main' })
  })
})

describe('all keys limited', () => {
  const all = { A: limited({ 'retry-after': '30' }), B: limited({ 'retry-after': '20' }), C: limited({}) }

  test('is a rate limit; the next call sends nothing', async () => {
    const up = await keyed(all)
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, several())] })
    for (const sent of ['ABC', '']) {
      const error = await failureOf(gateway.chat(ask()))
      expect(error).toMatchObject({ kind: 'provider_rate_limit', httpStatus: 429, retryable: true })
      expect(up.take()).toBe(sent)
    }
  })

  test.each(['chat', 'chatStream'])('leads a chain on with the trigger rate_limit: %s', async (method) => {
    const up = await keyed(all)
    const second = await upstream(method === 'chat' ? openai.answer('second') : openai.stream(['second']))
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url, several()), provider('second', second.url)],
      chains: [chain('safe', 'main', ['second', { when: ['rate_limit'] }])],
    })
    const answer = await gateway[method](ask())
    const text = method === 'chat' ? answer.content : (await collect(answer.stream)).map(({ delta }) => delta).join('')
    expect(text).toBe('second')
    expect(up.take()).toBe('ABC')
  })

  test('is waited for as one attempt of several', async () => {
    const wait = limited({ 'retry-after-ms': '100' })
    const up = await upstream(wait, wait, wait, openai.answer('later'))
    const retry = { maxAttempts: 2, backoffMs: 60_000 }
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { ...several(), retry })] })
    expect((await gateway.chat(ask())).content).toBe('later')
    expect(up.requests).toHaveLength(4)
  })
})

test('streams go on with the next key before their first word', async () => {
  const up = await keyed({ A: refused(NAMES[0]), B: limited({}) }, openai.stream(['Hel', 'lo']))
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url, several())] })
  const response = await gateway.chatStream(ask())
  expect((await collect(response.stream)).map(({ delta }) => delta).join('')).toBe('Hello')
  expect(up.take()).toBe('ABC')
  await collect((await gateway.chatStream(ask())).stream)
  expect(up.take()).toBe('C')
  expectNoKey(response, response.stream, gateway, logs)
})

test('a stream whose keys are all refused fails as a chat does', async () => {
  const up = await keyed(Object.fromEntries(NAMES.map((name) => [name.at(-1), refused(name)])))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, several())] })
  const error = await failureOf(gateway.chatStream(ask()))
  expect(error).toMatchObject({ kind: 'provider_auth' })
  expectNoKey(error)
})

test('embeddings go on with the next key', async () => {
  const data = [{ object: 'embedding', index: 0, embedding: [1, 2] }]
  const up = await keyed({ A: limited({}) }, { body: { object: 'list', data, model: 'e', usage: openai.usage(1, 0) } })
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, several())] })
  expect((await gateway.embed({ input: 'text', model: 'e' })).vectors).toEqual([[1, 2]])
  expect(up.take()).toBe('AB')
})

test('any of the keys that an upstream repeats is redacted', async () => {
  const echo = NAMES.map(secretOf).join(' and ')
  const up = await keyed({}, status(400, { error: { message: echo } }))
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url, several())] })
  const error = await failureOf(gateway.chat(ask()))
  expect(error.message).toContain('[redacted] and [redacted] and [redacted]')
  expectNoKey(error, logs, gateway)
})

test.each([
  ['anthropic', {}, 'x-api-key', (key) => key],
  ['openai', { type: 'customHeader', headerName: 'x-own' }, 'x-own', (key) => key],
  ['openai', { type: 'bearer' }, 'authorization', (key) => `Bearer ${key}`],
])('keys are sent as the family wants them: %s %o', async (family, auth, header, written) => {
  const up = await upstream(status(401))
  const { gateway } = gatewayOf({
    providers: [provider('main', up.url, { provider: family, ...several(NAMES, auth) })],
  })
  await failureOf(gateway.chat(ask()))
  expect(up.requests.map(({ headers }) => headers[header])).toEqual(NAMES.map((name) => written(secretOf(name))))
  expect(new Set(up.requests.map(({ headers }) => Object.keys(headers).sort().join())).size).toBe(1)
})

test('variables that are not set are passed over; an entry with none is skipped', async () => {
  const up = await keyed({})
  const unset = 'AI_GATEWAY_TEST_UNSET'
  const { gateway } = gatewayOf({
    providers: [
      provider('main', up.url, several([unset, NAMES[1], NAMES[2]])),
      provider('none', up.url, several([unset, `${unset}_2`])),
    ],
  })
  expect(gateway.listProviders()).toEqual(['main'])
  expect(console.warn.mock.calls.map(String)).toEqual([
    `[gateway] Skipping provider "none": Provider "none": environment variable ${unset} is not set`,
  ])
  await times(3, () => gateway.chat(ask()))
  expect(up.take()).toBe('BCB')
})

test.each([
  ['envVar', { type: 'apiKey', envVar: NAMES[0] }],
  ['envVars', { type: 'apiKey', envVars: [NAMES[0]] }],
  ['envVars, one of which is set', { type: 'apiKey', envVars: ['AI_GATEWAY_TEST_UNSET', NAMES[0]] }],
])('one key is used whatever it is answered: %s', async (_, auth) => {
  const up = await keyed({ A: refused(NAMES[0]) })
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { auth })] })
  expect(await failureOf(gateway.chat(ask()))).toMatchObject({ kind: 'provider_auth' })
  up.answers.A = limited({ 'retry-after': '60' })
  expect(await failureOf(gateway.chat(ask()))).toMatchObject({ kind: 'provider_rate_limit' })
  up.answers.A = openai.answer()
  expect((await gateway.chat(ask())).content).toBe('Hello!')
  expect(up.take()).toBe('AAA')
})

test('a chain that is one call of Cloudflare’s carries the key whose turn it is', async () => {
  const up = await upstream({ ...openai.answer(), headers: { 'cf-aig-step': '0' } })
  const { baseUrl: _, ...entry } = provider('main', undefined, several())
  const cloudflareGateway = { accountId: 'acc', gatewayId: 'gw', baseUrl: `${up.url}/v1` }
  const { gateway } = gatewayOf({
    providers: [{ ...entry, cloudflareGateway }],
    rules: [{ name: 'all', priority: 0, match: {}, target: { provider: 'main', fallbackChain: 'one' } }],
    chains: [{ ...chain('one', 'main'), execution: 'cloudflare' }],
  })
  await times(4, () => gateway.chat(ask()))
  const sent = up.requests.map(({ body }) => body[0].headers.authorization)
  expect(sent).toEqual([...NAMES, NAMES[0]].map((name) => `Bearer ${secretOf(name)}`))
})

test('what a call costs is logged once, however many keys it took', async () => {
  const up = await keyed({ A: refused(NAMES[0]), B: limited({}) })
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url, several())] })
  await gateway.chat(ask())
  expect(logs).toMatchObject([{ success: true, inputTokens: 12, outputTokens: 5 }])
})
