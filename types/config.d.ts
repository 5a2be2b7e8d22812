/** Configuration: the contents of the files. */

import type { GatewayError } from './errors.js'
import type { GatewayOptions } from './gateway.js'

/** How a provider is authenticated. Keys live in environment variables and are read when the provider is built. */
export interface ProviderAuth {
  /**
   * `apiKey` sends the key as the family does, `bearer` as `Authorization: Bearer`, `customHeader` in `headerName` alone;
   * `anthropic` keeps `x-api-key` in each case. `none` sends no key.
   */
  type: 'apiKey' | 'bearer' | 'none' | 'customHeader'
  /**
   * Name of the environment variable that holds the key. Required for every type but `none`, except where the family has
   * a usual one (`docs/providers.md`).
   */
  envVar?: string
  /**
   * In place of `envVar`: variables of several keys, which take turns. A key that is refused rests, and the call goes on
   * with the next; those that are not set are passed over. Not for the key pairs of `bedrock`.
   */
  envVars?: string[]
  /** For `customHeader`. */
  headerName?: string
}

/** When and how often a failed attempt (429, 502, 503, 504, timeout, lost connection) is repeated. */
export interface ProviderRetry {
  /** Attempts in all. Default: 1. */
  maxAttempts?: number
  /**
   * Milliseconds before the second attempt, doubled for each one after, times a random factor of 0.85 to 1.15.
   * Default: 500.
   */
  backoffMs?: number
  /** Milliseconds; an upstream that asks for a longer wait (`Retry-After`) ends the attempts. Default: 60,000. */
  maxRetryAfterMs?: number
  /** `full`: a wait is anything from nothing to the whole, so that many callers do not come back at once. Default: `small`, 15 % up or down. */
  jitter?: 'small' | 'full'
}

/** What is let through in a minute; a minute's worth may come at once. Absent: no limit. */
export interface RateLimit {
  requestsPerMinute?: number
  /** A call's estimate is counted: its prompt, and `maxTokens` or 256 of answer. */
  tokensPerMinute?: number
}

/** When a target (an entry and a model) is let alone, and for how long. */
export interface BreakerOptions {
  /** Failures in a row that open it. Default: 5. */
  failureThreshold?: number
  /** Milliseconds until the first probe. Default: 60,000. */
  cooldownMs?: number
  /** Probes, one at a time, that must succeed to close it. Default: 3. */
  halfOpenMaxRequests?: number
}

/** Looks after a provider by asking for its models, also while nobody calls it; without effect where it has no such list. */
export interface HealthCheckOptions {
  /** Milliseconds between two checks. Default: 30,000. */
  intervalMs?: number
}

/** One provider: an entry of `gateway.providers.json`. */
export interface ProviderConfig {
  /** The name by which rules and chains refer to this entry. */
  name: string
  /**
   * The family: `openai`, `anthropic`, `openrouter`, `gemini`, `azure`, `bedrock`, `workers-ai`, `mock` (answers without
   * network and key, for tests and demos), a compatible service (`docs/providers.md` lists them), or one in
   * {@link GatewayOptions.customProviders}.
   */
  provider: string
  /** Default: the family's public address. A trailing slash does not matter. */
  baseUrl?: string
  /** Default: true. */
  enabled?: boolean
  /** The model of calls that name none. Default: the first of `models`. */
  defaultModel?: string
  /** Empty: those that the gateway knows of the family; the original's three families must name theirs. */
  models: string[]
  /**
   * Milliseconds for one attempt, its whole answer included; for a stream, for the wait for each next byte.
   * Default: 30,000 for `openai` and `mock`, 60,000 for all others, none for providers written in JavaScript.
   */
  timeoutMs?: number
  retry?: ProviderRetry
  auth: ProviderAuth
  /** Added to each call. */
  headers?: Record<string, string>
  /** Bytes; a longer answer is refused while it is read. Default: 33,554,432 (32 MiB). */
  maxResponseBytes?: number
  /** Milliseconds that a stream nobody reads is kept open. Default: 300,000. */
  streamIdleMs?: number
  options?: ProviderOptions
  /** Sends this entry's calls through Cloudflare AI Gateway. An explicit `baseUrl` wins. */
  cloudflareGateway?: CloudflareGateway
  /** Its share of a pool's traffic beside the others'. Default: 1. */
  weight?: number
  /** In pools of strategy `priority`: lower numbers come first. Default: 0. */
  priority?: number
  /** Calls at once; further ones wait in turn. Default: no bound. */
  maxConcurrency?: number
  /** Calls above it are `rate_limited`, and nothing is sent. */
  rateLimit?: RateLimit
  /** Guards every call of this entry. Targets of pools are guarded in any case, by the defaults where this is not set. */
  breaker?: BreakerOptions
  healthCheck?: HealthCheckOptions
}

