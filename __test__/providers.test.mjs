import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import { AnthropicProvider, GatewayError, OpenAIProvider, OpenRouterProvider } from '../index.mjs'
import { ask, collect, consoleLines, failureOf, gatewayOf, KEY, provider } from './helpers/config.mjs'
import { anthropic, openai, status, upstream } from './helpers/upstream.mjs'

const messages = [{ role: 'user', content: 'Hi' }]

/** Sets variables of the environment for the test. */
function env(variables) {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]))
  const set = (values) => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
  set(variables)
  onTestFinished(() => set(before))
}

/** The request that a gateway sends to an entry of `family` for `request`. */
async function sent(family, { entry = {}, request = ask(), stream = false } = {}) {
  const vendor = family === 'anthropic' ? anthropic : openai
  const up = await upstream(stream ? vendor.stream(['x']) : vendor.answer())
  const { gateway } = gatewayOf({
    providers: [provider('main', up.url, { provider: family, models: ['m'], ...entry })],
  })
  if (stream) await collect((await gateway.chatStream(request)).stream)
  else await gateway.chat(request)
  expect(up.requests.length).toBe(1)
  return up.last()
}

describe.each(['openai', 'openrouter'])('%s on the wire', (family) => {
  test('posts to chat/completions below the base URL', async () => {
    expect(await sent(family)).toMatchObject({ method: 'POST', url: '/chat/completions' })
  })

  test('keeps the path of the base URL', async () => {
    const up = await upstream(openai.answer())
    const { gateway } = gatewayOf({ providers: [provider('main', `${up.url}/api/v9`, { provider: family })] })
    await gateway.chat(ask())
    expect(up.last().url).toBe('/api/v9/chat/completions')
  })

  test('does not mind a slash at the end of the base URL', async () => {
    const up = await upstream(openai.answer())
    const { gateway } = gatewayOf({ providers: [provider('main', `${up.url}/v1/`, { provider: family })] })
    await gateway.chat(ask())
    expect(up.last().url).toBe('/v1/chat/completions')
  })

  test('sends JSON with the key as a bearer token', async () => {
    const { headers } = await sent(family)
    expect(headers['content-type']).toMatch(/^application\/json/)
    expect(headers.authorization).toBe(`Bearer ${KEY}`)
  })

  test('sends model and messages, and nothing that is not set', async () => {
    expect((await sent(family)).body).toEqual({ model: 'm', messages })
  })

  test('sends maxTokens and temperature where they are set', async () => {
    const request = ask({ maxTokens: 100, temperature: 0.7, taskType: 't', feature: 'f', userTier: 'u', stream: true })
    expect((await sent(family, { request })).body).toEqual({ model: 'm', messages, max_tokens: 100, temperature: 0.7 })
  })

  test('sends a temperature of 0', async () => {
    expect((await sent(family, { request: ask({ temperature: 0 }) })).body).toEqual({
      model: 'm',
      messages,
      temperature: 0,
    })
  })

  test('asks a stream for its usage', async () => {
    expect((await sent(family, { stream: true })).body).toEqual({
      model: 'm',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  test('leaves system messages where they are', async () => {
    const all = [
      { role: 'system', content: 'Be brief.' },
      ...messages,
      { role: 'assistant', content: 'Yes?' },
      ...messages,
    ]
    expect((await sent(family, { request: { messages: all } })).body.messages).toEqual(all)
  })

  test('passes on messages in OpenAI’s own form as they came in', async () => {
    const all = [
      {
        role: 'user',
        name: 'ada',
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image_url', image_url: { url: 'https://x.test/a.png' } },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{"a":1}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'a cat' },
    ]
    expect((await sent(family, { request: { messages: all } })).body.messages).toEqual(all)
  })

  test('sends the key of auth type bearer the same way', async () => {
    const { headers } = await sent(family, { entry: { auth: { type: 'bearer', envVar: 'AI_GATEWAY_TEST_KEY' } } })
    expect(headers.authorization).toBe(`Bearer ${KEY}`)
  })

  test('sends no key for auth type none', async () => {
    const { headers } = await sent(family, { entry: { auth: { type: 'none' } } })
    expect(headers).not.toHaveProperty('authorization')
    expect(headers).not.toHaveProperty('x-api-key')
  })

  test('adds the entry’s headers', async () => {
    const { headers } = await sent(family, {
      entry: { headers: { 'X-Team': 'search', 'HTTP-Referer': 'https://x.test' } },
    })
    expect(headers).toMatchObject({
      'x-team': 'search',
      'http-referer': 'https://x.test',
      authorization: `Bearer ${KEY}`,
    })
  })
})

test('auth type customHeader sends the key in that header alone', async () => {
  const auth = { type: 'customHeader', envVar: 'AI_GATEWAY_TEST_KEY', headerName: 'api-key' }
  const { headers } = await sent('openai', { entry: { auth } })
  expect(headers['api-key']).toBe(KEY)
  expect(headers).not.toHaveProperty('authorization')
})

describe('anthropic on the wire', () => {
  const claude = (options) => sent('anthropic', options)

  test('posts to /v1/messages', async () => {
    expect(await claude()).toMatchObject({ method: 'POST', url: '/v1/messages' })
  })

  test('sends JSON with the key in x-api-key and a version', async () => {
    const { headers } = await claude()
    expect(headers['content-type']).toMatch(/^application\/json/)
    expect(headers).toMatchObject({ 'x-api-key': KEY, 'anthropic-version': '2023-06-01' })
    expect(headers).not.toHaveProperty('authorization')
  })

  test('sends a max_tokens of 4096 where none is set, and nothing else', async () => {
    expect((await claude()).body).toEqual({ model: 'm', messages, max_tokens: 4096 })
  })

  test('sends maxTokens and temperature where they are set', async () => {
    const request = ask({ maxTokens: 10, temperature: 0 })
    expect((await claude({ request })).body).toEqual({ model: 'm', messages, max_tokens: 10, temperature: 0 })
  })

  test('moves the system message to system', async () => {
    const request = {
      messages: [{ role: 'system', content: 'Be brief.' }, ...messages, { role: 'assistant', content: 'Yes?' }],
    }
    expect((await claude({ request })).body).toEqual({
      model: 'm',
      system: 'Be brief.',
      messages: [...messages, { role: 'assistant', content: 'Yes?' }],
      max_tokens: 4096,
    })
  })

  test('sends every system message, in order', async () => {
    const system = (content) => ({ role: 'system', content })
    const { body } = await claude({ request: { messages: [system('First.'), ...messages, system('Second.')] } })
    expect(body.messages).toEqual(messages)
    expect(JSON.stringify(body.system)).toMatch(/First\..*Second\./)
  })

  test('asks for a stream', async () => {
    expect((await claude({ stream: true })).body).toEqual({ model: 'm', messages, max_tokens: 4096, stream: true })
  })

  test('sends no key for auth type none', async () => {
    const { headers } = await claude({ entry: { auth: { type: 'none' } } })
    expect(headers).not.toHaveProperty('x-api-key')
    expect(headers).not.toHaveProperty('authorization')
    expect(headers['anthropic-version']).toBe('2023-06-01')
  })

  test('adds the entry’s headers', async () => {
    const { headers } = await claude({ entry: { headers: { 'anthropic-beta': 'x-1' } } })
    expect(headers).toMatchObject({ 'anthropic-beta': 'x-1', 'x-api-key': KEY })
  })

  test('joins the text blocks of an answer', async () => {
    const { body } = anthropic.answer()
    const up = await upstream({
      body: {
        ...body,
        content: [
          { type: 'text', text: 'one ' },
          { type: 'text', text: 'two' },
        ],
      },
    })
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { provider: 'anthropic' })] })
    expect((await gateway.chat(ask())).content).toBe('one two')
  })
})

describe('the public addresses', () => {
  /** The host that a provider without a base URL wants to be connected to, as a proxy sees it. */
  async function wanted(Provider) {
    let wantedHost
    const proxy = net.createServer((socket) =>
      socket
        .on('error', () => {})
        .once('data', (head) => {
          wantedHost = String(head).split('\r\n')[0]
          socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
        }),
    )
    await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void proxy.close())
    const address = `http://127.0.0.1:${proxy.address().port}`
    env({ HTTPS_PROXY: address, https_proxy: address, NO_PROXY: undefined, no_proxy: undefined })
    await failureOf(new Provider({ ...provider('main'), baseUrl: undefined }).chat({ model: 'm', messages }))
    return wantedHost
  }

  test.each([
    ['api.openai.com', OpenAIProvider],
    ['api.anthropic.com', AnthropicProvider],
    ['openrouter.ai', OpenRouterProvider],
  ])('%s is reached by TLS', async (host, Provider) => {
    expect(await wanted(Provider)).toBe(`CONNECT ${host}:443 HTTP/1.1`)
  })
})

