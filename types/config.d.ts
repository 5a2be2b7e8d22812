/** Configuration: the contents of the files. */

import type { GatewayError } from './errors.js'
import type { FamilyWithoutDefaults, ProviderFamily } from './families.js'
import type { Gateway, GatewayOptions } from './gateway.js'
import type { ModelPricing } from './pricing.js'
import type { GatewayRequest, GatewayResponse } from './requests.js'

/** How a provider is authenticated. Keys live in environment variables, which are read when the provider is built. */
export interface ProviderAuth {
  /**
   * How the key is sent. `apiKey`: the way the family expects it; `bearer`: `Authorization: Bearer KEY`; `customHeader`: in
   * the header `headerName` alone; `none`: no key is sent. `anthropic` sends `x-api-key` for all but `none`.
   */
  type: 'apiKey' | 'bearer' | 'none' | 'customHeader'
  /**
   * Name of the environment variable that holds the key. If it is not set, the entry is skipped with a `console.warn`. Default:
   * the family's variable (`docs/providers.md` lists them); required without one, unless `envVars` is set or `type` is `none`.
   */
  envVar?: string
  /**
   * Names of several variables, whose keys are used in rotation, instead of `envVar`. A key answered with 401, 403 or 429 goes
   * into a cooldown, and the call continues with the next key; variables that are not set are ignored. Default: none. Not for
   * `bedrock` with `type: "apiKey"`, where a key is a pair.
   */
  envVars?: string[]
  /** Name of the header for `customHeader`. Default: none, and then no key is sent. */
  headerName?: string
}

/** When and how often a failed attempt (429, 502, 503, 504, timeout, lost connection) is repeated at the same provider. */
export interface ProviderRetry {
  /** Attempts in all, the first included. Default: 1, which means no retry. */
  maxAttempts?: number
  /**
   * Milliseconds before the second attempt; doubled for each one after, with `jitter`. A `Retry-After` of the upstream takes
   * its place. Default: 500.
   */
  backoffMs?: number
  /** Milliseconds: the longest `Retry-After` to wait for. A longer one ends the attempts. Default: 60,000. */
  maxRetryAfterMs?: number
  /**
   * How backoff times are spread, so that many callers do not come back at once: `small` by 15 % up or down, `full` anywhere
   * from zero to the whole time. Default: `small`.
   */
  jitter?: 'small' | 'full'
}

/** Token buckets: each holds one minute's worth, all of which may be used at once, and refills evenly. */
export interface RateLimit {
  /** Requests per minute, 1 or more. Default: no limit. */
  requestsPerMinute?: number
  /**
   * Tokens per minute, 1 or more. Each call counts with its estimate: the prompt, and `maxTokens` or else 256 tokens of
   * output. Default: no limit.
   */
  tokensPerMinute?: number
}

/** When the circuit breaker of a target (an entry and a model) opens, and for how long. */
export interface BreakerOptions {
  /** Failures in a row that open the breaker, 1 or more. Default: 5. */
  failureThreshold?: number
  /** Milliseconds that the breaker stays open before it lets a first probe through (half-open). Default: 60,000. */
  cooldownMs?: number
  /** Successful half-open probes, made one at a time, that close the breaker; 1 or more. Default: 3. */
  probesToClose?: number
  /**
   * The old name of `probesToClose`; where both are set they must be equal. Default: 3.
   *
   * @deprecated Use `probesToClose`.
   */
  halfOpenMaxRequests?: number
}

/**
 * Active health checks: the entry is asked for its list of models. They have no effect where a family or service has no such
 * list.
 */
export interface HealthCheckOptions {
  /** Milliseconds between two checks, 1 or more. Default: 30,000. */
  intervalMs?: number
}

