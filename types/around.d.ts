/** What helps around calls. */

import type { ModelPricing, estimateCostUsd } from './pricing.js'
import type { GatewayResponse, RichGatewayRequest } from './requests.js'

/** `next` goes on, with this request or another. */
export type Middleware = (
  request: RichGatewayRequest,
  next: (request: RichGatewayRequest) => Promise<GatewayResponse>,
) => Promise<GatewayResponse> | GatewayResponse

/** What {@link classifyError} says of an error. */
export interface ErrorClass {
  category:
    | 'Authentication'
    | 'RateLimit'
    | 'InvalidRequest'
    | 'Timeout'
    | 'ServerError'
    | 'Network'
    | 'ToolExecution'
    | 'Unknown'
  retryable: boolean
  /** Milliseconds to wait before the next attempt: the error's own hint, or a default. Absent when not retryable. */
  backoffMs?: number
}

/** Classifies anything that was thrown: by kind, then status, then code and message. */
export function classifyError(error: unknown): ErrorClass

export { createModelAllowlist, type ModelAllowlist } from '../lib/allowlist.js'

/** Sums of {@link CostTracker}. */
export interface CostSum {
  calls: number
  inputTokens: number
  outputTokens: number
  totalTokens: number
  /** US dollars, added without rounding errors. */
  costUsd: number
}

/** What a {@link CostTracker} records: an answer, an entry of the usage log, or counts of your own. */
export interface CostRecord {
  provider: string
  model: string
  inputTokens?: number
  outputTokens?: number
  /** US dollars. Default: {@link estimateCostUsd} of the counts. */
  estimatedCostUsd?: number
}

export interface CostTracker {
  /** Needs no `this`: it may be `onUsageLog` itself. */
  record(call: CostRecord): void
  total(): CostSum
  byModel(): Record<string, CostSum>
  byProvider(): Record<string, CostSum>
  /** Forgets everything recorded. */
  reset(): void
}

/** Adds up what calls cost. `pricing` goes before the calls' own cost. */
export function createCostTracker(options?: { pricing?: Record<string, ModelPricing> }): CostTracker