describe('an error of the upstream', () => {
  const failed = async (answer, family = 'openai') => {
    const up = await upstream(answer)
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { provider: family })] })
    return failureOf(gateway.chat(ask()))
  }
  const known = {
    auth: {
      code: 'PROVIDER_AUTH',
      kind: 'provider_auth',
      httpStatus: 401,
      retryable: false,
      message: 'Provider "main" authentication failed',
    },
    limit: {
      code: 'PROVIDER_RATE_LIMIT',
      kind: 'provider_rate_limit',
      httpStatus: 429,
      retryable: true,
      message: 'Provider "main" rate limited',
    },
    timeout: {
      code: 'PROVIDER_TIMEOUT',
      kind: 'provider_timeout',
      httpStatus: 504,
      retryable: true,
      message: 'Provider "main" timed out',
    },
  }

  describe.each(['openai', 'anthropic', 'openrouter'])('of %s', (family) => {
    test.each([
      [401, known.auth],
      [403, known.auth],
      [429, known.limit],
      [408, known.timeout],
      [504, known.timeout],
    ])('%i has its own kind', async (code, expected) => {
      const error = await failed(status(code), family)
      expect(error).toBeInstanceOf(GatewayError)
      expect(error).toMatchObject({ ...expected, provider: 'main' })
    })

    test.each([
      [400, false],
      [404, false],
      [422, false],
      [500, true],
      [502, true],
      [503, true],
      [529, true],
    ])('%i is a PROVIDER_RESPONSE, retryable: %s', async (code, retryable) => {
      const error = await failed(status(code, 'because'), family)
      expect(error).toBeInstanceOf(GatewayError)
      expect(error).toMatchObject({
        code: 'PROVIDER_RESPONSE',
        kind: 'provider_response',
        httpStatus: 502,
        retryable,
        provider: 'main',
        message: `Provider "main" returned ${code}: because`,
        details: { upstreamStatus: code },
      })
    })
  })

  test('quotes 300 characters of the body', async () => {
    const error = await failed(status(500, `${'é'.repeat(299)}xyz`))
    expect(error.message).toBe(`Provider "main" returned 500: ${'é'.repeat(299)}x`)
  })

  test('never quotes the key', async () => {
    const error = await failed(status(500, `bad key ${KEY}`))
    expect(error.message).not.toContain(KEY)
  })

  test('is the same for a stream', async () => {
    const up = await upstream(status(403))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
    expect(await failureOf(gateway.chatStream(ask()))).toMatchObject(known.auth)
  })
})