/** One provider: an entry of `gateway.providers.json`. {@link ProviderEntry} is the same with `models` optional. */
export interface ProviderConfig {
  /** Name of this entry, used by rules and chains, and the `provider` of answers. Of two entries with one name the last wins. */
  name: string
  /**
   * The family: which API this provider speaks. `mock` answers without network and key, for tests. Any other name must be one
   * of {@link GatewayOptions.customProviders}.
   */
  provider: ProviderFamily | (string & {})
  /**
   * Address of the API, `http:` or `https:`, with the version path as the vendor writes it (for `anthropic` without). A
   * trailing slash does not matter. Default: the family's public address.
   */
  baseUrl?: string
  /** `false` leaves this entry out. Default: true. */
  enabled?: boolean
  /** Model of calls for which neither request nor rule names one. Default: the first of `models`. */
  defaultModel?: string
  /**
   * Models that this provider serves; a request may name others. With an empty list the family's default models are used,
   * except by `openai`, `anthropic`, `openrouter`, `mock` and custom families, which must name theirs.
   */
  models: string[]
  /**
   * Milliseconds for one attempt, the whole answer included; for a stream, the wait for its head and then for each next byte.
   * Default: 30,000 for `openai` and `mock`, 60,000 for all other families, none for providers written in JavaScript.
   */
  timeoutMs?: number
  /** Retries of failed attempts. Default: none. Providers written in JavaScript are never retried. */
  retry?: ProviderRetry
  /** Where the API key is, and how it is sent. */
  auth: ProviderAuth
  /** HTTP headers added to each call. They may replace the family's own. Default: none. */
  headers?: Record<string, string>
  /** Bytes: a longer answer is refused while it is read (`provider_response`). Default: 33,554,432 (32 MiB). */
  maxResponseBytes?: number
  /**
   * Other hosts (`name`, or `name:port`) that a redirect may carry a request to, without its key and without the entry's headers.
   * Default: none; a redirect to another host is an error (`provider_response`).
   */
  redirectHosts?: string[]
  /**
   * Whether HTTP/2 is spoken: many calls share a TLS connection. For `https:` addresses; a server that does not offer it, and an
   * `http:` address, is spoken to over HTTP/1.1. Default: `false`. Providers written in JavaScript have connections of their own.
   */
  http2?: boolean
  /**
   * Whether the vendor sees a request's `userId`, in the field that it has for that: as it is (`true`), or its SHA-256 in
   * hexadecimal digits (`'hashed'`). Default: `false`. Providers written in JavaScript get it as it is.
   */
  sendUserId?: boolean | 'hashed'
  /** Milliseconds after which a stream that nobody reads is closed. Default: 300,000. */
  streamIdleMs?: number
  /** Options that only one family understands. Default: none. */
  options?: ProviderOptions
  /**
   * Sends this entry's calls through Cloudflare AI Gateway; an explicit `baseUrl` wins. Default: that of
   * {@link ProvidersFile.cloudflareGateway} for `openai` and `anthropic`, else none; `null` switches it off for one entry.
   */
  cloudflareGateway?: CloudflareGateway | null
  /** Share of a pool's traffic, relative to its other members; above 0. Default: 1. */
  weight?: number
  /**
   * What a model without a known price is at this entry: refused under any limit in dollars, free, or at this price. Default:
   * what the budget says.
   */
  unknownPrice?: UnknownPrice
  /** Rank in pools with strategy `priority`: lower numbers are tried first. Default: 0. */
  priority?: number
  /**
   * Most calls at once; up to 1,000 more of each user wait in a queue that serves the users in turn, for `timeoutMs` at most.
   * Further ones are `rate_limited`. Default: no limit.
   */
  maxConcurrency?: number
  /** Most calls and tokens per minute. Calls above it are `rate_limited` (429), and nothing is sent. Default: no limit. */
  rateLimit?: RateLimit
  /**
   * A circuit breaker for all calls of this entry; `{}` for one with default values. Default: none, except for members of
   * pools, which always have one.
   */
  breaker?: BreakerOptions
  /** Checks the provider's health at intervals, even while nobody calls it; `{}` for the default interval. Default: no checks. */
  healthCheck?: HealthCheckOptions
}

/**
 * A provider entry as you may write it: as {@link ProviderConfig}, but families with default models may leave `models` out.
 * There are two types because code written against ai-gateway-lite's `ProviderConfig`, which requires `models`, must keep
 * compiling.
 */
export type ProviderEntry = ProviderConfig | DefaultedProviderConfig

/** An entry of a family that has default models. */
export interface DefaultedProviderConfig extends Omit<ProviderConfig, 'provider' | 'models'> {
  /** The family: which API this provider speaks. */
  provider: Exclude<ProviderFamily, FamilyWithoutDefaults>
  /**
   * Models that this provider serves. Default: the family's, where the service has models for everybody (`docs/providers.md`);
   * otherwise each request or rule names a model.
   */
  models?: string[]
}

