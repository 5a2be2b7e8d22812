import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { GatewayError } from '../index.mjs'
import { ask, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { status, upstream } from './helpers/upstream.mjs'

const required = createRequire(import.meta.url)('../index.js')

const KEYS = ['code', 'kind', 'message', 'retryable', 'httpStatus', 'provider', 'requestId', 'details']

const payload = {
  code: 'MINE',
  kind: 'internal',
  message: 'it broke',
  retryable: true,
  httpStatus: 418,
  provider: 'p',
  requestId: 'r',
  details: { a: [1] },
}

describe('a GatewayError', () => {
  test('is an Error with the fields of its payload', () => {
    const error = new GatewayError(payload)
    expect(error).toBeInstanceOf(Error)
    expect(error).toBeInstanceOf(GatewayError)
    for (const key of KEYS) expect(error[key], key).toEqual(payload[key])
    expect(error.name).toBe('GatewayError')
    expect(String(error)).toBe('GatewayError: it broke')
    expect(error.stack).toContain('errors.test.mjs')
  })

  test('has a status of 500 where none is given', () => {
    const { httpStatus, ...rest } = payload
    expect(new GatewayError(rest).httpStatus).toBe(500)
  })

  test('has the fields that are not given as undefined', () => {
    const error = new GatewayError({ code: 'C', kind: 'internal', message: 'm', retryable: false })
    for (const key of ['provider', 'requestId', 'details']) {
      expect(Object.hasOwn(error, key), key).toBe(true)
      expect(error[key]).toBeUndefined()
    }
  })

  test('is JSON as its payload', () => {
    const error = new GatewayError(payload)
    expect(error.toJSON()).toStrictEqual(payload)
    expect(JSON.parse(JSON.stringify(error))).toEqual(payload)
  })

  test('names all keys in toJSON, also those that are undefined', () => {
    const json = new GatewayError({ code: 'C', kind: 'internal', message: 'm', retryable: false }).toJSON()
    expect(Object.keys(json).sort()).toEqual([...KEYS].sort())
    expect(json).toStrictEqual({
      code: 'C',
      kind: 'internal',
      message: 'm',
      retryable: false,
      httpStatus: 500,
      provider: undefined,
      requestId: undefined,
      details: undefined,
    })
  })

  test('can be subclassed', () => {
    class Mine extends GatewayError {}
    expect(new Mine(payload)).toBeInstanceOf(GatewayError)
    expect(new Mine(payload).code).toBe('MINE')
  })

  test('is one class, imported or required', () => {
    expect(required.GatewayError).toBe(GatewayError)
    expect(required.GatewayError.routeNotFound()).toBeInstanceOf(GatewayError)
  })

  test('of a call is of that class, and has every field', async () => {
    const up = await upstream(status(500, 'broken'))
    const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
    const error = await failureOf(gateway.chat(ask()))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toBeInstanceOf(required.GatewayError)
    expect(error.name).toBe('GatewayError')
    expect(error.toJSON()).toEqual({
      code: 'PROVIDER_RESPONSE',
      kind: 'provider_response',
      message: 'Provider "main" returned 500: broken',
      retryable: true,
      httpStatus: 502,
      provider: 'main',
      requestId: logs[0].requestId,
      details: { upstreamStatus: 500 },
    })
  })

  test('of a refusal has every field, also those that are undefined', async () => {
    const error = await failureOf(gatewayOf({}).gateway.chat(ask()))
    for (const key of [...KEYS, 'name']) expect(key in error, key).toBe(true)
    expect(error.provider).toBeUndefined()
  })
})

describe('the makers of errors', () => {
  const named = { provider: 'p', requestId: 'r', details: undefined }

  test.each([
    [
      'providerTimeout',
      GatewayError.providerTimeout('p', 'r'),
      {
        code: 'PROVIDER_TIMEOUT',
        kind: 'provider_timeout',
        message: 'Provider "p" timed out',
        retryable: true,
        httpStatus: 504,
        ...named,
      },
    ],
    [
      'providerRateLimit',
      GatewayError.providerRateLimit('p', 'r'),
      {
        code: 'PROVIDER_RATE_LIMIT',
        kind: 'provider_rate_limit',
        message: 'Provider "p" rate limited',
        retryable: true,
        httpStatus: 429,
        ...named,
      },
    ],
    [
      'providerAuth',
      GatewayError.providerAuth('p', 'r'),
      {
        code: 'PROVIDER_AUTH',
        kind: 'provider_auth',
        message: 'Provider "p" authentication failed',
        retryable: false,
        httpStatus: 401,
        ...named,
      },
    ],
    [
      'providerResponse',
      GatewayError.providerResponse('p', 503, 'closed', 'r'),
      {
        code: 'PROVIDER_RESPONSE',
        kind: 'provider_response',
        message: 'Provider "p" returned 503: closed',
        retryable: true,
        httpStatus: 502,
        ...named,
        details: { upstreamStatus: 503 },
      },
    ],
    [
      'routeNotFound',
      GatewayError.routeNotFound('r'),
      {
        code: 'ROUTE_NOT_FOUND',
        kind: 'route_not_found',
        message: 'No matching route found for request',
        retryable: false,
        httpStatus: 404,
        ...named,
        provider: undefined,
      },
    ],
    [
      'budgetExceeded',
      GatewayError.budgetExceeded('b', 'r'),
      {
        code: 'BUDGET_EXCEEDED',
        kind: 'budget_exceeded',
        message: 'Budget policy "b" exceeded',
        retryable: false,
        httpStatus: 429,
        provider: undefined,
        requestId: 'r',
        details: { policy: 'b' },
      },
    ],
    [
      'configInvalid',
      GatewayError.configInvalid('too short'),
      {
        code: 'CONFIG_INVALID',
        kind: 'config_invalid',
        message: 'Invalid configuration: too short',
        retryable: false,
        httpStatus: 500,
        provider: undefined,
        requestId: undefined,
        details: undefined,
      },
    ],
  ])('%s', (_, error, json) => {
    expect(error).toBeInstanceOf(GatewayError)
    expect(error.name).toBe('GatewayError')
    expect(error.toJSON()).toStrictEqual(json)
  })

  test('need no request id', () => {
    const { providerTimeout, providerRateLimit, providerAuth, routeNotFound, budgetExceeded } = GatewayError
    for (const make of [providerTimeout, providerRateLimit, providerAuth, budgetExceeded])
      expect(make('p').requestId).toBeUndefined()
    expect(routeNotFound().requestId).toBeUndefined()
    expect(GatewayError.providerResponse('p', 500, 'd').requestId).toBeUndefined()
  })

  test.each([
    [499, false],
    [500, true],
    [599, true],
  ])('providerResponse of status %i is retryable: %s', (code, retryable) => {
    expect(GatewayError.providerResponse('p', code, '').retryable).toBe(retryable)
  })
})

describe('fromHttpStatus', () => {
  test.each([
    [401, 'PROVIDER_AUTH', 'provider_auth', 401, false],
    [403, 'PROVIDER_AUTH', 'provider_auth', 401, false],
    [429, 'PROVIDER_RATE_LIMIT', 'provider_rate_limit', 429, true],
    [408, 'PROVIDER_TIMEOUT', 'provider_timeout', 504, true],
    [504, 'PROVIDER_TIMEOUT', 'provider_timeout', 504, true],
    [400, 'PROVIDER_RESPONSE', 'provider_response', 502, false],
    [404, 'PROVIDER_RESPONSE', 'provider_response', 502, false],
    [500, 'PROVIDER_RESPONSE', 'provider_response', 502, true],
    [503, 'PROVIDER_RESPONSE', 'provider_response', 502, true],
  ])('%i is %s', (code, name, kind, httpStatus, retryable) => {
    const error = GatewayError.fromHttpStatus('p', code, 'words', 'r')
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject({ code: name, kind, httpStatus, retryable, provider: 'p', requestId: 'r' })
  })

  test('quotes the body, cut to 300 characters', () => {
    expect(GatewayError.fromHttpStatus('p', 500, 'short').message).toBe('Provider "p" returned 500: short')
    expect(GatewayError.fromHttpStatus('p', 418, 'x'.repeat(301)).message).toBe(
      `Provider "p" returned 418: ${'x'.repeat(300)}`,
    )
    expect(GatewayError.fromHttpStatus('p', 418, '').details).toEqual({ upstreamStatus: 418 })
  })
})
