/** How providers are doing, and where a request would go. */

import type { PoolStrategy, RouteConstraints } from './config.js'

/** `open`: nobody is let through; `half_open`: one call at a time is, as a probe. */
export type BreakerState = 'closed' | 'open' | 'half_open'

/** Milliseconds to the first content (of an answer that is not streamed: to the whole) of the last 128 answers; `null`: none yet. */
export interface LatencyFigures {
  p50: number | null
  p95: number | null
}

/** How a provider is doing. */
export interface ProviderHealth {
  /** The provider's name. */
  provider: string
  /** The worst of its targets'. */
  state: BreakerState
  /** The slowest of its targets'. */
  latencyMs: LatencyFigures
  /** 0 to 1: the mean of its targets'; 0 while nothing is known. */
  errorRate: number
  /** Calls under way, those that wait for a place (`maxConcurrency`) included. */
  inFlight: number
  /** One for each model that was asked for, and for each member of a pool. */
  targets: TargetHealth[]
  /** Where it has several keys, or one that is not in use. */
  keys?: KeyHealth[]
}

/** How an entry does with one model. */
export interface TargetHealth {
  model: string
  state: BreakerState
  latencyMs: LatencyFigures
  /** 0 to 1, of the last 32 attempts; `null`: none yet. What is the caller's own fault does not count. */
  errorRate: number | null
  inFlight: number
  /** Milliseconds for which it is not asked: its breaker is open, or it has asked for a pause. */
  blockedMs?: number
}

/** A key as it is now; one entry for each rest. */
export interface KeyHealth {
  /** The environment variable. The key itself is never told. */
  variable: string
  /** Why it is not in use; absent where it is. */
  why?: 'unauthorized' | 'rate_limited' | 'not_set'
  /** Milliseconds from now. */
  restingUntil?: number
  /** The model that it rests for; absent: all of them. */
  model?: string
}

/** What would become of a request. */
export interface Explanation {
  /** The rule that is taken; absent where none is left. */
  rule?: string
  /** Rules that match and would come first, but whose constraints the estimate exceeds. */
  excluded: ExcludedRule[]
  /** The entry that the rule names and that is not loaded, where that ends the call. */
  missing?: string
  /** Of the rule's pool. */
  strategy?: PoolStrategy
  /** The chain that the rule names. */
  chain?: string
  /** In the order in which they would be asked; members of a pool by their score. */
  candidates: ExplainedCandidate[]
  budget: {
    /** Whether budgets would let the call through. */
    allowed: boolean
    /** The policy that would refuse it. */
    blockedBy?: string
    warnings: string[]
  }
}

/** A rule that is passed over. */
export interface ExcludedRule {
  rule: string
  constraint: keyof RouteConstraints
  limit: number
  estimate: number
}

/** One that would be asked. */
export interface ExplainedCandidate {
  provider: string
  model: string
  /** Why it is one. */
  from: 'target' | 'pool' | 'chain'
  loaded: boolean
  /** Under the pool's strategy, lower is asked first; `null`: not available, or after all others. Absent outside of pools. */
  score?: number | null
  state: BreakerState
  /** Milliseconds for which it is not asked. */
  blockedMs?: number
  /** What it could not do of what the request wants. */
  refuses?: string
  estimatedInputTokens: number
  /** US dollars: the prompt, and `maxTokens` or 256 tokens of answer. 0 for a model without a known price. */
  estimatedCostUsd: number
}