/** Options of a provider entry that only one family understands. Not to be confused with `providerOptions` of a request. */
export interface ProviderOptions {
  /** `mock`: milliseconds before each token of a stream. Default: 0. */
  delayMs?: number
  /** OpenAI-like families: `responses` uses the Responses API. Default: `chat`, chat completions. */
  api?: 'chat' | 'responses'
  /** `azure`: the `api-version` query parameter. Default: none; `2024-10-21` with `deployment`. */
  apiVersion?: string
  /** `azure`: the deployment, called by its older address `/openai/deployments/NAME`. Default: none. */
  deployment?: string
  /** `azure`: name of the resource, required without a `baseUrl`. Default: none. */
  resource?: string
  /** `bedrock`: the AWS region. Default: `AWS_REGION`, then `AWS_DEFAULT_REGION`, then `us-east-1`. */
  region?: string
  /** `workers-ai`: id of the Cloudflare account, required without a `baseUrl`. Default: none. */
  accountId?: string
  /** Options of your own, for a factory in {@link GatewayOptions.customProviders}. */
  [option: string]: unknown
}

/** A Cloudflare AI Gateway that calls are sent through, instead of to the vendor's own address. */
export interface CloudflareGateway {
  /** Id of the Cloudflare account. */
  accountId: string
  /** Id (slug) of the AI Gateway. */
  gatewayId: string
  /** Name of the environment variable that holds the token of an authenticated gateway. Default: no token is sent. */
  tokenEnvVar?: string
  /** Seconds that Cloudflare caches an answer. Default: as set in Cloudflare. */
  cacheTtl?: number
  /** `true` bypasses Cloudflare's cache. Default: false. */
  skipCache?: boolean
  /** Address before the account id. Default: `https://gateway.ai.cloudflare.com/v1`. */
  baseUrl?: string
}

/** The object form of `gateway.providers.json`. */
export interface ProvidersFile {
  /** The provider entries. */
  providers: ProviderEntry[]
  /** For every entry of the families `openai` and `anthropic` that sets none itself. Default: none. */
  cloudflareGateway?: CloudflareGateway
}

/** A rule matches when each field set here equals the request's field of that name. `{}` matches every request. */
export interface RouteMatch {
  /** Compared with {@link GatewayRequest.taskType}. Default: any. */
  taskType?: string
  /** Compared with {@link GatewayRequest.userTier}. Default: any. */
  userTier?: string
  /** Compared with {@link GatewayRequest.sensitivity}. Default: any. */
  sensitivity?: 'low' | 'medium' | 'high'
  /** Compared with {@link GatewayRequest.feature}. Default: any. */
  feature?: string
  /**
   * Glob pattern for {@link GatewayRequest.model}: `*` stands for any text, `?` for one character. A request without a model
   * does not match. Default: any.
   */
  model?: string
}

/** Where the calls of a rule go: one provider, and a fallback chain. */
export interface RouteTarget {
  /** Name of a {@link ProviderConfig}. */
  provider: string
  /** Model of calls that name none. Default: the provider's `defaultModel`, then the first of its `models`. */
  model?: string
  /** Name of a {@link FallbackChain}, whose steps are then tried instead of `provider` alone. Default: none. */
  fallbackChain?: string
}

/** One target of a pool. */
export interface PoolMember {
  /** Name of a {@link ProviderConfig}. */
  provider: string
  /** Model to ask for. Default: the request's if the provider lists it, else the provider's default, else the request's. */
  model?: string
  /** Share of the pool's traffic, above 0. Default: the entry's `weight`. */
  weight?: number
}

/** How a pool picks its next target; `docs/routing.md` explains when to use which. */
export type PoolStrategy =
  | 'priority'
  | 'weighted'
  | 'round_robin'
  | 'least_busy'
  | 'consistent_hash'
  | 'cost'
  | 'latency'
  | 'hybrid'

