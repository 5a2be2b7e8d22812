/** The usage log. */

import type { GatewayError, GatewayErrorCode } from './errors.js'
import type { CallAttempt, GatewayRequest, UsageSource } from './requests.js'

/**
 * One entry of the usage log: written exactly once for each call, whether it succeeds or fails. Calls that are refused at once
 * (invalid request, no route, limits per user, budgets) have none.
 */
export interface UsageLog {
  /** Time of the entry, ISO 8601 in UTC. */
  timestamp: string
  /** UUID v4; the same id as in the answer or error. A hedge's losers have entries with their call's id. */
  requestId: string
  /** Name of the provider that answered; on failure, of the rule's target. */
  provider: string
  /** The model that answered; on failure, the model that the rule decided on. */
  model: string
  /** Name of the rule that matched. */
  routeRule?: string
  /** {@link GatewayRequest.feature}; absent if not set. */
  feature?: string
  /** {@link GatewayRequest.userTier}; absent if not set. */
  userTier?: string
  /** The request's `userId`; absent if not set. */
  userId?: string
  /** The request's `metadata`; absent if not set. */
  metadata?: Record<string, unknown>
  /** Whether the call was answered. */
  success: boolean
  /** Tokens of the prompt, cache reads and writes included. */
  inputTokens: number
  /** Tokens of the answer, reasoning included. */
  outputTokens: number
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. Absent if the provider reports none. */
  cacheReadTokens?: number
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. Absent if the provider reports none. */
  cacheWriteTokens?: number
  /** Usually `inputTokens + outputTokens`. */
  totalTokens: number
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd?: number
  /** Whole milliseconds from the call's start to its end. */
  latencyMs: number
  /** Whether another provider than the first answered. */
  fallbackTriggered: boolean
  /** Name of the first provider tried; absent unless a fallback answered. */
  fallbackFrom?: string
  /**
   * On failure, the `code` of the {@link GatewayError}, `UNKNOWN` for other errors, `ABORTED` for a cancelled call;
   * `HEDGE_LOST` for an attempt that lost a hedge, `ATTEMPT_FAILED` for one that failed and was charged nevertheless, while
   * its call went on. Absent on success.
   */
  errorCode?: GatewayErrorCode | 'UNKNOWN' | 'HEDGE_LOST' | 'ATTEMPT_FAILED' | (string & {})
  /** `estimated` if the gateway counted the tokens; absent if the provider reported them. */
  usageSource?: UsageSource
  /** Present if the answer came from the cache, or was shared with an identical call. */
  cached?: true
  /** Present if all steps failed and the chain's `degradedReply` was given. */
  degraded?: true
  /** Each attempt in order; absent unless the call took more than one. */
  attempts?: CallAttempt[]
  /** US dollars that a cached answer would have cost; absent if it was not cached. */
  savedUsd?: number
}

/** Receives each entry of the usage log. It is awaited; errors it throws are ignored. */
export type UsageLogHandler = (log: UsageLog) => void | Promise<void>

/** Passes usage logs to handlers. Without a handler: `console.log('[usage] ' + JSON)`. */
export class UsageLogger {
  /** Creates a logger with one handler, or none. */
  constructor(handler?: UsageLogHandler)
  /** Adds a handler, called after those added before. */
  addHandler(handler: UsageLogHandler): void
  /** Calls each handler in turn, and resolves when the last one is done. Never rejects. */
  log(entry: UsageLog): Promise<void>
}

/** What usage can be grouped by. */
export type UsageGroup =
  | 'hour'
  | 'day'
  | 'provider'
  | 'model'
  | 'routeRule'
  | 'feature'
  | 'userTier'
  | 'userId'
  | 'key'
  | 'team'

/** Which records are summed up. */
export interface UsageQuery {
  /** The first hour: a `Date`, an RFC 3339 time or milliseconds since the epoch. Default: all that is kept. */
  from?: Date | string | number
  /** Where the hours end, exclusive. Default: now. */
  to?: Date | string | number
  /** One group or several. Default: none, which gives one row. */
  groupBy?: UsageGroup | readonly UsageGroup[]
  /** What is answered. Default: `json`, which is rows. */
  format?: 'json'
}

/** A query that is answered with CSV text. */
export interface UsageCsvQuery extends Omit<UsageQuery, 'format'> {
  /** `csv`: text in place of rows. */
  format: 'csv'
}

/** The sums of one group. Fields that the query does not group by are absent; `null`: the calls had no such value. */
export interface UsageRow {
  /** When the hour begins, RFC 3339 in UTC. */
  hour?: string
  /** When the day begins, RFC 3339 in UTC. */
  day?: string
  /** Name of the provider that answered. */
  provider?: string | null
  /** The model that answered. */
  model?: string | null
  /** Name of the rule. */
  routeRule?: string | null
  /** The request's feature. */
  feature?: string | null
  /** The request's user tier. */
  userTier?: string | null
  /** The request's user. */
  userId?: string | null
  /** Id of the client key. */
  key?: string | null
  /** Team of the client key. */
  team?: string | null
  /** Calls, without the attempts beside them. */
  calls: number
  /** Calls that failed. */
  errors: number
  /** Tokens of prompts. */
  inputTokens: number
  /** Tokens of answers. */
  outputTokens: number
  /** US dollars. */
  costUsd: number
  /** US dollars that cached answers would have cost. */
  savedUsd: number
  /** Median of successful calls in milliseconds, within 5 %; `null` where there are none. */
  latencyP50Ms: number | null
  /** The same of the 95th percentile, in milliseconds. */
  latencyP95Ms: number | null
}
