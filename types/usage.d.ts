/** The record of each call. */

import type { GatewayError } from './errors.js'
import type { UsageSource } from './requests.js'

/** The record of one call, written exactly once, whether it succeeds or fails. */
export interface UsageLog {
  /** ISO 8601, UTC. */
  timestamp: string
  requestId: string
  /** Name of the provider that answered; of a failure, the rule's. */
  provider: string
  model: string
  /** Name of the rule that matched. */
  routeRule?: string
  feature?: string
  userTier?: string
  success: boolean
  /** Tokens of the prompt, cache reads and writes included. */
  inputTokens: number
  /** Tokens of the answer, reasoning included. */
  outputTokens: number
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. */
  cacheReadTokens?: number
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. */
  cacheWriteTokens?: number
  totalTokens: number
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd?: number
  /** Whole milliseconds from the call's start to its end. */
  latencyMs: number
  fallbackTriggered: boolean
  /** Name of the first provider tried, when a fallback answered. */
  fallbackFrom?: string
  /** Of a failure: the `code` of its {@link GatewayError}, else `UNKNOWN`. */
  errorCode?: string
  /** Absent when the provider reported the counts. */
  usageSource?: UsageSource
  /** Present where the answer is another call's, from the cache or shared. */
  cached?: true
  /** Present where nobody answered, and the chain's `degradedReply` was given. */
  degraded?: true
  /** US dollars that a cached answer would have cost. */
  savedUsd?: number
}

/** Receives each {@link UsageLog}. It is awaited; what it throws is ignored. */
export type UsageLogHandler = (log: UsageLog) => void | Promise<void>

/** Hands usage logs to handlers. Without a handler: `console.log('[usage] ' + JSON)`. */
export class UsageLogger {
  constructor(handler?: UsageLogHandler)
  addHandler(handler: UsageLogHandler): void
  /** Resolves when every handler is done. */
  log(entry: UsageLog): Promise<void>
}