/** Weights of the `hybrid` strategy, relative to each other; 0 or more, and not all of them 0. */
export interface PoolWeights {
  /** Weight of the estimated price; lower is better. Default: 1. */
  cost?: number
  /** Weight of the time to first token; lower is better. Default: 1. */
  latency?: number
  /** Weight of {@link GatewaySettings.quality}; higher is better. Default: 1. */
  quality?: number
}

/** A rule's target that is a pool: a strategy picks a provider, and the next one when it fails. */
export interface PoolTarget {
  /** The pool's members, at least one. */
  pool: PoolMember[]
  /** How the next member is picked; another name is one of the gateway's `strategies`. Default: `priority`. */
  strategy?: PoolStrategy | (string & {})
  /** For `consistent_hash`: the request field whose value picks the member. Default: `userId`. */
  hashKey?: 'userId' | 'userTier' | 'feature' | 'taskType' | 'model' | `metadata.${string}`
  /** Weights of the `hybrid` strategy. Default: 1 each. */
  weights?: PoolWeights
  /** Most members that one call is tried at, 1 or more. Default: all. */
  maxAttempts?: number
  /** Name of a {@link FallbackChain} to continue with when the pool has failed. Default: none. */
  fallbackChain?: string
}

/** Hedging: a slow call is sent to another target as well. The first answer wins, and the other calls are cancelled. */
export interface HedgeOptions {
  /**
   * Milliseconds to wait before the call is hedged, 1 or more; `p95`: the 95th percentile of the target's time to first token,
   * once it is known from 20 answers.
   */
  afterMs: number | 'p95'
  /** Most further targets that are asked, 1 or more. Default: 1. */
  maxExtra?: number
}

/** Limits of a rule. The first two exclude the rule when the call's estimate exceeds them; the third is a deadline. */
export interface RouteConstraints {
  /** US dollars. The rule is skipped when the call's estimated cost is higher. Default: no limit. */
  maxCostUsd?: number
  /** Tokens. The rule is skipped when the prompt's estimate is higher. Default: no limit. */
  maxInputTokens?: number
  /** Milliseconds for the whole call, retries and fallbacks included; then `provider_timeout`. Default: no deadline. */
  maxLatencyMs?: number
}

/** One routing rule, whose target is one provider. */
export interface RouteRule {
  /** Name of the rule, shown as `routeRule` in the usage log. */
  name: string
  /** Rules are tried from the highest priority to the lowest, equals in the order in which you wrote them. */
  priority: number
  /** `false` leaves this rule out. Default: true. */
  enabled?: boolean
  /** Which requests this rule is for. */
  match: RouteMatch
  /** Where its calls go. */
  target: RouteTarget
  /** Limits of cost, tokens and time. Default: none. */
  constraints?: RouteConstraints
  /** Asks another target when the first one is slow. Default: no hedging. */
  hedge?: HedgeOptions
}

/**
 * A routing rule as you may write it: as {@link RouteRule}, but with `match` optional. There are two types because code written
 * against ai-gateway-lite's `RouteRule`, which requires `match`, must keep compiling.
 */
export interface RuleEntry extends Omit<RouteRule, 'match'> {
  /** Which requests this rule is for. Default: all. */
  match?: RouteMatch
}

/**
 * A routing rule whose target is a pool. It is a type of its own because code written against ai-gateway-lite's `RouteRule`,
 * which reads `target.provider`, must keep compiling.
 */
export interface PoolRule extends Omit<RuleEntry, 'target'> {
  /** The pool that its calls go to. */
  target: PoolTarget
}

/**
 * Why a step failed, as `when` of the next step knows it: `timeout` (`provider_timeout`), `rate_limit`
 * (`provider_rate_limit`, `rate_limited`), `budget_exceeded`, `provider_error` (any other failure). `manual` is never raised.
 */
export type FallbackTrigger = 'timeout' | 'rate_limit' | 'provider_error' | 'budget_exceeded' | 'manual'

/** One step of a {@link FallbackChain}. */
export interface FallbackStep {
  /** Name of a {@link ProviderConfig}. */
  provider: string
  /**
   * Model to ask for, whatever the request names. Default: the rule's model for the rule's own provider, else the request's if
   * this provider lists it, else this provider's default.
   */
  model?: string
  /** Failures of the previous step that lead to this one; any other ends the chain. Default: any failure. */
  when?: FallbackTrigger[]
  /** Milliseconds for this step, instead of the provider's own `timeoutMs`. Default: the provider's. */
  timeoutMs?: number
}

