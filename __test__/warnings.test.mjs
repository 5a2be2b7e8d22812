// Settings that a provider has no word for are left out, and the answer says so.
import { expect, test } from 'vitest'
import { ask, collect, gatewayOf, provider } from './helpers/config.mjs'
import { anthropic, openai, upstream } from './helpers/upstream.mjs'

const TOP_K = { field: 'topK', reason: expect.stringMatching(/^Left out/), provider: 'main' }

test('a setting without a field is left out and reported in warnings', async () => {
  const up = await upstream(openai.answer('Hi'))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const { warnings } = await gateway.chat(ask({ topK: 5, temperature: 0.5 }))
  expect(warnings).toEqual([TOP_K])
  expect(up.last().body).not.toHaveProperty('top_k')
  expect(up.last().body.temperature).toBe(0.5)
})

test('an answer whose provider takes every setting has no warnings', async () => {
  const up = await upstream(anthropic.answer('Hi'))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { provider: 'anthropic' })] })
  expect(await gateway.chat(ask({ topK: 5 }))).not.toHaveProperty('warnings')
  expect(up.last().body.top_k).toBe(5)
})

test('a stream has its warnings before its first chunk and in its summary', async () => {
  const up = await upstream(openai.stream(['Hi']))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const response = await gateway.chatStream(ask({ topK: 5 }))
  expect(response.warnings).toEqual([TOP_K])
  await collect(response.stream)
  expect((await response.getUsageSummary()).warnings).toEqual([TOP_K])
})

test('a cached answer keeps its warnings, streamed once more or whole', async () => {
  const up = await upstream(openai.answer('Hi'))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const request = ask({ topK: 5, cache: true })
  await gateway.chat(request)
  expect(await gateway.chat(request)).toMatchObject({ cached: true, warnings: [TOP_K] })
  expect((await gateway.chatStream(request)).warnings).toEqual([TOP_K])
  expect(up.requests).toHaveLength(1)
})

test('after a fallback, the warnings are those of the provider that answered', async () => {
  const up = await upstream({ status: 500 }, anthropic.answer('Hi'))
  const providers = [provider('first', up.url), provider('main', up.url, { provider: 'anthropic' })]
  const chains = [
    { name: 'chain', steps: [{ provider: 'first' }, { provider: 'main' }].map((s) => ({ ...s, when: [] })) },
  ]
  const rules = [{ name: 'all', priority: 0, match: {}, target: { provider: 'first', fallbackChain: 'chain' } }]
  const { gateway } = gatewayOf({ providers, rules, chains })
  const { warnings } = await gateway.chat(ask({ topK: 5, seed: 1 }))
  expect(warnings).toEqual([{ ...TOP_K, field: 'seed' }])
})

test('a provider of your own may report warnings', async () => {
  const own = {
    name: 'own',
    family: 'own',
    chat: async () => ({ content: 'Hi', model: 'm', warnings: [{ field: 'stop', reason: 'No.' }] }),
  }
  const providers = [{ name: 'own', provider: 'own', models: ['m'], auth: { type: 'none' } }]
  const { gateway } = gatewayOf({ providers, customProviders: { own: () => own } })
  const { warnings } = await gateway.chat(ask({ stop: ['x'] }))
  expect(warnings).toEqual([{ field: 'stop', reason: 'No.', provider: 'own' }])
})
