import { describe, expect, test } from 'vitest'
import { OpenAIProvider } from '../index.mjs'
import { budget, chain, custom, failureOf, gatewayOf, provider, rule } from './helpers/config.mjs'
import { never, status, upstream } from './helpers/upstream.mjs'

/** OpenAI's answer: one vector for each text, `[length of the text, its place]`, the last text first. */
const vectorsOf = (req, res, { body }) => {
  const data = body.input.map((text, index) => ({ object: 'embedding', index, embedding: [text.length, index] }))
  res.writeHead(200, { 'content-type': 'application/json' })
  const usage = { prompt_tokens: body.input.length, total_tokens: body.input.length }
  res.end(JSON.stringify({ object: 'list', data: data.reverse(), model: 'text-embedding-3-small', usage }))
}
const embedder = (name, url, fields) => provider(name, url, { models: ['text-embedding-3-small'], ...fields })

describe('embeddings', () => {
  test('each text gets its vector, in the order of the texts; the call is priced and logged', async () => {
    const up = await upstream(vectorsOf)
    const { gateway, logs } = gatewayOf({ providers: [embedder('main', `${up.url}/v1`)] })
    const answer = await gateway.embed({ input: ['a', 'bbb'], dimensions: 2, userId: 'u-1', feature: 'search' })
    expect(up.last().url).toBe('/v1/embeddings')
    expect(up.last().body).toEqual({ model: 'text-embedding-3-small', input: ['a', 'bbb'], dimensions: 2 })
    // 2 tokens at 0.02 dollars a million.
    expect(answer).toEqual({
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      vectors: [
        [1, 0],
        [3, 1],
      ],
      provider: 'main',
      model: 'text-embedding-3-small',
      inputTokens: 2,
      estimatedCostUsd: 0.00000004,
    })
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({
      requestId: answer.requestId,
      provider: 'main',
      routeRule: 'to-main',
      feature: 'search',
      success: true,
      inputTokens: 2,
      outputTokens: 0,
      totalTokens: 2,
      estimatedCostUsd: 0.00000004,
    })
  })

  test('one text is a list of one', async () => {
    const up = await upstream(vectorsOf)
    const { gateway } = gatewayOf({ providers: [embedder('main', up.url)] })
    expect((await gateway.embed({ input: 'four' })).vectors).toEqual([[4, 0]])
    expect(up.last().body.input).toEqual(['four'])
  })

  test('more texts than one request may hold go out in several, and come back in order', async () => {
    const up = await upstream(vectorsOf)
    const { gateway, logs } = gatewayOf({ providers: [embedder('main', up.url)] })
    const input = Array.from({ length: 2050 }, (_, place) => 'x'.repeat((place % 7) + 1))
    const { vectors, inputTokens } = await gateway.embed({ input })
    expect(up.requests.map(({ body }) => body.input.length)).toEqual([2048, 2])
    expect(vectors.map(([length]) => length)).toEqual(input.map((text) => text.length))
    expect(inputTokens).toBe(2050)
    expect(logs).toHaveLength(1)
  })

  test('rules, models, provider options and chains count as for a chat', async () => {
    const up = await upstream(status(503), vectorsOf)
    const { gateway } = gatewayOf({
      providers: [embedder('first', `${up.url}/first`), embedder('second', `${up.url}/second`)],
      rules: [rule({ provider: 'first', fallbackChain: 'both' }, { match: { taskType: 'search' } })],
      chains: [chain('both', 'first', ['second', { model: 'other-model' }])],
    })
    const request = { input: 'a', taskType: 'search', providerOptions: { openai: { encoding_format: 'float' } } }
    const answer = await gateway.embed(request)
    expect(answer.provider).toBe('second')
    expect(up.last().body).toEqual({ model: 'other-model', input: ['a'], encoding_format: 'float' })
    expect((await failureOf(gateway.embed({ input: 'a', taskType: 'chat' }))).code).toBe('ROUTE_NOT_FOUND')
  })

  test('a budget admits and counts them', async () => {
    const up = await upstream(vectorsOf)
    const { gateway } = gatewayOf({
      providers: [embedder('main', up.url)],
      budgets: [budget('small', { maxTotalTokens: 3 }, { enforcement: 'strict' })],
    })
    await gateway.embed({ input: ['a', 'b'] })
    const refused = await failureOf(gateway.embed({ input: 'one two three four five' }))
    expect(refused).toMatchObject({ code: 'BUDGET_EXCEEDED', details: { policy: 'small' } })
    expect(up.requests).toHaveLength(1)
  })

  test('a provider without them is a bad request that names it; a chain passes it over', async () => {
    const up = await upstream(vectorsOf)
    const claude = provider('claude', up.url, { provider: 'anthropic', models: ['claude-3-haiku'] })
    const alone = gatewayOf({ providers: [claude] })
    const refused = await failureOf(alone.gateway.embed({ input: 'a' }))
    expect(refused).toMatchObject({ code: 'INVALID_REQUEST', httpStatus: 400, provider: 'claude' })
    expect(refused.message).toContain('provider "claude" does not take requests for embeddings')
    expect(up.requests).toHaveLength(0)

    const providers = [claude, embedder('main', up.url)]
    const { gateway } = gatewayOf({ providers, chains: [chain('both', 'claude', 'main')] })
    expect((await gateway.embed({ input: 'a' })).provider).toBe('main')
  })

  test('usage that is not told is counted, and marked', async () => {
    const up = await upstream(status(200, { data: [{ index: 0, embedding: [1] }], model: 'text-embedding-3-small' }))
    const { gateway, logs } = gatewayOf({ providers: [embedder('main', up.url)] })
    const answer = await gateway.embed({ input: 'hello world' })
    expect(answer).toMatchObject({ inputTokens: 2, usageSource: 'estimated' })
    expect(logs[0]).toMatchObject({ inputTokens: 2, usageSource: 'estimated' })
  })

  test.each([
    ['HTML', '<html>', 'not the JSON expected'],
    ['nothing', '', 'the answer is empty'],
    ['an error', { error: { message: 'no such model' } }, 'no such model'],
    ['no data', {}, 'the answer has no data'],
    ['too few vectors', { data: [{ index: 0, embedding: [1] }] }, 'the answer has 1 vectors for 2 texts'],
    ['vectors of text', { data: [{ index: 0, embedding: 'AAAA' }] }, 'not the JSON expected'],
  ])('a 200 with %s is a provider_response', async (_, body, words) => {
    const up = await upstream(status(200, body))
    const { gateway, logs } = gatewayOf({ providers: [embedder('main', up.url)] })
    const error = await failureOf(gateway.embed({ input: ['a', 'b'] }))
    expect(error.kind).toBe('provider_response')
    expect(error.message).toContain(words)
    expect(logs[0]).toMatchObject({ success: false, errorCode: 'PROVIDER_RESPONSE', requestId: error.requestId })
  })

  test.each([
    [{}, 'input'],
    [{ input: '' }, 'input'],
    [{ input: [] }, 'input'],
    [{ input: ['a', ''] }, 'input[1]'],
    [{ input: ['a', 7] }, 'input[1]'],
    [{ input: 'a', dimensions: 1.5 }, 'dimensions'],
    [{ input: 'a', providerOptions: { openai: 7 } }, 'providerOptions.openai'],
    [undefined, 'request'],
  ])('%j is a bad request', async (request, path) => {
    const up = await upstream(vectorsOf)
    const { gateway } = gatewayOf({ providers: [embedder('main', up.url)] })
    expect(await failureOf(gateway.embed(request))).toMatchObject({ code: 'INVALID_REQUEST', details: { path } })
    expect(up.requests).toHaveLength(0)
  })

  test('the breaker is asked before a repetition', async () => {
    const up = await upstream(status(503))
    const fields = { retry: { maxAttempts: 5, backoffMs: 1 }, breaker: { failureThreshold: 2 } }
    const { gateway } = gatewayOf({ providers: [embedder('main', `${up.url}/v1`, fields)] })
    await failureOf(gateway.embed({ input: 'a' }))
    expect(up.requests).toHaveLength(2)
    expect(gateway.health()[0]).toMatchObject({ state: 'open', inFlight: 0 })
  })

  test('a signal and a bound on the time end the call', async () => {
    const up = await upstream(never)
    const { gateway, logs } = gatewayOf({ providers: [embedder('main', up.url)] })
    const controller = new AbortController()
    const pending = gateway.embed({ input: 'a', signal: controller.signal })
    setTimeout(() => controller.abort(), 20)
    expect(await failureOf(pending)).toBe(controller.signal.reason)
    expect((await failureOf(gateway.embed({ input: 'a', timeoutMs: 20 }))).kind).toBe('provider_timeout')
    expect(logs.map(({ errorCode }) => errorCode)).toEqual(['ABORTED', 'PROVIDER_TIMEOUT'])
  })

  describe('providers of a program’s own', () => {
    const withProvider = (object) =>
      gatewayOf({
        providers: [custom('own')],
        customProviders: { custom: (config) => ({ name: config.name, family: 'custom', chat: never, ...object }) },
      })

    test('are given the texts, and what else was asked', async () => {
      const seen = []
      const { gateway, logs } = withProvider({
        async embed(options) {
          seen.push(options, this.name)
          return { vectors: options.input.map((text) => [text.length]), model: 'own-1', inputTokens: 9 }
        },
      })
      const answer = await gateway.embed({ input: 'abc', dimensions: 1, userId: 'u', taskType: 'any' })
      expect(seen).toEqual([{ model: 'model-of-own', input: ['abc'], dimensions: 1, userId: 'u' }, 'own'])
      expect(answer).toMatchObject({ vectors: [[3]], provider: 'own', model: 'own-1', inputTokens: 9 })
      expect(logs[0]).toMatchObject({ success: true, inputTokens: 9 })
    })

    test('are refused where they have no such method, and named where their answer is none', async () => {
      expect((await failureOf(withProvider({}).gateway.embed({ input: 'a' }))).message).toContain(
        'provider "own" does not take requests for embeddings',
      )
      for (const [answer, words] of [
        [{}, 'vectors'],
        [{ vectors: [[1], [2]] }, '2 vectors for 1 texts'],
        [undefined, 'answer'],
      ]) {
        const error = await failureOf(withProvider({ embed: async () => answer }).gateway.embed({ input: 'a' }))
        expect(error.kind).toBe('provider_response')
        expect(error.message).toContain(words)
      }
      const thrown = new Error('mine')
      const throws = withProvider({ embed: () => Promise.reject(thrown) })
      expect(await failureOf(throws.gateway.embed({ input: 'a' }))).toBe(thrown)
    })

    test('that extend a built-in class keep its embeddings', async () => {
      const up = await upstream(vectorsOf)
      class Own extends OpenAIProvider {
        async chat(options) {
          return super.chat(options)
        }
      }
      const { gateway } = gatewayOf({
        providers: [embedder('main', up.url)],
        customProviders: { openai: (config) => new Own(config) },
      })
      expect(await gateway.embed({ input: 'abc' })).toMatchObject({ vectors: [[3, 0]], inputTokens: 1 })
    })
  })

  test('the mock gives near vectors to texts that share words', async () => {
    const { gateway } = gatewayOf({ providers: [custom('mock', 'mock')] })
    const { vectors } = await gateway.embed({
      input: ['the cat sat', 'a cat sat down', 'prices rose'],
      dimensions: 128,
    })
    const likeness = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0)
    expect(vectors.map((vector) => vector.length)).toEqual([128, 128, 128])
    expect(likeness(vectors[0], vectors[1])).toBeGreaterThan(likeness(vectors[0], vectors[2]))
  })
})
