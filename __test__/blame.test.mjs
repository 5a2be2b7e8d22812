// What a request causes is its caller's: it opens no circuit breaker for others.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ask, failureOf, gatewayOf, pool, provider } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

const slow = async (_, res) => {
  await sleep(60)
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end(JSON.stringify(openai.answer('Hello!').body))
}
const prose = {
  body: {
    ...{ id: 'm', type: 'message', role: 'assistant', model: 'c', stop_reason: 'end_turn' },
    content: [{ type: 'text', text: 'As you wish.' }],
    usage: { input_tokens: 5, output_tokens: 5 },
  },
}

test.each([
  ['a deadline of the caller’s own', 'openai', slow, 'chat', { timeoutMs: 5 }, 'provider_timeout'],
  ['such a deadline of a stream', 'openai', slow, 'chatStream', { timeoutMs: 5 }, 'provider_timeout'],
  ['prose where JSON was asked for', 'anthropic', prose, 'chat', { responseFormat: 'json' }, 'provider_response'],
])('%s opens no breaker', async (_, family, answer, method, request, kind) => {
  const server = await upstream(answer)
  const { gateway } = gatewayOf({ providers: [provider('a', server.url, { provider: family })], rules: [pool(['a'])] })
  for (let i = 0; i < 6; i++) expect((await failureOf(gateway[method](ask(request)))).kind).toBe(kind)
  expect(gateway.health()[0].state).toBe('closed')
  expect((await gateway.chat(ask())).content).toMatch(/Hello|As you/)
})

test('the entry’s own timeout does', async () => {
  const server = await upstream(slow)
  const { gateway } = gatewayOf({ providers: [provider('a', server.url, { timeoutMs: 5 })], rules: [pool(['a'])] })
  for (let i = 0; i < 5; i++) await failureOf(gateway.chat(ask()))
  expect(gateway.health()[0].state).toBe('open')
})
