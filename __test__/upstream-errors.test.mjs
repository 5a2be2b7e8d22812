// What an upstream says of a failure is what the caller learns, and what the gateway acts on.
import { expect, test } from 'vitest'
import { ask, chain, customs, failureOf, gatewayOf, pool, provider, rule } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

const error = (status, fields) => ({ status, body: { error: { message: 'Not today', ...fields } } })
const fine = openai.answer('Hello!')

test.each([
  ['a 401', error(401, { code: 'invalid_api_key' }), 'provider_auth', { upstreamCode: 'invalid_api_key' }],
  ['a 403', error(403, { type: 'permission_error' }), 'provider_auth', { upstreamType: 'permission_error' }],
  ['a 429', error(429, {}), 'provider_rate_limit', {}],
  ['a 504', { status: 504, body: 'Not today' }, 'provider_timeout', {}],
])('%s keeps the upstream’s own words', async (_, reply, kind, details) => {
  const server = await upstream(reply)
  const { gateway } = gatewayOf({ providers: [provider('a', server.url)] })
  const failure = await failureOf(gateway.chat(ask()))
  expect(failure.kind).toBe(kind)
  expect(failure.details).toMatchObject({ upstreamStatus: reply.status, upstreamMessage: 'Not today', ...details })
})

test('the wait that an upstream asks for is told', async () => {
  const server = await upstream({ ...error(429, {}), headers: { 'retry-after': '7' } })
  const { gateway } = gatewayOf({ providers: [provider('a', server.url)] })
  expect((await failureOf(gateway.chat(ask()))).details.retryAfterMs).toBe(7_000)
})

test.each([
  ['a rate limit', { code: 429 }, 'provider_rate_limit', true],
  ['an overload', { type: 'overloaded_error' }, 'provider_response', true],
  ['a wrong key', { type: 'authentication_error' }, 'provider_auth', false],
])('%s that is told inside a 200 is that failure', async (_, fields, kind, retryable) => {
  const server = await upstream(error(200, fields))
  const { gateway } = gatewayOf({ providers: [provider('a', server.url)] })
  expect(await failureOf(gateway.chat(ask()))).toMatchObject({ kind, retryable })
})

test('an overload inside a 200 is tried again', async () => {
  const server = await upstream(error(200, { type: 'overloaded_error' }), fine)
  const entry = provider('a', server.url, { retry: { maxAttempts: 2, backoffMs: 1 } })
  expect((await gatewayOf({ providers: [entry] }).gateway.chat(ask())).content).toBe('Hello!')
})

test('a quota that is used up is not tried again', async () => {
  const server = await upstream(error(429, { code: 'insufficient_quota' }), fine)
  const entry = provider('a', server.url, { retry: { maxAttempts: 3, backoffMs: 1 } })
  const failure = await failureOf(gatewayOf({ providers: [entry] }).gateway.chat(ask()))
  expect(failure).toMatchObject({
    kind: 'provider_rate_limit',
    retryable: false,
    details: { reason: 'insufficient_quota' },
  })
  expect(server.requests).toHaveLength(1)
})

test.each([
  ['a moderated prompt', error(403, { metadata: { flagged_input: 'x' } }), 'content_filter'],
  ['a prompt that is too long', error(400, { code: 'context_length_exceeded' }), 'request_too_large'],
  ['a request above a limit for good', error(429, { message: 'Request too large for m' }), 'request_too_large'],
])('%s rests no target, and the next one may take it', async (_, reply, reason) => {
  const refuses = await upstream(reply)
  const takes = await upstream(fine)
  const { gateway } = gatewayOf({
    providers: [provider('a', refuses.url), provider('b', takes.url)],
    rules: [pool(['a', 'b'], { strategy: 'round_robin' })],
  })
  for (let i = 0; i < 14; i++) expect((await gateway.chat(ask())).provider).toBe('b')
  expect(refuses.requests).toHaveLength(7)
  const alone = gatewayOf({ providers: [provider('a', refuses.url)] }).gateway
  expect((await failureOf(alone.chat(ask()))).details.reason).toBe(reason)
})

test('a provider that is not loaded is named in the message', async () => {
  const { gateway } = gatewayOf({ providers: [provider('a', 'http://127.0.0.1:9')], rules: [rule('b')] })
  expect((await failureOf(gateway.chat(ask()))).message).toContain('provider "b" is not loaded')
})

test.each([
  [400, undefined, 'closed'],
  [404, undefined, 'closed'],
  [403, 'content_filter', 'closed'],
  [429, 'insufficient_quota', 'closed'],
  [500, undefined, 'open'],
])(
  'a status of %s and the code %s, of an error that a provider threw, decide about its breaker',
  async (status, code, state) => {
    const chats = customs({ a: () => Promise.reject(Object.assign(new Error('no'), { status, code })) })
    const { gateway } = gatewayOf({ ...chats, rules: [pool(['a'])] })
    for (let i = 0; i < 6; i++) await failureOf(gateway.chat(ask()))
    expect(gateway.health()[0].state).toBe(state)
  },
)

test('a status of 429, of an error that a provider threw, is a rate limit to its chain', async () => {
  const chats = customs({ a: () => Promise.reject(Object.assign(new Error('no'), { status: 429 })), b: () => 'Hello!' })
  const chains = [chain('c', 'a', ['b', { when: ['rate_limit'] }])]
  expect((await gatewayOf({ ...chats, chains }).gateway.chat(ask())).content).toBe('Hello!')
})
