import { expect, test } from 'vitest'
import { Gateway, GatewayError } from '../index.mjs'
import { ask, config, consoleLines, custom, failureOf, gatewayOf, provider, result, rule } from './helpers/config.mjs'
import { cut, never, openai, status, upstream } from './helpers/upstream.mjs'

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('an answer has every field', async () => {
  const up = await upstream(openai.answer('Hello there', { model: 'gpt-4o-mini', usage: [1000, 2000] }))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const answer = await gateway.chat(ask())
  expect(answer).toMatchObject({
    requestId: expect.stringMatching(UUID_V4),
    provider: 'main',
    model: 'gpt-4o-mini',
    content: 'Hello there',
    inputTokens: 1000,
    outputTokens: 2000,
    totalTokens: 3000,
    fallbackTriggered: false,
  })
  expect(answer.estimatedCostUsd).toBeCloseTo(0.00015 + 2 * 0.0006, 12)
  expect(Number.isInteger(answer.latencyMs)).toBe(true)
  expect(answer.latencyMs).toBeGreaterThanOrEqual(0)
})

test('fallbackFrom is there as undefined when no fallback was needed', async () => {
  const up = await upstream(openai.answer())
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const answer = await gateway.chat(ask())
  expect(Object.keys(answer)).toContain('fallbackFrom')
  expect(answer.fallbackFrom).toBeUndefined()
})

test('latencyMs covers the upstream’s time', async () => {
  const up = await upstream((req, res) => setTimeout(() => res.end(JSON.stringify(openai.answer().body)), 60))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  expect((await gateway.chat(ask())).latencyMs).toBeGreaterThanOrEqual(55)
})

test('each call has a request id of its own', async () => {
  const up = await upstream(openai.answer())
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const answers = await Promise.all(Array.from({ length: 20 }, () => gateway.chat(ask())))
  expect(new Set(answers.map((answer) => answer.requestId)).size).toBe(20)
})

test('model is the one that the upstream reports', async () => {
  const up = await upstream(openai.answer('x', { model: 'gpt-4o-mini-2024-07-18' }))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  expect((await gateway.chat(ask({ model: 'gpt-4o-mini' }))).model).toBe('gpt-4o-mini-2024-07-18')
})

test('a model without a known price costs nothing', async () => {
  const up = await upstream(openai.answer('x', { model: 'nobody-sells-this', usage: [1000, 1000] }))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { models: ['nobody-sells-this'] })] })
  expect((await gateway.chat(ask())).estimatedCostUsd).toBe(0)
})

test('concurrent calls get their own answers', async () => {
  const echo = (req, res, { body }) => {
    const reply = () => res.end(JSON.stringify(openai.answer(`re: ${body.messages[0].content}`).body))
    setTimeout(reply, (Number(body.messages[0].content) * 7) % 20)
  }
  const up = await upstream(echo)
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const numbers = Array.from({ length: 60 }, (_, i) => String(i))
  const answers = await Promise.all(numbers.map((content) => gateway.chat({ messages: [{ role: 'user', content }] })))
  expect(answers.map((answer) => answer.content)).toEqual(numbers.map((number) => `re: ${number}`))
})

test('text of any script arrives as it was written', async () => {
  const text = 'Grüße, 你好, 🦀 \u0000 "quoted" \\ \u2028 end'
  const up = await upstream(openai.answer(text))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const answer = await gateway.chat({ messages: [{ role: 'user', content: text }] })
  expect(up.last().body.messages).toEqual([{ role: 'user', content: text }])
  expect(answer.content).toBe(text)
})

test('null in a request counts as unset', async () => {
  const up = await upstream(openai.answer())
  const { gateway } = gatewayOf({
    providers: [provider('main', up.url)],
    rules: [rule({ provider: 'main', model: 'gpt-4o' })],
  })
  await gateway.chat(
    ask({
      model: null,
      taskType: null,
      feature: null,
      userTier: null,
      maxTokens: null,
      temperature: null,
      stream: null,
    }),
  )
  expect(up.last().body).toEqual({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }] })
})

test('stream: true changes nothing about chat', async () => {
  const up = await upstream(openai.answer('whole'))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  expect((await gateway.chat(ask({ stream: true }))).content).toBe('whole')
  expect(up.last().body).not.toHaveProperty('stream')
})

test('a request is left as it was', async () => {
  const up = await upstream(openai.answer())
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const request = Object.freeze(ask({ messages: Object.freeze([Object.freeze({ role: 'user', content: 'Hi' })]) }))
  await gateway.chat(request)
  expect(request).toEqual(ask())
})

