import { describe, expect, test } from 'vitest'
import { Gateway, loadConfigFromObjects } from '../index.mjs'
import {
  ask,
  chain,
  collect,
  config,
  consoleLines,
  failureOf,
  gatewayOf,
  KEY,
  pool,
  provider,
  rule,
} from './helpers/config.mjs'
import { anthropic, openai, status, upstream } from './helpers/upstream.mjs'

const TOKEN = 'cf-token-0123456789'
process.env.AI_GATEWAY_TEST_CF_TOKEN = TOKEN

const through = (up, fields = {}) => ({ accountId: 'acc', gatewayId: 'gw', baseUrl: `${up.url}/v1`, ...fields })
const entry = (name, family, cloudflareGateway, fields = {}) => {
  const { baseUrl, ...rest } = provider(name, undefined, { provider: family, ...fields })
  return { ...rest, ...(cloudflareGateway && { cloudflareGateway }) }
}

describe('Cloudflare AI Gateway', () => {
  test.each([
    ['openai', openai.answer(), '/v1/acc/gw/openai/chat/completions'],
    ['anthropic', anthropic.answer(), '/v1/acc/gw/anthropic/v1/messages'],
    ['openrouter', openai.answer(), '/v1/acc/gw/openrouter/v1/chat/completions'],
    ['deepseek', openai.answer(), '/v1/acc/gw/deepseek/chat/completions'],
  ])('stands in for the address of %s', async (family, answer, path) => {
    const up = await upstream(answer)
    const { gateway } = gatewayOf({
      providers: [
        entry('main', family, through(up, { tokenEnvVar: 'AI_GATEWAY_TEST_CF_TOKEN', cacheTtl: 60, skipCache: true })),
      ],
    })
    expect((await gateway.chat(ask())).content).toBe('Hello!')
    expect(up.last().url).toBe(path)
    expect(up.last().headers).toMatchObject({
      'cf-aig-authorization': `Bearer ${TOKEN}`,
      'cf-aig-cache-ttl': '60',
      'cf-aig-skip-cache': 'true',
    })
    expect(up.last().headers[family === 'anthropic' ? 'x-api-key' : 'authorization']).toContain(KEY)
  })

  test('an explicit baseUrl wins', async () => {
    const [up, cloudflare] = [await upstream(openai.answer()), await upstream()]
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { cloudflareGateway: through(cloudflare) })] })
    await gateway.chat(ask())
    expect(cloudflare.requests).toHaveLength(0)
    expect(Object.keys(up.last().headers).filter((name) => name.startsWith('cf-'))).toEqual([])
  })

  test('at the top of the providers file it means every OpenAI and Anthropic entry that says nothing of its own', () => {
    const gateway = { accountId: 'acc', gatewayId: 'gw' }
    const own = { accountId: 'other', gatewayId: 'gw' }
    const providers = [
      entry('a', 'openai'),
      entry('b', 'anthropic'),
      entry('c', 'openai', own),
      entry('d', 'groq'),
      { ...entry('e', 'openai'), cloudflareGateway: null },
    ]
    const loaded = loadConfigFromObjects({
      providers: { cloudflareGateway: gateway, providers },
      routes: { rules: [] },
      budgets: [],
    })
    expect(loaded.providers.map(({ cloudflareGateway }) => cloudflareGateway)).toEqual([
      gateway,
      gateway,
      own,
      undefined,
      null,
    ])
    expect(Object.keys(loaded)).toEqual(['providers', 'routes', 'fallbackChains', 'budgets'])
  })

  test('what is wrong with it is named', async () => {
    const bad = {
      cloudflareGateway: { gatewayId: 7, cacheTtl: -1 },
      providers: [entry('a', 'openai', { accountId: 'x' })],
    }
    const error = await failureOf(() => loadConfigFromObjects({ providers: bad, routes: { rules: [] }, budgets: [] }))
    for (const line of [
      'providers[0].cloudflareGateway.gatewayId: required string',
      'cloudflareGateway.accountId: required string',
      'cloudflareGateway.gatewayId: required string',
      'cloudflareGateway.cacheTtl: must be a number of 0 or more',
    ]) {
      expect(error.message).toContain(`\n  - ${line}`)
    }
  })

  test('a missing token and a family without an address leave the entry out, and say why', () => {
    const warnings = consoleLines('warn')
    const gateway = { accountId: 'acc', gatewayId: 'gw' }
    const providers = [
      entry('a', 'openai', { ...gateway, tokenEnvVar: 'AI_GATEWAY_TEST_UNSET' }),
      entry('b', 'ollama', gateway, { auth: { type: 'none' } }),
    ]
    expect(new Gateway({ config: config({ providers, rules: [] }) }).listProviders()).toEqual([])
    expect(warnings.lines[0]).toContain('environment variable AI_GATEWAY_TEST_UNSET is not set')
    expect(warnings.lines[1]).toContain('it has no address for family "ollama"')
  })
})