/** Providers that are tried one after the other. */
export interface FallbackChain {
  /** Name of the chain, used by `fallbackChain` of targets. */
  name: string
  /** The steps, at least one. The first is always tried (after a pool: if its `when` allows it). */
  steps: FallbackStep[]
  /**
   * `gateway`: step by step; `cloudflare`: the whole chain is one call to Cloudflare's Universal Endpoint, for which all steps
   * must use the same {@link CloudflareGateway}, and `when` has no effect. Default: `gateway`.
   */
  execution?: 'gateway' | 'cloudflare'
  /**
   * Text to answer with when all steps have failed, marked {@link GatewayResponse.degraded}, at no cost. Default: none; the
   * last error is thrown.
   */
  degradedReply?: string
}

/** Whose calls a budget counts together. */
export interface BudgetScope {
  /**
   * `global`: all calls; `user`: by the request's `userTier`; `userId`: by its `userId`; `feature`: by its `feature`; `model`,
   * `provider`: by the model and the entry that an attempt asks; `key`, `team`: by the id of a server's client key and by its
   * team, which calls in process do not have.
   */
  type: 'global' | 'user' | 'userId' | 'feature' | 'model' | 'provider' | 'key' | 'team'
  /** Limits the policy to calls with this value. Default: it is for all values, and each has a count of its own. */
  key?: string
}

/** Limits of a {@link BudgetPolicy}; 0 means no limit. */
export interface BudgetLimits {
  /** Tokens of prompts. Default: no limit. */
  maxInputTokens?: number
  /** Tokens of answers. Default: no limit. */
  maxOutputTokens?: number
  /** Tokens of prompts and answers together. Default: no limit. */
  maxTotalTokens?: number
  /** US dollars. Default: no limit. */
  maxCostUsd?: number
  /** Fraction of a limit, 0 to 1, at which the policy warns, once per window and limit. Default: no warning. */
  warnAt?: number
}

/** A limit on tokens or money, within a window of time. */
export interface BudgetPolicy {
  /** Name of the policy, shown in warnings and as `details.policy` of errors. */
  name: string
  /** Whose calls are counted together. */
  scope: BudgetScope
  /**
   * The time that is counted. Windows are rolling: each starts with its first call; `month` is 30 days. `request` checks each
   * call alone, by its estimate.
   */
  window: 'request' | 'hour' | 'day' | 'month'
  /** The limits. Default: none, and the policy has no effect. */
  limits?: BudgetLimits
  /**
   * `soft` only warns, through `console.warn`. `hard` refuses a call once the tokens or dollars spent, together with those
   * reserved by calls in flight, exceed a limit. `strict` refuses a call whose upper bound does not fit, so that a limit is
   * never exceeded. Refusals are `budget_exceeded` (429).
   */
  enforcement: 'soft' | 'hard' | 'strict'
  /**
   * For `strict`: most output tokens of a request without `maxTokens`; sent to the provider as the answer's limit.
   * Default: 4,096.
   */
  maxOutputTokensPerCall?: number
  /**
   * What happens while the store of `settings.state` is away: calls are refused, or counted in this process and passed on when it is
   * back. Default: `fail_closed` under `strict`, else `local`.
   */
  onStoreError?: 'fail_closed' | 'local'
  /**
   * What models without a known price are under `maxCostUsd`: refused, free, or at this price for this policy. Default:
   * `refuse` under `strict`, otherwise free with one warning for each model.
   */
  unknownPrice?: UnknownPrice
}

/** Windows of the calendar: they begin and end when the clocks of the time zone say so. */
export interface CalendarWindow {
  /** A week begins on Monday. A day may have 23 or 25 hours. */
  unit: 'hour' | 'day' | 'week' | 'month'
  /** IANA name, such as `Europe/Berlin`. Default: `UTC`. */
  timeZone?: string
}

/**
 * A budget policy whose windows are the calendar's. It is a type of its own because code written against ai-gateway-lite's
 * `BudgetPolicy`, whose `window` is a word, must keep compiling.
 */
