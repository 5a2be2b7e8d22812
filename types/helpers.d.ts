/** Helpers: middleware, classification of errors, sums of costs. */

import type { GatewayError } from './errors.js'
import type { Gateway } from './gateway.js'
import type { ModelPricing } from './pricing.js'
import type { GatewayEventStreamResponse, GatewayResponse, RichGatewayRequest } from './requests.js'
import type { UsageLog } from './usage.js'

/**
 * Middleware for {@link Gateway.use}. Call `next` with the request, or a changed one, to continue; or return an answer of your
 * own.
 */
export type Middleware = (
  request: RichGatewayRequest,
  next: (request: RichGatewayRequest) => Promise<GatewayResponse>,
) => Promise<GatewayResponse> | GatewayResponse

/**
 * Middleware for {@link Gateway.useStream}. Call `next` with the request, or a changed one, to continue; or return a stream of
 * your own.
 */
export type StreamMiddleware = (
  request: RichGatewayRequest,
  next: (request: RichGatewayRequest) => Promise<GatewayEventStreamResponse>,
) => Promise<GatewayEventStreamResponse> | GatewayEventStreamResponse

/** The result of {@link classifyError}. */
export interface ErrorClass {
  /** What kind of failure it is; `Unknown` if nothing fits. */
  category:
    | 'Authentication'
    | 'RateLimit'
    | 'InvalidRequest'
    | 'Timeout'
    | 'ServerError'
    | 'Network'
    | 'ToolExecution'
    | 'Unknown'
  /** Whether the same call may succeed later. */
  retryable: boolean
  /**
   * Milliseconds to wait before the next attempt: the error's own hint, else 5,000 for `RateLimit`, 500 for `Network` and 1,000
   * for all others. Absent when the error is not retryable.
   */
  backoffMs?: number
}

/**
 * Classifies anything that was thrown, by this library or another: a {@link GatewayError} by its kind, other errors by HTTP
 * status, then by code and message.
 */
export function classifyError(error: unknown): ErrorClass

export { createModelAllowlist, isAllowedModel, type ModelAllowlist } from '../lib/allowlist.js'

/** Sums of a {@link CostTracker}. */
export interface CostSum {
  /** Number of recorded calls. */
  calls: number
  /** Tokens of the prompts. */
  inputTokens: number
  /** Tokens of the answers. */
  outputTokens: number
  /** `inputTokens + outputTokens`. */
  totalTokens: number
  /** US dollars, added without rounding errors. */
  costUsd: number
}

/** What a {@link CostTracker} records: a {@link GatewayResponse}, a {@link UsageLog}, or counts of your own. */
export interface CostRecord {
  /** Name of the provider that answered. */
  provider: string
  /** The model that answered. */
  model: string
  /** Tokens of the prompt. Default: 0. */
  inputTokens?: number
  /** Tokens of the answer. Default: 0. */
  outputTokens?: number
  /** US dollars. Default: the tokens at the model's known price. */
  estimatedCostUsd?: number
  /** The user, as entries of the usage log have it. Default: none. */
  userId?: string
  /** The feature, as entries of the usage log have it. Default: none. */
  feature?: string
}

/** Adds up tokens and costs, in total, by model, provider, user and feature. */
export interface CostTracker {
  /** Adds one call. It needs no `this`, so you can pass it as `onUsageLog`. */
  record(call: CostRecord): void
  /** The sum of all calls. */
  total(): CostSum
  /** The sums by model. */
  byModel(): Record<string, CostSum>
  /** The sums by provider. */
  byProvider(): Record<string, CostSum>
  /** The sums by `userId`; calls without one are under `default`, as are answers, which name no user. */
  byUser(): Record<string, CostSum>
  /** The sums by `feature`; calls without one are under `default`, as are answers, which name none. */
  byFeature(): Record<string, CostSum>
  /** Sets all sums to zero. */
  reset(): void
}

/** Options of {@link createCostTracker}. */
export interface CostTrackerOptions {
  /** Prices of your own, by model: they take precedence over the `estimatedCostUsd` of calls. Default: none. */
  pricing?: Record<string, ModelPricing>
}

/** Makes a tracker that adds up what calls cost. */
export function createCostTracker(options?: CostTrackerOptions): CostTracker