describe('a chain with execution "cloudflare"', () => {
  const gatewayWith = (up, token = {}) => {
    const cloudflare = through(up, token)
    return gatewayOf({
      providers: [
        entry('first', 'openai', cloudflare),
        entry('second', 'anthropic', cloudflare, { models: ['claude-3-haiku-20240307'] }),
      ],
      rules: [rule({ provider: 'first', fallbackChain: 'both' })],
      chains: [{ ...chain('both', 'first', ['second', { timeoutMs: 5_000 }]), execution: 'cloudflare' }],
    })
  }

  test('comes after the pool of its rule, step by step', async () => {
    const up = await upstream(openai.answer())
    const failing = await upstream(status(500))
    const { gateway } = gatewayOf({
      providers: [entry('first', 'openai', through(up)), provider('member', failing.url)],
      rules: [pool(['member'], { fallbackChain: 'one' })],
      chains: [{ ...chain('one', 'first'), execution: 'cloudflare' }],
    })
    expect(await gateway.chat(ask())).toMatchObject({ content: 'Hello!', provider: 'first', fallbackFrom: 'member' })
    expect([failing.requests.length, up.last().url]).toEqual([1, '/v1/acc/gw/openai/chat/completions'])
  })

  test('is one call, with each step as its vendor wants it', async () => {
    const up = await upstream({ ...openai.answer(), headers: { 'cf-aig-step': '0' } })
    const { gateway, logs } = gatewayWith(up, { tokenEnvVar: 'AI_GATEWAY_TEST_CF_TOKEN' })
    const answer = await gateway.chat(ask({ maxTokens: 9 }))
    expect(up.requests).toHaveLength(1)
    expect(up.last().url).toBe('/v1/acc/gw')
    expect(up.last().headers['cf-aig-authorization']).toBe(`Bearer ${TOKEN}`)
    const messages = [{ role: 'user', content: 'Hi' }]
    expect(up.last().body).toEqual([
      {
        provider: 'openai',
        endpoint: 'chat/completions',
        headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
        query: { model: 'gpt-4o-mini', messages, max_tokens: 9 },
      },
      {
        provider: 'anthropic',
        endpoint: 'v1/messages',
        headers: { 'x-api-key': KEY, 'content-type': 'application/json', 'anthropic-version': '2023-06-01' },
        query: { model: 'claude-3-haiku-20240307', messages, max_tokens: 9 },
      },
    ])
    expect(answer).toMatchObject({ content: 'Hello!', provider: 'first', fallbackTriggered: false, inputTokens: 12 })
    expect(logs).toHaveLength(1)
  })

  test('the step that answered is told, and read in its own format', async () => {
    const up = await upstream({ ...anthropic.answer('Bonjour'), headers: { 'cf-aig-step': '1' } })
    const { gateway, logs } = gatewayWith(up)
    const answer = await gateway.chat(ask())
    expect(answer).toMatchObject({
      content: 'Bonjour',
      provider: 'second',
      fallbackTriggered: true,
      fallbackFrom: 'first',
    })
    expect(answer.estimatedCostUsd).toBeCloseTo((12 * 0.25 + 5 * 1.25) / 1e6, 12)
    expect(logs[0]).toMatchObject({ provider: 'second', fallbackTriggered: true, fallbackFrom: 'first' })
  })

  test('streams, too', async () => {
    const answered = anthropic.stream(['Bon', 'jour'], {})
    const up = await upstream({ ...answered, headers: { ...answered.headers, 'cf-aig-step': '1' } })
    const { gateway, logs } = gatewayWith(up)
    const { stream } = await gateway.chatStream(ask())
    const chunks = await collect(stream)
    expect(chunks.map(({ delta }) => delta).join('')).toBe('Bonjour')
    expect(chunks[0].provider).toBe('second')
    expect(up.last().body.map(({ query }) => query.stream)).toEqual([true, true])
    expect(logs[0]).toMatchObject({ provider: 'second', fallbackFrom: 'first', inputTokens: 12, outputTokens: 5 })
  })

  test('a failure is that of the last step, and shows no secret', async () => {
    const up = await upstream(status(500, `upstream said ${KEY} and ${TOKEN}`))
    const { gateway, logs } = gatewayWith(up, { tokenEnvVar: 'AI_GATEWAY_TEST_CF_TOKEN' })
    const error = await failureOf(gateway.chat(ask()))
    expect(error).toMatchObject({ kind: 'provider_response', provider: 'second' })
    expect(error.message).not.toContain(KEY)
    expect(error.message).not.toContain(TOKEN)
    expect(logs[0]).toMatchObject({ success: false, errorCode: 'PROVIDER_RESPONSE' })
  })

  test('goes step by step where one of them is reached another way', async () => {
    const [up, other] = [await upstream(status(500)), await upstream(openai.answer('direct'))]
    const { gateway } = gatewayOf({
      providers: [entry('first', 'openai', through(up)), provider('second', other.url)],
      rules: [rule({ provider: 'first', fallbackChain: 'both' })],
      chains: [{ ...chain('both', 'first', 'second'), execution: 'cloudflare' }],
    })
    expect((await gateway.chat(ask())).content).toBe('direct')
    expect(up.last().url).toBe('/v1/acc/gw/openai/chat/completions')
  })

  test('another word is a fault of the configuration', async () => {
    const chains = [{ ...chain('both', 'a'), execution: 'elsewhere' }]
    expect((await failureOf(() => config({ chains }))).message).toContain(
      'fallbackChains[0].execution: must be one of: gateway, cloudflare',
    )
  })
})