export interface CalendarBudgetPolicy extends Omit<BudgetPolicy, 'window'> {
  /** The time that is counted. */
  window: CalendarWindow
}

/** Prices of a model: numbers of 0 or more. */
export interface ModelPrices {
  /** US dollars per 1,000 tokens of the prompt. */
  inputPer1kTokens: number
  /** US dollars per 1,000 tokens of the answer. */
  outputPer1kTokens: number
  /** US dollars per 1,000 tokens read from a prompt cache. Default: as `inputPer1kTokens`. */
  cacheReadPer1kTokens?: number
  /** US dollars per 1,000 tokens written to a prompt cache. Default: as `inputPer1kTokens`. */
  cacheWritePer1kTokens?: number
}

/** What a model without a known price is; prices are US dollars per 1,000 tokens. */
export type UnknownPrice = 'refuse' | 'free' | ModelPricing

/** The cache of whole answers, for identical calls. Each `userId` has its own. */
export interface CacheSettings {
  /** `true` switches the cache on for all requests that do not set `cache` themselves. Default: false. */
  enabled?: boolean
  /** Milliseconds that an answer is cached, 1 or more. Default: 300,000. */
  ttlMs?: number
  /** Most cached answers, 1 or more, which may take 64 MiB together. Default: 10,000. */
  maxEntries?: number
}

/** Whose calls a {@link UserLimit} counts together. `key` is a server's client key, which calls in process do not have. */
export type LimitKey = 'userId' | 'userTier' | 'key' | `metadata.${string}`

/** What each caller may use. Calls without a value of `per` are one more caller's. */
export interface UserLimit extends RateLimit {
  /** Most calls at once, 1 or more; a stream counts until it ends. Further ones are `rate_limited`. Default: no limit. */
  maxConcurrency?: number
  /** Whose calls count together. Default: `userId`. */
  per?: LimitKey
}

/** How many retries, further pool members and hedges pools may add to their traffic, so that an outage does not multiply it. */
export interface RetryBudgetSettings {
  /** Extra attempts that each call adds to the balance. Default: 0.15. */
  ratio?: number
  /** Extra attempts in the balance at the start. It never grows beyond this number, or 10 if that is more. Default: 30. */
  reserve?: number
}

/** Settings of a whole gateway: the contents of `gateway.settings.json`. */
export interface GatewaySettings {
  /** Cache of answers to identical calls; a request's own `cache` takes precedence. Default: off. */
  cache?: CacheSettings
  /** Deduplication: identical calls in flight share one upstream call, and the first of them pays for it. Default: false. */
  dedupe?: boolean
  /** Limits for callers, one or several; a call must pass each. Calls above one are `rate_limited`. Default: no limits. */
  limits?: UserLimit | UserLimit[]
  /** Limits the extra attempts of pools. Default: a ratio of 0.15 and a reserve of 30. */
  retryBudget?: RetryBudgetSettings
  /** Quality of models, 0 to 1, by name, for the `hybrid` strategy. Default: 0.5 for each model. */
  quality?: Record<string, number>
  /** Prices by model, over the built-in ones; read again on `reload`. Default: none. */
  prices?: Record<string, ModelPrices>
  /**
   * Where counts of budgets live: `memory:`, `sqlite:PATH`, or a URL that begins with `redis://`, `rediss://`,
   * `redis+cluster://` or `rediss+cluster://`. It stays as it is on `reload()`. Default: `memory:`.
   */
  state?: string
  /** Where usage records are kept: `sqlite:PATH` or `postgres://…`. Default: nowhere. It stays as it is on `reload()`. */
  database?: string
  /**
   * The folder in which records wait for a database that is away. Default: beside the SQLite file, else the user's state
   * folder.
   */
  journal?: string
  /** How long usage records are kept. Default: rows for 30 days. */
  retention?: RetentionSettings
  /** How records wait to be written. Default: 10,000 at most, then further calls are refused. */
  records?: RecordSettings
}