/** What only one family understands. */
export interface ProviderOptions {
  /** `mock`: milliseconds before each token of a stream. Default: 0. */
  delayMs?: number
  /** OpenAI-like families: `responses` asks through the Responses API. Default: chat completions. */
  api?: 'chat' | 'responses'
  /** `azure`: the `api-version` of each address. Default: none, or that of the deployments' addresses. */
  apiVersion?: string
  /** `azure`: a deployment that is called by its own address. */
  deployment?: string
  /** `azure`: the name of the resource, where there is no `baseUrl`. */
  resource?: string
  /** `bedrock`: the AWS region. Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, then `us-east-1`. */
  region?: string
  /** `workers-ai`: the Cloudflare account. */
  accountId?: string
  [option: string]: unknown
}

/** Where Cloudflare AI Gateway stands in for the vendor's own address. */
export interface CloudflareGateway {
  accountId: string
  gatewayId: string
  /** The environment variable of the token of an authenticated gateway. */
  tokenEnvVar?: string
  /** Seconds that answers are kept in its cache. */
  cacheTtl?: number
  /** Its cache is passed by. */
  skipCache?: boolean
  /** Default: Cloudflare's own address, `https://gateway.ai.cloudflare.com/v1`. */
  baseUrl?: string
}

/** The object form of `gateway.providers.json`. */
export interface ProvidersFile {
  providers: ProviderConfig[]
  /** For every entry of the families `openai` and `anthropic` that has none of its own. */
  cloudflareGateway?: CloudflareGateway
}

/** A rule matches when each field set here equals the request's. */
export interface RouteMatch {
  taskType?: string
  userTier?: string
  sensitivity?: 'low' | 'medium' | 'high'
  feature?: string
  /** A pattern for the request's model: `*` stands for any text, `?` for one character. */
  model?: string
}

/** Where the calls of a rule go. */
export interface RouteTarget {
  /** Name of a {@link ProviderConfig}. */
  provider: string
  /** Default: the provider's own default. `model` of the request comes first. */
  model?: string
  /** Name of a {@link FallbackChain}, whose steps then take the place of `provider`. */
  fallbackChain?: string
}

/** One member of a pool. */
export interface PoolMember {
  /** Name of a {@link ProviderConfig}. */
  provider: string
  /** Default: the request's model where the provider lists it, else the provider's own default. */
  model?: string
  /** Above 0, in place of the entry's. */
  weight?: number
}

/** How a pool picks; `docs/routing.md` says when to use which. */
export type PoolStrategy =
  | 'priority'
  | 'weighted'
  | 'round_robin'
  | 'least_busy'
  | 'consistent_hash'
  | 'cost'
  | 'latency'
  | 'hybrid'

/** How much each matters to `hybrid` beside the others; 0: not at all. Default: 1 each. */
export interface PoolWeights {
  cost?: number
  latency?: number
  quality?: number
}

