'use strict'

const native = require('./addon.js')

// Survives two copies of the package in one program.
const MARK = Symbol.for('ai-gateway-native.GatewayError')

class GatewayError extends Error {
  constructor(payload) {
    super(payload.message)
    this.name = payload.kind === 'aborted' ? 'AbortError' : 'GatewayError'
    this.code = payload.code
    this.kind = payload.kind
    this.retryable = payload.retryable
    this.httpStatus = payload.httpStatus ?? 500
    this.provider = payload.provider
    this.requestId = payload.requestId
    this.details = payload.details
  }

  toJSON() {
    const { code, kind, message, retryable, httpStatus, provider, requestId, details } = this
    return { code, kind, message, retryable, httpStatus, provider, requestId, details }
  }

  static isInstance(value) {
    return typeof value === 'object' && value !== null && value[MARK] === true
  }

  static providerTimeout(provider, requestId) {
    return GatewayError.fromHttpStatus(provider, 504, '', requestId)
  }

  static providerRateLimit(provider, requestId) {
    return GatewayError.fromHttpStatus(provider, 429, '', requestId)
  }

  static providerAuth(provider, requestId) {
    return GatewayError.fromHttpStatus(provider, 401, '', requestId)
  }

  static fromHttpStatus(provider, status, body, requestId) {
    return new GatewayError({
      ...JSON.parse(native.httpError(String(provider), status, String(body ?? ''))),
      requestId,
    })
  }

  static providerResponse(provider, upstreamStatus, detail, requestId) {
    return new GatewayError({
      code: 'PROVIDER_RESPONSE',
      kind: 'provider_response',
      message: `Provider "${provider}" returned ${upstreamStatus}: ${detail}`,
      retryable: upstreamStatus >= 500,
      httpStatus: 502,
      provider,
      requestId,
      details: { upstreamStatus },
    })
  }

  static routeNotFound(requestId) {
    return new GatewayError({
      code: 'ROUTE_NOT_FOUND',
      kind: 'route_not_found',
      message: 'No matching route found for request',
      retryable: false,
      httpStatus: 404,
      requestId,
    })
  }

  static budgetExceeded(policy, requestId) {
    return new GatewayError({
      code: 'BUDGET_EXCEEDED',
      kind: 'budget_exceeded',
      message: `Budget policy "${policy}" exceeded`,
      retryable: false,
      httpStatus: 429,
      requestId,
      details: { policy },
    })
  }

  static configInvalid(detail) {
    return new GatewayError({
      code: 'CONFIG_INVALID',
      kind: 'config_invalid',
      message: `Invalid configuration: ${detail}`,
      retryable: false,
      httpStatus: 500,
    })
  }
}
Object.defineProperty(GatewayError.prototype, MARK, { value: true })

function invalidRequest(path, problem) {
  return new GatewayError({
    code: 'INVALID_REQUEST',
    kind: 'invalid_request',
    message: `Invalid request: ${path}: ${problem}`,
    retryable: false,
    httpStatus: 400,
    details: { path },
  })
}

// The value of `{"ok": …}`; `{"error": …}` is thrown.
function unwrap(settled) {
  const { ok, error } = JSON.parse(settled)
  if (error) throw new GatewayError(error)
  return ok
}

// JSON text of a caller's object; what JSON cannot hold (a cycle, a BigInt) is named with `path`.
function stringify(value, path, fail = invalidRequest) {
  let text
  try {
    text = JSON.stringify(value)
  } catch (error) {
    throw fail(path, `cannot be written as JSON: ${error?.message?.split('\n')[0] ?? error}`)
  }
  return text ?? 'null'
}

/**
 * Refuses numbers that JSON has no form for: they would be read as if the field were not there. `opaque` names fields of
 * `value` whose contents are the program's own.
 */
function refuseNonFinite(value, path, fail, opaque) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw fail(path, `must be a finite number, not ${value}`)
  if (value === null || typeof value !== 'object') return
  for (const key of Object.keys(value)) {
    if (opaque?.has(key)) continue
    refuseNonFinite(value[key], Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`, fail)
  }
}

const configFault = (path, problem) => GatewayError.configInvalid(`${path}: ${problem}`)

module.exports = { GatewayError, configFault, invalidRequest, refuseNonFinite, stringify, unwrap }
