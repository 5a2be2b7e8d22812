import { APICallError, embed, embedMany } from 'ai'
import { expect, test } from 'vitest'
import { GatewayError } from '../../index.mjs'
import { failureOf } from '../helpers/config.mjs'
import { over, overStub } from './helpers.mjs'

const embedding = ({ input }) => ({
  vectors: input.map((text, index) => [text.length, index]),
  provider: 'main',
  model: 'text-embedding-3-small',
  inputTokens: input.length * 2,
  estimatedCostUsd: 0.00001,
  requestId: 'req-1',
})

test('vectors of one text and of many', async () => {
  const { ai, asked } = overStub({ embed: embedding }, { request: { feature: 'search' } })
  const one = await embed({ model: ai.textEmbeddingModel('text-embedding-3-small'), value: 'four' })
  expect(one).toMatchObject({ embedding: [4, 0], usage: { tokens: 2 } })
  expect(one.providerMetadata.gateway).toMatchObject({
    provider: 'main',
    requestId: 'req-1',
    estimatedCostUsd: 0.00001,
  })
  const { signal } = new AbortController()
  const many = await embedMany({
    model: ai.embeddingModel('text-embedding-3-small'),
    values: ['a', 'bb'],
    abortSignal: signal,
    providerOptions: { gateway: { dimensions: 2, userId: 'u' }, openai: { encoding_format: 'float' } },
  })
  expect(many).toMatchObject({
    embeddings: [
      [1, 0],
      [2, 1],
    ],
    usage: { tokens: 4 },
  })
  expect(asked[1]).toMatchObject({
    model: 'text-embedding-3-small',
    input: ['a', 'bb'],
    feature: 'search',
    userId: 'u',
    dimensions: 2,
    providerOptions: { openai: { encoding_format: 'float' } },
  })
  expect(asked[1].signal).toBeInstanceOf(AbortSignal)
})

test('many values are several calls', async () => {
  const { ai, asked } = overStub({ embed: embedding })
  const model = ai.embeddingModel('m')
  const values = Array.from({ length: 3000 }, (_, index) => `${index}`)
  expect((await embedMany({ model, values })).embeddings).toHaveLength(3000)
  expect(asked.map((request) => request.input.length)).toEqual([2048, 952])
  const error = await failureOf(model.doEmbed({ values }))
  expect(error).toMatchObject({
    name: 'AI_TooManyEmbeddingValuesForCallError',
    maxEmbeddingsPerCall: 2048,
    modelId: 'm',
  })
})

test('options that only texts have are warned of', async () => {
  const { ai } = overStub({ embed: embedding })
  const { warnings } = await ai
    .embeddingModel('m')
    .doEmbed({ values: ['a'], headers: { 'x-a': '1' }, providerOptions: { gateway: { reasoningEffort: 'low' } } })
  expect(warnings.map((warning) => warning.feature)).toEqual(['headers', 'providerOptions.gateway.reasoningEffort'])
})

test("errors are the SDK's where an upstream failed", async () => {
  const cause = GatewayError.providerRateLimit('main', 'req-1')
  const { ai } = overStub({ embed: () => Promise.reject(cause) })
  const error = await failureOf(embed({ model: ai.embeddingModel('m'), value: 'a', maxRetries: 0 }))
  expect(APICallError.isInstance(error)).toBe(true)
  expect(error).toMatchObject({
    statusCode: 429,
    isRetryable: true,
    cause,
    requestBodyValues: { model: 'm', input: ['a'] },
  })
  const none = overStub({})
  expect(await failureOf(embed({ model: none.ai.embeddingModel('m'), value: 'a' }))).toMatchObject({
    functionality: 'embeddings',
  })
})

test('a real gateway embeds', async () => {
  const vector = (index) => ({ object: 'embedding', index, embedding: [index, 0.5] })
  const usage = { prompt_tokens: 4, total_tokens: 4 }
  const body = { object: 'list', model: 'text-embedding-3-small', data: [vector(1), vector(0)], usage }
  const { ai, up } = await over([{ body }])
  const answer = await embedMany({
    model: ai.embeddingModel('text-embedding-3-small'),
    values: ['a', 'b'],
    providerOptions: { gateway: { dimensions: 2 } },
  })
  expect(answer.embeddings).toEqual([
    [0, 0.5],
    [1, 0.5],
  ])
  expect(answer.usage).toEqual({ tokens: 4 })
  expect(up.last().body).toMatchObject({ model: 'text-embedding-3-small', input: ['a', 'b'], dimensions: 2 })
  expect(answer.providerMetadata.gateway).toMatchObject({ provider: 'main', requestId: expect.any(String) })
})
