/** Errors. */

/**
 * What kind of failure a {@link GatewayError} is; `docs/errors.md` explains each.
 *
 * - `provider_auth` (401): the provider refused the key
 * - `provider_timeout` (504): a timeout or deadline passed, or the provider answered 408 or 504
 * - `provider_rate_limit` (429): the provider's rate limit
 * - `provider_response` (502): any other error status, or an unusable answer
 * - `provider_network` (502): the connection was refused, reset or lost
 * - `provider_unavailable` (503): the circuit breaker is open, or no target of a pool is left; nothing was sent
 * - `route_not_found` (404): no rule matches, or its provider is not loaded
 * - `budget_exceeded` (429): a budget refuses the call; nothing was sent
 * - `rate_limited` (429): one of the gateway's own limits; nothing was sent
 * - `unauthorized` (401): the client of a gateway server sent no valid API key
 * - `config_invalid` (500): the configuration has faults
 * - `invalid_request` (400): a field of the request is wrong; nothing was sent
 * - `aborted` (499): the gateway itself stopped the call
 * - `internal` (500): a bug of this library
 */
export type GatewayErrorKind =
  | 'provider_auth'
  | 'provider_timeout'
  | 'provider_rate_limit'
  | 'provider_response'
  | 'provider_network'
  | 'provider_unavailable'
  | 'route_not_found'
  | 'budget_exceeded'
  | 'rate_limited'
  | 'unauthorized'
  | 'config_invalid'
  | 'invalid_request'
  | 'aborted'
  | 'internal'

/** The `code` of errors that the gateway makes: the kind in capitals. */
export type GatewayErrorCode = Uppercase<GatewayErrorKind>

/** The data of a {@link GatewayError}. */
export interface GatewayErrorPayload {
  /** The kind in capitals, `PROVIDER_TIMEOUT` say; errors of your own may have any code. */
  code: GatewayErrorCode | (string & {})
  /** What kind of failure it is. */
  kind: GatewayErrorKind
  /** A sentence for people. Keys are redacted. */
  message: string
  /** Whether the same call may succeed later. */
  retryable: boolean
  /** The HTTP status for an answer to your own client. Default: 500. */
  httpStatus?: number
  /** Name of the provider that failed. Default: none. */
  provider?: string
  /** Same id as in the usage log. Default: none. */
  requestId?: string
  /** More facts, by kind: `upstreamStatus`, `retryAfterMs` (milliseconds), `policy`, `path`, `limit`, … Default: none. */
  details?: Record<string, unknown>
}

/** Every failure that the gateway itself finds. Errors thrown by your own providers are passed on unchanged. */
export class GatewayError extends Error {
  /** Creates an error. Its `name` is `GatewayError`, or `AbortError` for kind `aborted`. */
  constructor(payload: GatewayErrorPayload)
  /** The kind in capitals, `PROVIDER_TIMEOUT` say; errors of your own may have any code. */
  readonly code: GatewayErrorCode | (string & {})
  /** What kind of failure it is. */
  readonly kind: GatewayErrorKind
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  /** The HTTP status for an answer to your own client. */
  readonly httpStatus: number
  /** Name of the provider that failed; absent when none did. */
  readonly provider?: string
  /** Same id as in the usage log; absent for errors outside of a call. */
  readonly requestId?: string
  /** More facts, by kind: `upstreamStatus`, `retryAfterMs` (milliseconds), `policy`, `path`, `limit`, … */
  readonly details?: Record<string, unknown>
  /** All of these as a plain object, for `JSON.stringify` and HTTP bodies. */
  toJSON(): GatewayErrorPayload

  /** Whether `value` is a `GatewayError`, even one of another copy of this package. */
  static isInstance(value: unknown): value is GatewayError

  /** An error with code `PROVIDER_TIMEOUT`: 504, retryable. */
  static providerTimeout(provider: string, requestId?: string): GatewayError
  /** An error with code `PROVIDER_RATE_LIMIT`: 429, retryable. */
  static providerRateLimit(provider: string, requestId?: string): GatewayError
  /** An error with code `ROUTE_NOT_FOUND`: 404, not retryable. */
  static routeNotFound(requestId?: string): GatewayError
  /** An error with code `BUDGET_EXCEEDED`: 429, not retryable, `details: {policy}`. */
  static budgetExceeded(policy: string, requestId?: string): GatewayError
  /** An error with code `CONFIG_INVALID`: 500, not retryable. */
  static configInvalid(detail: string): GatewayError
  /** An error with code `PROVIDER_AUTH`: 401, not retryable. */
  static providerAuth(provider: string, requestId?: string): GatewayError
  /** An error with code `PROVIDER_RESPONSE`: 502, retryable if `upstreamStatus` is 500 or more, `details: {upstreamStatus}`. */
  static providerResponse(provider: string, upstreamStatus: number, detail: string, requestId?: string): GatewayError
  /**
   * The error for a provider's HTTP status: `PROVIDER_AUTH` (401, 403), `PROVIDER_RATE_LIMIT` (429), `PROVIDER_TIMEOUT` (408,
   * 504), else `PROVIDER_RESPONSE`. The message quotes 300 characters of the body.
   */
  static fromHttpStatus(provider: string, status: number, body: string, requestId?: string): GatewayError
}
