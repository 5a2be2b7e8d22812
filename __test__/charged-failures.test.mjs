// An attempt that failed and was charged nevertheless is in the log and in the budgets.
import { expect, test } from 'vitest'
import { createCostTracker, registerModelPricing } from '../index.mjs'
import { ask, budget, chain, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { never, openai, upstream } from './helpers/upstream.mjs'

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

test('an answer that was not waited for costs its prompt, by estimate', async () => {
  const server = await upstream(never)
  const { gateway, logs } = gatewayOf({
    providers: [provider('a', server.url, { models: ['dear-model'] })],
    budgets: [budget('all', { maxCostUsd: 1 })],
  })
  const aborted = new AbortController()
  const calls = [
    failureOf(gateway.chat(ask({ timeoutMs: 100 }))),
    failureOf(gateway.chatStream(ask({ timeoutMs: 100 }))),
    failureOf(gateway.chat(ask({ signal: aborted.signal }))),
    failureOf(gateway.embed({ input: 'Hi', timeoutMs: 100 })),
  ]
  await expect.poll(() => server.requests.length).toBe(4)
  aborted.abort()
  await Promise.all(calls)
  await gateway.close()
  expect(logs).toHaveLength(4)
  for (const entry of logs) {
    expect(entry).toMatchObject({ success: false, outputTokens: 0, usageSource: 'estimated' })
    expect(entry.inputTokens).toBeGreaterThan(0)
    expect(entry.estimatedCostUsd).toBeCloseTo(entry.inputTokens / 1000, 9)
  }
  const [{ spent }] = gateway.budgets()
  expect(spent.inputTokens).toBe(logs.reduce((sum, { inputTokens }) => sum + inputTokens, 0))
})

test('one that timed out before another answered has an entry of its own', async () => {
  const [a, b] = [await upstream(never), await upstream(openai.answer('x'))]
  const { gateway, logs } = gatewayOf({
    providers: [provider('a', a.url, { timeoutMs: 100 }), provider('b', b.url)],
    chains: [chain('c', 'a', 'b')],
  })
  expect((await gateway.chat(ask())).provider).toBe('b')
  await gateway.close()
  expect(logs.map(({ provider, errorCode }) => [provider, errorCode])).toEqual([
    ['a', 'ATTEMPT_FAILED'],
    ['b', undefined],
  ])
})

test('what never left costs nothing', async () => {
  const { gateway, logs } = gatewayOf({ providers: [provider('a', 'http://127.0.0.1:9', { models: ['dear-model'] })] })
  await failureOf(gateway.chat(ask({ timeoutMs: 200 })))
  await failureOf(gateway.chat(ask({ signal: AbortSignal.abort() })))
  for (const entry of logs) expect(entry).toMatchObject({ inputTokens: 0, estimatedCostUsd: 0 })
})

test('tries that were charged count in budgets, and the next one must be borne', async () => {
  const slow = await upstream(never)
  const { gateway, logs } = gatewayOf({
    providers: [
      provider('a', slow.url, { models: ['dear-model'], timeoutMs: 60, retry: { maxAttempts: 3, backoffMs: 1 } }),
    ],
    budgets: [budget('all', { maxCostUsd: 100 }), budget('tight', { maxTotalTokens: 70 }, { enforcement: 'strict' })],
  })
  await failureOf(gateway.chat(ask({ maxTokens: 40 })))
  const [all] = gateway.budgets()
  const logged = logs.reduce((sum, { inputTokens }) => sum + inputTokens, 0)
  expect(all.spent.inputTokens).toBe(logged)
  expect(all.reserved.inputTokens).toBe(0)
  expect(slow.requests.length).toBe(logs.length)
})