test('two gateways do not touch', async () => {
  const [one, two] = [await upstream(openai.answer('one')), await upstream(openai.answer('two'))]
  const first = gatewayOf({ providers: [provider('main', one.url)] })
  const second = gatewayOf({ providers: [provider('main', two.url)] })
  const answers = await Promise.all([first.gateway.chat(ask()), second.gateway.chat(ask())])
  expect(answers.map((answer) => answer.content)).toEqual(['one', 'two'])
  expect([first.logs.length, second.logs.length]).toEqual([1, 1])
})

test('a failure rejects with a GatewayError that names provider and request', async () => {
  const up = await upstream(status(500, 'out of order'))
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
  const error = await failureOf(gateway.chat(ask()))
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({
    code: 'PROVIDER_RESPONSE',
    kind: 'provider_response',
    message: 'Provider "main" returned 500: out of order',
    provider: 'main',
    requestId: logs[0].requestId,
  })
})

test('an upstream that does not answer in time is a timeout', async () => {
  const up = await upstream(never)
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { timeoutMs: 60 })] })
  const error = await failureOf(gateway.chat(ask()))
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({
    code: 'PROVIDER_TIMEOUT',
    kind: 'provider_timeout',
    message: 'Provider "main" timed out',
    httpStatus: 504,
    retryable: true,
  })
})

test('a connection that is cut is a failure of the network', async () => {
  const up = await upstream(cut)
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const error = await failureOf(gateway.chat(ask()))
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({ code: 'PROVIDER_NETWORK', kind: 'provider_network', httpStatus: 502, retryable: true })
})

test('an answer without text has an empty content', async () => {
  const up = await upstream(openai.answer(null))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  expect((await gateway.chat(ask())).content).toBe('')
})

test('chat rejects, and never throws', async () => {
  const { gateway } = gatewayOf({ providers: [custom('main', 'mock')], rules: [] })
  const promise = gateway.chat(ask())
  expect(promise).toBeInstanceOf(Promise)
  await expect(promise).rejects.toMatchObject({ kind: 'route_not_found' })
})

// ── What a gateway loads ─────────────────────────────────────────────────────────────────────────────────────────

test('listProviders gives the loaded entries in the order of the configuration', () => {
  const entries = ['zeta', 'alpha', 'mid'].map((name) => provider(name, 'http://127.0.0.1:9'))
  expect(gatewayOf({ providers: entries }).gateway.listProviders()).toEqual(['zeta', 'alpha', 'mid'])
})

test('an entry that is not enabled is not loaded, nor is its factory called', () => {
  let calls = 0
  const factory = ({ name }) => ({ name, family: 'custom', chat: async () => result(name), calls: calls++ })
  const { gateway } = gatewayOf({
    providers: [
      custom('on'),
      custom('off', 'custom', { enabled: false }),
      custom('also-on', 'custom', { enabled: true }),
    ],
    customProviders: { custom: factory },
  })
  expect(gateway.listProviders()).toEqual(['on', 'also-on'])
  expect(calls).toBe(2)
})

test('an entry without its key is skipped with a warning', () => {
  const warnings = consoleLines('warn')
  const keyless = provider('keyless', undefined, { auth: { type: 'apiKey', envVar: 'AI_GATEWAY_TEST_UNSET' } })
  const { gateway } = gatewayOf({ providers: [keyless, provider('keyed')] })
  expect(gateway.listProviders()).toEqual(['keyed'])
  expect(warnings.lines).toEqual([
    '[gateway] Skipping provider "keyless": Provider "keyless": environment variable AI_GATEWAY_TEST_UNSET is not set',
  ])
})

test('an entry of an unknown family fails the constructor', () => {
  const unknown = config({ providers: [custom('main', 'martian')] })
  expect(() => new Gateway({ config: unknown })).toThrow(
    expect.objectContaining({ message: 'No provider factory for family "martian" (entry: "main")' }),
  )
})

test('an unknown family does not matter where the entry is not enabled', () => {
  const { gateway } = gatewayOf({ providers: [custom('main', 'martian', { enabled: false })] })
  expect(gateway.listProviders()).toEqual([])
})

test('a configuration may be written by hand, without loading', async () => {
  const up = await upstream(openai.answer('by hand'))
  const gateway = new Gateway({
    config: { providers: [provider('main', up.url)], routes: [rule('main')], fallbackChains: [], budgets: [] },
    onUsageLog: () => {},
  })
  expect((await gateway.chat(ask())).content).toBe('by hand')
})