/** A target of several providers, of which a strategy picks; when one fails, another is asked. */
export interface PoolTarget {
  pool: PoolMember[]
  /** Default: `priority`. */
  strategy?: PoolStrategy
  /** For `consistent_hash`: the request's field whose value chooses. Default: `userId`. */
  hashKey?: 'userId' | 'userTier' | 'feature' | 'taskType' | 'model' | `metadata.${string}`
  /** For `hybrid`. */
  weights?: PoolWeights
  /** Members that one call is tried at. Default: all. */
  maxAttempts?: number
  /** Name of a {@link FallbackChain} that goes on where the pool has failed. */
  fallbackChain?: string
}

/** Asks another target of the rule where one takes long; the first that answers wins, the others are cancelled. */
export interface HedgeOptions {
  /** Milliseconds; `p95`: as long as 95 % of the target's answers take to begin, and not before 20 of them are known. */
  afterMs: number | 'p95'
  /** Further targets that are asked. Default: 1. */
  maxExtra?: number
}

/** Limits of a rule. */
export interface RouteConstraints {
  /** US dollars; the rule is passed over when the call's estimate is higher. */
  maxCostUsd?: number
  /** Tokens; the rule is passed over when the prompt's estimate is higher. */
  maxInputTokens?: number
  /** Milliseconds for the whole call, retries and fallbacks included. */
  maxLatencyMs?: number
}

/** One routing rule. */
export interface RouteRule {
  name: string
  /** The matching rule of the highest priority is taken; of equals, the one written first. */
  priority: number
  /** Default: true. */
  enabled?: boolean
  match: RouteMatch
  target: RouteTarget
  constraints?: RouteConstraints
  hedge?: HedgeOptions
}

/** A rule whose target is a pool. */
export interface PoolRule extends Omit<RouteRule, 'target'> {
  target: PoolTarget
}

/**
 * What makes a chain go on: `timeout` (`provider_timeout`), `rate_limit` (`provider_rate_limit`, `rate_limited`),
 * `budget_exceeded`, `provider_error` (any other failure). `manual` is never raised.
 */
export type FallbackTrigger = 'timeout' | 'rate_limit' | 'provider_error' | 'budget_exceeded' | 'manual'

/** One step of a {@link FallbackChain}. */
export interface FallbackStep {
  /** Name of a {@link ProviderConfig}. */
  provider: string
  /** In place of the request's model. Default: the request's if the provider lists it, else the provider's own. */
  model?: string
  /** Failures of the step before that lead here; none listed: any. The first step is always tried. */
  when?: FallbackTrigger[]
  /** Milliseconds, in place of the provider's own `timeoutMs`. */
  timeoutMs?: number
}

/** Providers tried one after the other. */
export interface FallbackChain {
  name: string
  steps: FallbackStep[]
  /**
   * `cloudflare`: the whole chain is one call to Cloudflare's Universal Endpoint, where every step goes through the same
   * {@link CloudflareGateway}; `when` has no effect there. Default: `gateway`, step by step.
   */
  execution?: 'gateway' | 'cloudflare'
  /** Answered, `degraded: true` and at no cost, when all steps have failed. */
  degradedReply?: string
}

/** Whose calls a budget counts. */
export interface BudgetScope {
  /** `user` counts by the request's `userTier`. */
  type: 'global' | 'user' | 'feature' | 'model'
  /** Limits the policy to this value. Default: each value has a count of its own. */
  key?: string
}

/** Limits of a {@link BudgetPolicy}; 0 and absent mean none. */
export interface BudgetLimits {
  maxInputTokens?: number
  maxOutputTokens?: number
  maxTotalTokens?: number
  /** US dollars. */
  maxCostUsd?: number
  /** Fraction of a limit, 0 to 1, from which on the policy warns. */
  warnAt?: number
}

