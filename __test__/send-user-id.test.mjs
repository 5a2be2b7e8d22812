import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { loadConfigFromObjects } from '../index.mjs'
import { ask, gatewayOf, provider, rule } from './helpers/config.mjs'
import { openai, status, upstream } from './helpers/upstream.mjs'

const json = (value) => status(200, JSON.stringify(value))
const CLAUDES = json({ model: 'm', content: [{ type: 'text', text: 'hi' }], stop_reason: 'end_turn' })
const VECTOR = json({ data: [{ index: 0, embedding: [1] }], model: 'm', usage: { prompt_tokens: 1, total_tokens: 1 } })
const HASHED = createHash('sha256').update('ada').digest('hex')

/** The body that a vendor gets of a user's request. */
const sent = async (fields, answer, call = (gateway) => gateway.chat(ask({ userId: 'ada' }))) => {
  const up = await upstream(answer)
  const { gateway } = gatewayOf({ providers: [provider('main', `${up.url}/v1`, fields)] })
  await call(gateway)
  return up.last().body
}

for (const [sendUserId, seen] of [
  [undefined, undefined],
  [false, undefined],
  [true, 'ada'],
  ['hashed', HASHED],
]) {
  test(`with sendUserId ${sendUserId} vendors see ${seen ?? 'no user'}`, async () => {
    expect((await sent({ sendUserId }, openai.answer('hi'))).user).toBe(seen)
    expect((await sent({ sendUserId, provider: 'anthropic' }, CLAUDES)).metadata?.user_id).toBe(seen)
    const embed = (gateway) => gateway.embed({ input: 'a', userId: 'ada' })
    expect((await sent({ sendUserId }, VECTOR, embed)).user).toBe(seen)
    const responses = { sendUserId, options: { api: 'responses' } }
    const answer = json({
      status: 'completed',
      output: [{ type: 'message', content: [{ type: 'output_text', text: 'hi' }] }],
    })
    expect((await sent(responses, answer)).safety_identifier).toBe(seen)
  })
}

test('any other sendUserId is a fault of the configuration', () => {
  const of = (sendUserId) =>
    loadConfigFromObjects({
      providers: [provider('main', 'http://127.0.0.1:1', { sendUserId })],
      routes: { rules: [rule('main')], fallbackChains: [] },
      budgets: [],
    })
  expect(() => of('hash')).toThrow('sendUserId: must be true, false or "hashed"')
})
