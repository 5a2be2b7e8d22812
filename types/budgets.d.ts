/** Budgets without a gateway, and how a gateway's budgets stand. */

import type { BudgetLimits, BudgetPolicy, CalendarBudgetPolicy } from './config.js'
import type { GatewayError } from './errors.js'
import type { Gateway, GatewayOptions } from './gateway.js'
import type { GatewayRequest } from './requests.js'

/** Tokens and cost of a call, estimated or real. */
export interface BudgetUsage {
  /** Tokens of the prompt. */
  inputTokens: number
  /** Tokens of the answer. */
  outputTokens: number
  /** US dollars. */
  costUsd: number
}

/** Tokens and dollars that are spent or reserved. */
export interface BudgetAmount extends BudgetUsage {
  /** Tokens of prompts and answers together. */
  totalTokens: number
}

/** How a budget stands for one scope value, as {@link Gateway.budgets} reports it. */
export interface BudgetStanding {
  /** Name of the policy. */
  policy: string
  /** What it counts by: a user tier, a model, …; `"default"` for calls without one. Absent for scope `global`. */
  scopeValue?: string
  /** In the window that runs; zeros where none does. */
  spent: BudgetAmount
  /** By calls in flight: their estimates, upper bounds where nobody has needed a count. */
  reserved: BudgetAmount
  /** The policy's limits, as configured. */
  limits: BudgetLimits
  /**
   * ISO 8601, UTC. Absent where no window runs, and for the window `request`. One of the calendar always runs; a rolling one
   * begins with a call.
   */
  windowEndsAt?: string
}

/** What a budget warns of, with how it stands at that moment. */
export interface BudgetWarning extends BudgetStanding {
  /**
   * `warn_at`: the `warnAt` fraction of a limit is reached; `soft_limit_exceeded`: a call passes although a limit is exceeded;
   * `refused`: a call, or one of its attempts, does not; `unknown_price`: a call without a known price passes as free.
   */
  kind: 'warn_at' | 'soft_limit_exceeded' | 'refused' | 'unknown_price'
  /** What the line on the console says of it: `[budget-warn] [POLICY] MESSAGE`. */
  message: string
  /** Of the call that brought it about. Absent where no single call did. */
  requestId?: string
}

/** {@link GatewayOptions.onBudgetWarning}. */
export type BudgetWarningHandler = (event: BudgetWarning) => void | Promise<void>

/** The result of {@link BudgetTracker.check}. */
export interface BudgetTrackerResult {
  /** Whether the call may proceed. Always true under `soft` enforcement. */
  allowed: boolean
  /** Whether a limit is exceeded, or its `warnAt` fraction is reached. */
  warn: boolean
  /** Which limit is exceeded; absent when none is. */
  reason?: string
}

/** Counts what has been spent, for policies that you pass with each call. Counts live in this object's memory. */
export class BudgetTracker {
  /** Creates a tracker whose counts are all zero. */
  constructor()
  /** Checks whether `pending` still fits into the policy's limits. Counts nothing. */
  check(policy: BudgetPolicy | CalendarBudgetPolicy, scopeKey: string, pending: BudgetUsage): BudgetTrackerResult
  /** Adds `usage` to the count of the current window. */
  record(policy: BudgetPolicy | CalendarBudgetPolicy, scopeKey: string, usage: BudgetUsage): void
}

/** The result of {@link BudgetGuard.check}. */
export interface BudgetCheckResult {
  /** Whether all policies let the call proceed. */
  allowed: boolean
  /** One `[POLICY] REASON` for each policy that warns or blocks. */
  warnings: string[]
  /** Name of the first policy that blocks the call; absent when none does. */
  blockedBy?: string
}

/** A set of budget policies and their counts. It shares no counts with a gateway, and reserves nothing. */
export class BudgetGuard {
  /**
   * Creates a guard whose counts are all zero.
   *
   * @throws Error that names every fault, when a policy cannot be used.
   */
  constructor(policies: (BudgetPolicy | CalendarBudgetPolicy)[])
  /** Checks whether all policies that apply to the request let `estimated` pass. Counts nothing. */
  check(request: GatewayRequest, estimated: BudgetUsage): BudgetCheckResult
  /** Adds a call's usage to the count of each policy that applies to it. */
  record(request: GatewayRequest, usage: BudgetUsage): void
  /**
   * As {@link BudgetGuard.check}, but prints each warning through `console.warn`, as `[budget-warn] …`.
   *
   * @throws a {@link GatewayError} of kind `budget_exceeded` when a policy blocks the call.
   */
  enforce(request: GatewayRequest, estimated: BudgetUsage, requestId?: string): void
}