/** A limit on tokens or money. */
export interface BudgetPolicy {
  name: string
  scope: BudgetScope
  /** Rolling: each window starts with its first call; `month` is 30 days. `request` limits each call by its estimate. */
  window: 'request' | 'hour' | 'day' | 'month'
  limits?: BudgetLimits
  /**
   * `soft` warns through `console.warn`. `hard` refuses a call once what is spent, and reserved by calls in flight,
   * exceeds a limit. `strict` refuses a call whose own upper bound could pass the limit, so that it is never passed. Refusals are `BUDGET_EXCEEDED`, 429.
   */
  enforcement: 'soft' | 'hard' | 'strict'
  /** For `strict`: upper bound of an answer whose request sets no `maxTokens`; sent upstream. Default: 4,096. */
  maxOutputTokensPerCall?: number
}

/** What holds for a whole gateway: the contents of `gateway.settings.json`. All of it may be left out. */
export interface GatewaySettings {
  /** Answers that are kept for identical calls, apart for each `userId`. A request's own `cache` comes first. */
  cache?: {
    /** Default: false. */
    enabled?: boolean
    /** Milliseconds that an answer is kept. Default: 300,000. */
    ttlMs?: number
    /** Answers that are kept, in 64 MiB at most. Default: 10,000. */
    maxEntries?: number
  }
  /** Identical calls in flight share one upstream call, which the first of them pays. Default: false. */
  dedupe?: boolean
  /** For each `userId`; calls without one count together. */
  limits?: RateLimit
  /** How much further attempts may add to the traffic of pools. */
  retryBudget?: {
    /** Further attempts for each call. Default: 0.15. */
    ratio?: number
    /** Further attempts that are there to begin with. Default: 30. */
    reserve?: number
  }
  /** How good a model is, 0 to 1, for pools of strategy `hybrid`. Default: 0.5 each. */
  quality?: Record<string, number>
}

/** The whole configuration of a gateway. */
export interface GatewayConfig {
  providers: ProviderConfig[]
  routes: RouteRule[]
  fallbackChains: FallbackChain[]
  budgets: BudgetPolicy[]
  settings?: GatewaySettings
}

/** A {@link GatewayConfig} whose rules may have pools. */
export interface PoolGatewayConfig extends Omit<GatewayConfig, 'routes'> {
  routes: (RouteRule | PoolRule)[]
}

/** File names in place of the usual ones, relative to the directory. */
export interface ConfigPaths {
  /** An array of {@link ProviderConfig}, or {@link ProvidersFile}. Default: `gateway.providers.json`. */
  providers?: string
  /** `{rules, fallbackChains?}`. Default: `gateway.routes.json`. */
  routes?: string
  /** An array of {@link BudgetPolicy}. Default: `gateway.budgets.json`. */
  budgets?: string
  /** {@link GatewaySettings}. Default: `gateway.settings.json`, which need not be there; a file named here must. */
  settings?: string
}

/** One fault of a configuration. */
export interface ValidationError {
  /** Where: `providers[0].auth.envVar`, `fallbackChains[0].steps[2].when`, … */
  path: string
  message: string
}

/**
 * Reads and validates the configuration files of a directory.
 *
 * Rejects with a {@link GatewayError} of kind `config_invalid` when a file cannot be read or parsed, or has faults.
 */
export function loadConfig(dir: string, paths?: ConfigPaths): Promise<GatewayConfig>

/**
 * Validates a configuration given as the contents of the files. Rules with pools are in the result as they are; its type
 * calls them {@link RouteRule}.
 *
 * @throws a {@link GatewayError} of kind `config_invalid` that lists every fault.
 */
export function loadConfigFromObjects(raw: {
  providers: ProviderConfig[] | ProvidersFile
  routes: { rules: (RouteRule | PoolRule)[]; fallbackChains?: FallbackChain[] }
  budgets: BudgetPolicy[]
  settings?: GatewaySettings
}): GatewayConfig

/** @throws a {@link GatewayError} of kind `config_invalid` that lists every fault, one `PATH: MESSAGE` to a line. */
export function validateConfig(raw: unknown): void
