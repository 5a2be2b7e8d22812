import { expect, test } from 'vitest'
import { classifyError, GatewayError } from '../index.mjs'

const gatewayError = (kind, retryable, details) =>
  new GatewayError({ code: 'X', kind, message: 'm', retryable, details })
const error = (message, fields) => Object.assign(new Error(message), fields)

test.each([
  ['provider_auth', gatewayError('provider_auth', false), 'Authentication', false],
  ['provider_rate_limit', gatewayError('provider_rate_limit', true), 'RateLimit', true],
  ['rate_limited', gatewayError('rate_limited', true), 'RateLimit', true],
  ['unauthorized', gatewayError('unauthorized', false), 'Authentication', false],
  ['provider_unavailable', gatewayError('provider_unavailable', true), 'ServerError', true],
  ['budget_exceeded', gatewayError('budget_exceeded', false), 'RateLimit', false],
  ['provider_timeout', gatewayError('provider_timeout', true), 'Timeout', true],
  ['provider_network', gatewayError('provider_network', true), 'Network', true],
  ['invalid_request', gatewayError('invalid_request', false), 'InvalidRequest', false],
  [
    'a response by its status',
    gatewayError('provider_response', false, { upstreamStatus: 422 }),
    'InvalidRequest',
    false,
  ],
  ['a response without one', gatewayError('provider_response', false), 'ServerError', false],
  ['aborted', gatewayError('aborted', false), 'Unknown', false],
  ['status 401', { status: 401 }, 'Authentication', false],
  ['statusCode 403', { statusCode: 403 }, 'Authentication', false],
  ['response.status 429', { response: { status: 429 } }, 'RateLimit', true],
  ['status 408', { status: 408 }, 'Timeout', true],
  ['status 404', { status: 404 }, 'InvalidRequest', false],
  ['status 503', { status: 503 }, 'ServerError', true],
  ['status before message', error('rate', { status: 400 }), 'InvalidRequest', false],
  ['ETIMEDOUT', error('x', { code: 'ETIMEDOUT' }), 'Timeout', true],
  ['a timeout in words', error('request timeout'), 'Timeout', true],
  ['ECONNRESET', error('x', { code: 'ECONNRESET' }), 'Network', true],
  ['ENETUNREACH', error('x', { code: 'ENETUNREACH' }), 'Network', true],
  ['DNS', error('DNS lookup failed'), 'Network', true],
  ['fetch failed', new TypeError('fetch failed'), 'Network', true],
  ['the cause of fetch failed', error('fetch failed', { cause: { code: 'ETIMEDOUT' } }), 'Timeout', true],
  ['a rate in words', error('rate exceeded'), 'RateLimit', true],
  ['a quota in words', 'quota is used up', 'RateLimit', true],
  ['tool_error', error('tool_error: x'), 'ToolExecution', false],
  ['function_call', error('bad function_call'), 'ToolExecution', false],
  ['overloaded', error('Overloaded'), 'ServerError', true],
  ['an abort', new DOMException('timeout', 'AbortError'), 'Unknown', false],
  ['a moderate word', error('moderate'), 'Unknown', false],
  ['undefined', undefined, 'Unknown', false],
  ['null', null, 'Unknown', false],
  ['a number', 5, 'Unknown', false],
])('%s', (_, thrown, category, retryable) => {
  expect(classifyError(thrown)).toMatchObject({ category, retryable })
  expect('backoffMs' in classifyError(thrown)).toBe(retryable)
})

test('a cycle of causes ends', () => {
  const round = error('x')
  round.cause = round
  expect(classifyError(round).category).toBe('Unknown')
})

test("the error's own hint is the wait", () => {
  expect(classifyError({ status: 429, headers: new Headers({ 'retry-after-ms': '250' }) }).backoffMs).toBe(250)
  expect(classifyError({ status: 429, headers: { 'retry-after': '2' } }).backoffMs).toBe(2000)
  expect(classifyError({ status: 503, headers: { 'retry-after': new Date(0).toUTCString() } }).backoffMs).toBe(0)
  expect(classifyError(gatewayError('provider_rate_limit', true, { retryAfterMs: 7 })).backoffMs).toBe(7)
  expect(classifyError(gatewayError('rate_limited', true, { retryAfterMs: 12_000 })).backoffMs).toBe(12_000)
  expect(classifyError(gatewayError('provider_unavailable', true, { retryAfterMs: 30_000 })).backoffMs).toBe(30_000)
  expect(classifyError(gatewayError('rate_limited', true)).backoffMs).toBe(5000)
  expect(classifyError(gatewayError('provider_unavailable', true)).backoffMs).toBe(1000)
  expect(classifyError({ status: 429 }).backoffMs).toBe(5000)
})