// ── The classes on their own ─────────────────────────────────────────────────────────────────────────────────────

const CLASSES = [
  ['openai', OpenAIProvider, openai],
  ['openrouter', OpenRouterProvider, openai],
  ['anthropic', AnthropicProvider, anthropic],
]

describe.each(CLASSES)('the class of %s', (family, Provider, vendor) => {
  test('has the entry’s name and its own family', () => {
    const made = new Provider(provider('mine', 'http://127.0.0.1:9'))
    expect([made.name, made.family]).toEqual(['mine', family])
  })

  test('chat gives content, model and counts', async () => {
    const up = await upstream(vendor.answer('Hello', { model: 'reported', usage: [7, 3] }))
    const answer = await new Provider(provider('mine', up.url)).chat({ model: 'asked', messages, maxTokens: 5 })
    expect(answer).toEqual({ content: 'Hello', model: 'reported', inputTokens: 7, outputTokens: 3, totalTokens: 10 })
    expect(up.last().body).toEqual({ model: 'asked', messages, max_tokens: 5 })
  })

  test('chatStream gives chunks, and getUsage the whole once they are read', async () => {
    const up = await upstream(vendor.stream(['Hel', 'lo'], { model: 'reported', usage: [7, 3] }))
    const { stream, getUsage } = await new Provider(provider('mine', up.url)).chatStream({ model: 'asked', messages })
    const chunks = await collect(stream)
    expect(chunks.map((chunk) => chunk.delta).filter(Boolean)).toEqual(['Hel', 'lo'])
    expect(chunks.map((chunk) => chunk.finishReason).filter(Boolean)).toHaveLength(1)
    expect(await getUsage()).toEqual({
      content: 'Hello',
      model: 'reported',
      inputTokens: 7,
      outputTokens: 3,
      totalTokens: 10,
    })
  })

  test('chunks are {delta, model, finishReason}', async () => {
    const up = await upstream(vendor.stream(['x'], { model: 'reported' }))
    const { stream } = await new Provider(provider('mine', up.url)).chatStream({ model: 'asked', messages })
    const chunk = (await collect(stream)).find(({ delta }) => delta === 'x')
    expect(chunk).toMatchObject({ delta: 'x', model: 'reported' })
    for (const key of Object.keys(chunk)) expect(['delta', 'model', 'finishReason']).toContain(key)
  })

  test('fails with GatewayErrors that name it', async () => {
    const up = await upstream(status(429))
    const made = new Provider(provider('mine', up.url))
    for (const call of [() => made.chat({ model: 'm', messages }), () => made.chatStream({ model: 'm', messages })]) {
      const error = await failureOf(call)
      expect(error).toBeInstanceOf(GatewayError)
      expect(error).toMatchObject({ code: 'PROVIDER_RATE_LIMIT', provider: 'mine' })
    }
  })

  test('needs its key when it is built', () => {
    const unset = provider('mine', undefined, { auth: { type: 'apiKey', envVar: 'AI_GATEWAY_TEST_UNSET' } })
    expect(() => new Provider(unset)).toThrow(
      expect.objectContaining({ message: 'Provider "mine": environment variable AI_GATEWAY_TEST_UNSET is not set' }),
    )
  })

  test.each(['apiKey', 'bearer'])('needs the name of a variable for auth type %s', (type) => {
    expect(() => new Provider(provider('mine', undefined, { auth: { type } }))).toThrow(
      expect.objectContaining({ message: `Provider "mine": auth.envVar is required for type "${type}"` }),
    )
  })

  test('needs no key for auth type none', () => {
    expect(() => new Provider(provider('mine', undefined, { auth: { type: 'none' } }))).not.toThrow()
  })
})

// ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const keyed = (name, url) => provider(name, url, { auth: { type: 'apiKey', envVar: 'AI_GATEWAY_TEST_MOVING' } })

test('a key is read when the provider is built, and not again', async () => {
  const up = await upstream(openai.answer())
  env({ AI_GATEWAY_TEST_MOVING: 'first' })
  const early = new OpenAIProvider(keyed('early', up.url))
  process.env.AI_GATEWAY_TEST_MOVING = 'second'
  const late = new OpenAIProvider(keyed('late', up.url))
  delete process.env.AI_GATEWAY_TEST_MOVING
  await early.chat({ model: 'm', messages })
  await late.chat({ model: 'm', messages })
  expect(up.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer first', 'Bearer second'])
})

test('two gateways over one entry have the keys of their times', async () => {
  const up = await upstream(openai.answer())
  env({ AI_GATEWAY_TEST_MOVING: 'first' })
  const early = gatewayOf({ providers: [keyed('main', up.url)] }).gateway
  process.env.AI_GATEWAY_TEST_MOVING = 'second'
  const late = gatewayOf({ providers: [keyed('main', up.url)] }).gateway
  await late.chat(ask())
  await early.chat(ask())
  expect(up.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer second', 'Bearer first'])
})

test('a worker’s own process.env is what counts there', async () => {
  const up = await upstream(openai.answer('to the worker'))
  env({ AI_GATEWAY_TEST_MOVING: 'of the main thread' })
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { OpenAIProvider } = require(workerData.index)
    process.env.AI_GATEWAY_TEST_MOVING += ', changed'
    const made = new OpenAIProvider(workerData.entry)
    made.chat({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] }).then(({ content }) => parentPort.postMessage(content))
  `
  const index = fileURLToPath(new URL('../index.js', import.meta.url))
  const workerData = { index, entry: keyed('main', up.url) }
  const worker = new Worker(code, { eval: true, workerData, env: { AI_GATEWAY_TEST_MOVING: 'of the worker' } })
  onTestFinished(() => worker.terminate())
  const content = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  expect(content).toBe('to the worker')
  expect(up.last().headers.authorization).toBe('Bearer of the worker, changed')
})

test('a missing variable name keeps an entry out of a gateway', () => {
  const warnings = consoleLines('warn')
  const entry = provider('main', undefined, { auth: { type: 'apiKey' } })
  const { gateway } = gatewayOf({ config: { providers: [entry], routes: [], fallbackChains: [], budgets: [] } })
  expect(gateway.listProviders()).toEqual([])
  expect(warnings.lines).toEqual([
    '[gateway] Skipping provider "main": Provider "main": auth.envVar is required for type "apiKey"',
  ])
})

test('a count that the upstream leaves out is estimated here, too', async () => {
  const body = { ...openai.answer('A short answer.').body, usage: { prompt_tokens: 12 } }
  const up = await upstream({ body })
  const own = new OpenAIProvider(provider('main', up.url))
  const answer = await own.chat({ model: 'gpt-4o-mini', messages })
  expect(answer).toMatchObject({ inputTokens: 12, usageSource: 'estimated' })
  expect(answer.outputTokens).toBeGreaterThan(2)
})
