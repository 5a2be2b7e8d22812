/** Budgets on their own. */

import type { BudgetPolicy } from './config.js'
import type { GatewayError } from './errors.js'
import type { GatewayRequest } from './requests.js'

/** Tokens and dollars of a call, estimated or real. */
export interface BudgetUsage {
  inputTokens: number
  outputTokens: number
  /** US dollars. */
  costUsd: number
}

/** What {@link BudgetTracker.check} gives. */
export interface BudgetTrackerResult {
  allowed: boolean
  /** Whether `warnAt` has been reached or a limit passed. */
  warn: boolean
  /** Which limit is passed; absent when none is. */
  reason?: string
}

/** The counts of budgets. */
export class BudgetTracker {
  constructor()
  /** Whether `pending` still fits. Counts nothing. */
  check(policy: BudgetPolicy, scopeKey: string, pending: BudgetUsage): BudgetTrackerResult
  /** Adds to the current window's count. */
  record(policy: BudgetPolicy, scopeKey: string, usage: BudgetUsage): void
}

/** What {@link BudgetGuard.check} gives. */
export interface BudgetCheckResult {
  allowed: boolean
  /** `[POLICY] REASON`, one for each policy that warns. */
  warnings: string[]
  /** Name of the policy that blocks; absent when none does. */
  blockedBy?: string
}

/** A set of budget policies and their counts. */
export class BudgetGuard {
  constructor(policies: BudgetPolicy[])
  check(request: GatewayRequest, estimated: BudgetUsage): BudgetCheckResult
  /** Adds a call's figures to the count of each policy that covers it. */
  record(request: GatewayRequest, usage: BudgetUsage): void
  /**
   * Prints each warning as `[budget-warn] …` through `console.warn`.
   *
   * @throws a {@link GatewayError} of kind `budget_exceeded` when a policy blocks.
   */
  enforce(request: GatewayRequest, estimated: BudgetUsage, requestId?: string): void
}
