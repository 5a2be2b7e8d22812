/** Health of providers, and explanations of routing. */

import type { BreakerOptions, PoolStrategy } from './config.js'
import type { Gateway } from './gateway.js'

/**
 * State of a circuit breaker. `closed`: calls are let through; `open`: none are; `half_open`: one call at a time is, as a
 * probe. {@link BreakerOptions} says when it changes.
 */
export type BreakerState = 'closed' | 'open' | 'half_open'

/**
 * Time to first token of the last 128 answers, in milliseconds (time to the whole answer where it is not streamed); `null`
 * before the first answer.
 */
export interface LatencyFigures {
  /** Median, in milliseconds. */
  p50: number | null
  /** 95th percentile, in milliseconds. */
  p95: number | null
}

/** Health of one provider entry, as {@link Gateway.health} reports it. */
export interface ProviderHealth {
  /** Name of the provider. */
  provider: string
  /** The worst state among its targets. */
  state: BreakerState
  /** The slowest of its targets, in milliseconds. */
  latencyMs: LatencyFigures
  /** Mean error rate of its targets, 0 to 1; 0 while nothing is known. */
  errorRate: number
  /** Calls in flight, those that wait in the queue of `maxConcurrency` included. */
  inFlight: number
  /** One item for each model that was asked for, and for each pool member. */
  targets: TargetHealth[]
  /** Status of the keys; absent for an entry without keys. */
  keys?: KeyHealth[]
}

/** Health of one target: a provider entry and a model. */
export interface TargetHealth {
  /** The model. Empty for the models beyond an entry's first 256, which share one item. */
  model: string
  /** State of its circuit breaker. */
  state: BreakerState
  /** Its time to first token, in milliseconds. */
  latencyMs: LatencyFigures
  /** Share of failed attempts among the last 32, 0 to 1; `null` before the first. Failures caused by the request do not count. */
  errorRate: number | null
  /** Calls in flight. */
  inFlight: number
  /**
   * Milliseconds until it may be asked again: its breaker is open, or, in a pool, it has asked for a pause (429) or has no such
   * model (404). Absent when it may be asked now.
   */
  blockedMs?: number
}

/** Key status; one item per active cooldown, or a single one for a key without a cooldown. */
export interface KeyHealth {
  /** Name of the environment variable, or `keys.ENTRY` where the program gave the key. The key itself is never shown. */
  variable: string
  /**
   * Why the key is not used: `unauthorized` (it was answered 401 or 403), `rate_limited` (429), `not_set` (the variable has no
   * value). Absent while the key is in use.
   */
  reason?: 'unauthorized' | 'rate_limited' | 'not_set'
  /**
   * The old name of `reason`.
   *
   * @deprecated Use `reason`.
   */
  why?: 'unauthorized' | 'rate_limited' | 'not_set'
  /** Milliseconds from now until the cooldown ends. Absent without a cooldown. */
  cooldownMs?: number
  /**
   * The old name of `cooldownMs`: milliseconds from now, not a date.
   *
   * @deprecated Use `cooldownMs`.
   */
  restingUntil?: number
  /** The model that the cooldown is for; absent if it is for all models. */
  model?: string
}

/** Where a request would go, as {@link Gateway.explain} reports it. */
export interface Explanation {
  /** Name of the rule that is used; absent when no rule matches. */
  rule?: string
  /** Rules that match and come first, but are skipped because the estimate exceeds their constraints. */
  excluded: ExcludedRule[]
  /** Name of the rule's provider entry if it is not loaded, which ends the call. */
  missing?: string
  /** Strategy of the rule's pool; absent without a pool. */
  strategy?: PoolStrategy
  /** Name of the rule's fallback chain; absent without one. */
  chain?: string
  /** Candidates in the order in which they would be asked, as far as chance does not decide; pool members by score. */
  candidates: ExplainedCandidate[]
  /** What the budget policies would decide. */
  budget: ExplainedBudget
}

/** What the budget policies would decide about a request. */
export interface ExplainedBudget {
  /** Whether the budgets would let the call proceed. */
  allowed: boolean
  /** Name of the policy that would refuse the call; absent when none does. */
  blockedBy?: string
  /** One `[POLICY] REASON` for each policy that would warn. */
  warnings: string[]
}

/** A rule that is skipped because of a constraint. */
export interface ExcludedRule {
  /** Name of the rule. */
  rule: string
  /** The constraint that the estimate exceeds. */
  constraint: 'maxInputTokens' | 'maxCostUsd'
  /** The rule's limit, in tokens or US dollars. */
  limit: number
  /** The call's estimate, in tokens or US dollars. */
  estimate: number
}

/** A target that would be asked. */
export interface ExplainedCandidate {
  /** Name of the provider. */
  provider: string
  /** The model it would be asked for. */
  model: string
  /** Where the candidate comes from: the rule's target, its pool or its fallback chain. */
  source: 'target' | 'pool' | 'chain'
  /**
   * The old name of `source`.
   *
   * @deprecated Use `source`.
   */
  from: 'target' | 'pool' | 'chain'
  /** Whether the provider entry is loaded. */
  loaded: boolean
  /**
   * Score under the pool's strategy: lower is asked first. `null` if it is not available or comes after all others; absent
   * outside of pools.
   */
  score?: number | null
  /** State of its circuit breaker. */
  state: BreakerState
  /** Milliseconds until it may be asked again. Absent when it may be asked now. */
  blockedMs?: number
  /** Why the provider would reject this request: a feature that it does not support. Absent when it would not. */
  unsupported?: string
  /**
   * The old name of `unsupported`.
   *
   * @deprecated Use `unsupported`.
   */
  refuses?: string
  /** Estimated tokens of the prompt; an upper bound until the model's vocabulary is loaded. */
  estimatedInputTokens: number
  /** US dollars: the prompt, and `maxTokens` or else 256 tokens of output. `null` for a model without a known price. */
  estimatedCostUsd: number | null
}