/** The whole configuration of a gateway, as {@link loadConfig} gives it. */
export interface GatewayConfig {
  /** The provider entries. At run time `models` is absent where an entry left it out (see {@link ProviderEntry}). */
  providers: ProviderConfig[]
  /** The routing rules. At run time `match` is absent where a rule left it out (see {@link RuleEntry}), and targets may be pools. */
  routes: RouteRule[]
  /** The fallback chains, `[]` for none. */
  fallbackChains: FallbackChain[]
  /** The budget policies, `[]` for none. At run time windows may be the calendar's (see {@link CalendarBudgetPolicy}). */
  budgets: BudgetPolicy[]
  /** Settings of the whole gateway. Default: all of them at their defaults. */
  settings?: GatewaySettings
}

/**
 * A configuration as {@link Gateway} accepts it: rules may have pools or no `match`, entries no `models`, budgets windows of the
 * calendar. It is a type of its
 * own because code written against ai-gateway-lite's `GatewayConfig` must keep compiling.
 */
export interface PoolGatewayConfig extends Omit<GatewayConfig, 'providers' | 'routes' | 'budgets'> {
  /** The provider entries. */
  providers: ProviderEntry[]
  /** The routing rules, with one provider or a pool. */
  routes: (RuleEntry | PoolRule)[]
  /** The budget policies, `[]` for none. */
  budgets: (BudgetPolicy | CalendarBudgetPolicy)[]
}

/** File names for {@link loadConfig}, relative to its directory. */
export interface ConfigPaths {
  /** File with an array of {@link ProviderEntry}, or a {@link ProvidersFile}. Default: `gateway.providers.json`. */
  providers?: string
  /** File with `{rules, fallbackChains?}`. Default: `gateway.routes.json`. */
  routes?: string
  /** File with an array of {@link BudgetPolicy} and {@link CalendarBudgetPolicy}. Default: `gateway.budgets.json`. */
  budgets?: string
  /** File with {@link GatewaySettings}; it must exist if you name it. Default: `gateway.settings.json`, if there is one. */
  settings?: string
}

/** One fault of a configuration. */
export interface ValidationError {
  /** Path of the field: `providers[0].auth.envVar`, `fallbackChains[0].steps[2].when`, … */
  path: string
  /** What is wrong with it. */
  message: string
}

/** A routes file: `gateway.routes.json`. */
export interface RoutesFile {
  /** The routing rules, with one provider or a pool. */
  rules: (RuleEntry | PoolRule)[]
  /** The fallback chains. Default: none. */
  fallbackChains?: FallbackChain[]
}

/** The contents of all configuration files. */
export interface ConfigFiles {
  /** Contents of `gateway.providers.json`. */
  providers: ProviderEntry[] | ProvidersFile
  /** Contents of `gateway.routes.json`. */
  routes: RoutesFile
  /** Contents of `gateway.budgets.json`, `[]` for none. */
  budgets: (BudgetPolicy | CalendarBudgetPolicy)[]
  /** Contents of `gateway.settings.json`. Default: all settings at their defaults. */
  settings?: GatewaySettings
}

/**
 * Reads and validates the configuration files of a directory.
 *
 * Rejects with a {@link GatewayError} of kind `config_invalid` when a file cannot be read or parsed, or has faults.
 */
export function loadConfig(dir: string, paths?: ConfigPaths): Promise<GatewayConfig>

/**
 * Validates a configuration that you have as objects. Rules with pools are returned as they are, though the return type
 * calls them {@link RouteRule}.
 *
 * @throws a {@link GatewayError} of kind `config_invalid` that lists every fault.
 */
export function loadConfigFromObjects(raw: ConfigFiles): GatewayConfig

/**
 * Validates the contents of configuration files ({@link ConfigFiles}), and returns nothing.
 *
 * @throws a {@link GatewayError} of kind `config_invalid` that lists every fault, one `PATH: MESSAGE` per line.
 */
export function validateConfig(raw: unknown): void

/** How long usage records are kept. The sums that are made of them stay for ever. */
export interface RetentionSettings {
  /** Days that usage rows stay. Default: 30. */
  rowsDays?: number
  /** Bytes that a SQLite database may take; beyond it the oldest rows go. Default: no bound. */
  maxBytes?: number
}

/** How usage records wait to be written. */
export interface RecordSettings {
  /** Records that wait at most. Default: 10,000. */
  queue?: number
  /** When no more can wait: `block` refuses further calls, `drop-oldest` drops and counts. Default: `block`. */
  whenFull?: 'block' | 'drop-oldest'
}
