// An attempt that failed and was charged nevertheless is in the log and in the budgets.
import { expect, test } from 'vitest'
import { createCostTracker, registerModelPricing } from '../index.mjs'
import { ask, budget, chain, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

registerModelPricing('dear-model', { inputPer1kTokens: 1, outputPer1kTokens: 1 })

const prose = {
  body: {
    ...{ id: 'm', type: 'message', role: 'assistant', model: 'dear-model', stop_reason: 'end_turn' },
    content: [{ type: 'text', text: 'As you wish.' }],
    usage: { input_tokens: 10, output_tokens: 100 },
  },
}
const claude = (url) => provider('a', url, { provider: 'anthropic', models: ['dear-model'] })
const strict = budget('day', { maxCostUsd: 0.5 }, { enforcement: 'strict' })
const inJson = ask({ responseFormat: 'json', maxTokens: 100 })

test('an answer that is not the JSON that was asked for counts with its own tokens', async () => {
  const server = await upstream(prose)
  const { gateway, logs } = gatewayOf({ providers: [claude(server.url)], budgets: [strict] })
  const kinds = []
  for (let i = 0; i < 10; i++) kinds.push((await failureOf(gateway.chat(inJson))).kind)
  expect(kinds.slice(0, 3)).toEqual(['provider_response', 'provider_response', 'provider_response'])
  expect(kinds.slice(-5)).toEqual(Array(5).fill('budget_exceeded'))
  expect(logs).toHaveLength(server.requests.length)
  expect(logs[0]).toMatchObject({ success: false, inputTokens: 10, outputTokens: 100, estimatedCostUsd: 0.11 })
})

test('it has an entry of its own where another provider answers, and is no further call', async () => {
  const [a, b] = [await upstream(prose), await upstream(openai.answer('{"a":1}'))]
  const tracker = createCostTracker()
  const { gateway, logs } = gatewayOf({
    providers: [claude(a.url), provider('b', b.url)],
    chains: [chain('c', 'a', 'b')],
  })
  expect((await gateway.chat(inJson)).provider).toBe('b')
  await gateway.close()
  expect(logs.map((entry) => entry.errorCode)).toEqual(['ATTEMPT_FAILED', undefined])
  expect(logs[0]).toMatchObject({ provider: 'a', estimatedCostUsd: 0.11, requestId: logs[1].requestId })
  for (const entry of logs) tracker.record(entry)
  expect(tracker.total().calls).toBe(1)
  expect(tracker.byProvider().a).toMatchObject({ calls: 0, costUsd: 0.11 })
})

test('texts of which a part failed count as far as they were embedded', async () => {
  const vectors = (count) => ({
    body: {
      ...{ object: 'list', model: 'dear-model', usage: { prompt_tokens: 40, total_tokens: 40 } },
      data: Array.from({ length: count }, (_, index) => ({ object: 'embedding', index, embedding: [1] })),
    },
  })
  const server = await upstream(vectors(2048), { status: 400, body: 'no' })
  const { gateway, logs } = gatewayOf({ providers: [provider('a', server.url, { models: ['dear-model'] })] })
  await failureOf(gateway.embed({ input: Array(2049).fill('x') }))
  expect(logs).toHaveLength(1)
  expect(logs[0]).toMatchObject({ success: false, inputTokens: 40, estimatedCostUsd: 0.04 })

  const few = await upstream(vectors(1))
  const other = gatewayOf({ providers: [provider('a', few.url, { models: ['dear-model'] })] })
  await failureOf(other.gateway.embed({ input: ['x', 'y'] }))
  expect(other.logs[0]).toMatchObject({ success: false, inputTokens: 40, estimatedCostUsd: 0.04 })
})
