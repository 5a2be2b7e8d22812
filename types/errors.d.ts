/** Errors. */

/**
 * What sort of failure a {@link GatewayError} is. `provider_network`: the connection was refused, reset or lost (502);
 * `provider_unavailable`: its breaker is open, or all targets of a pool are down (503); `rate_limited`: a limit of the
 * gateway's own is reached (429); `unauthorized`: a server's caller shows no valid key (401); `invalid_request`: the
 * request is at fault, nothing was sent (400); `aborted`: the gateway itself stopped the call (499).
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

/** The data of a {@link GatewayError}. */
export interface GatewayErrorPayload {
  /** `PROVIDER_TIMEOUT`, `ROUTE_NOT_FOUND`, … */
  code: string
  kind: GatewayErrorKind
  message: string
  /** Whether the same call may succeed later. */
  retryable: boolean
  /** Default: 500. */
  httpStatus?: number
  /** Name of the provider that failed. */
  provider?: string
  /** That of the call's usage log. */
  requestId?: string
  details?: Record<string, unknown>
}

/** Every failure that the gateway itself finds. */
export class GatewayError extends Error {
  constructor(payload: GatewayErrorPayload)
  readonly code: string
  readonly kind: GatewayErrorKind
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  /** The status for an HTTP answer to the caller. */
  readonly httpStatus: number
  /** Name of the provider that failed. */
  readonly provider?: string
  /** That of the call's usage log. */
  readonly requestId?: string
  readonly details?: Record<string, unknown>
  toJSON(): GatewayErrorPayload

  /** Whether `value` is a `GatewayError`, of this copy of the package or of another one. */
  static isInstance(value: unknown): value is GatewayError

  /** `PROVIDER_TIMEOUT`, 504, retryable. */
  static providerTimeout(provider: string, requestId?: string): GatewayError
  /** `PROVIDER_RATE_LIMIT`, 429, retryable. */
  static providerRateLimit(provider: string, requestId?: string): GatewayError
  /** `ROUTE_NOT_FOUND`, 404. */
  static routeNotFound(requestId?: string): GatewayError
  /** `BUDGET_EXCEEDED`, 429, `details: {policy}`. */
  static budgetExceeded(policy: string, requestId?: string): GatewayError
  /** `CONFIG_INVALID`, 500. */
  static configInvalid(detail: string): GatewayError
  /** `PROVIDER_AUTH`, 401. */
  static providerAuth(provider: string, requestId?: string): GatewayError
  /** `PROVIDER_RESPONSE`, 502, retryable from an upstream status of 500 up, `details: {upstreamStatus}`. */
  static providerResponse(provider: string, upstreamStatus: number, detail: string, requestId?: string): GatewayError
  /** The error for an upstream's status: 401, 403, 429, 408 and 504 have their own kinds, others are `PROVIDER_RESPONSE`. */
  static fromHttpStatus(provider: string, status: number, body: string, requestId?: string): GatewayError
}
