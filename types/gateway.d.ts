/// <reference lib="esnext.disposable" />

/** The gateway. */

import type { BudgetStanding, BudgetWarningHandler } from './budgets.js'
import type { GatewayConfig, PoolGatewayConfig } from './config.js'
import type { EmbeddingRequest, EmbeddingResponse, ListedModel, ListModelsOptions } from './embeddings.js'
import type { GatewayError } from './errors.js'
import type { ExplainedCandidate, Explanation, ProviderHealth } from './health.js'
import type { Middleware, StreamMiddleware } from './helpers.js'
import type { EventProviderFactory, ProviderFactory } from './providers.js'
import type { GatewayEventStreamResponse, GatewayRequest, GatewayResponse, RichGatewayRequest } from './requests.js'
import type { UsageCsvQuery, UsageLogHandler, UsageQuery, UsageRow } from './usage.js'

/** Options of `new Gateway`. `GatewayOptions<PoolGatewayConfig>` is for a configuration whose rules may have pools. */
export interface GatewayOptions<Config extends PoolGatewayConfig = GatewayConfig> {
  /** The configuration, from `loadConfig` or `loadConfigFromObjects`. */
  config: Config
  /**
   * Called with each entry of the usage log, and awaited within `usageLogTimeoutMs` and the call's own `timeoutMs` and
   * `signal`. One that fails is said once on the console. Default: `console.log('[usage] ' + JSON)`.
   */
  onUsageLog?: UsageLogHandler
  /**
   * Called with what budgets warn of, beside the line on the console. No call waits for it; {@link Gateway.close} does, for at
   * most `usageLogTimeoutMs`. One that fails is said once on the console. Default: the line alone.
   */
  onBudgetWarning?: BudgetWarningHandler
  /** Milliseconds that a call waits for an `onUsageLog` that does not settle, 0 for no bound. Default: 5,000. */
  usageLogTimeoutMs?: number
  /**
   * Keys by the names of entries, in place of environment variables: one, several that take turns, or a function. Nothing shows
   * them, and `reload` keeps them. Default: the variables that each entry names.
   */
  keys?: Record<string, string | readonly string[] | KeyFunction>
  /**
   * Strategies of your own, by the name that a pool's `strategy` says. A call whose rule has such a pool asks for the order of
   * its members first. Default: none.
   */
  strategies?: Record<string, OwnStrategy>
  /** Factories of your own providers, by family. They win over built-in families of the same name. Default: none. */
  customProviders?: Record<string, ProviderFactory | EventProviderFactory>
}

/**
 * Gives the names of a pool's entries in the order in which a call is to try them; entries that it leaves out are not tried.
 * `candidates` are the pool's members as {@link Gateway.explain} tells them. What it throws, the call throws.
 */
export type OwnStrategy = (
  request: RichGatewayRequest,
  candidates: ExplainedCandidate[],
) => readonly string[] | Promise<readonly string[]>

/**
 * Gives the key of an entry, as its environment variable would hold it. It is asked when the first call needs the key and again
 * when the key is refused, one question at a time. What it throws fails the attempt as `provider_auth`.
 */
export type KeyFunction = () => string | Promise<string>

/** Options of {@link Gateway.batch}. */
export interface BatchOptions {
  /** Calls at once, a whole number of 1 or more. Default: 8. */
  concurrency?: number
  /** Once it fires, calls that have not begun are rejected with its reason; those in flight continue. Default: none. */
  signal?: AbortSignal
}

/** Options of {@link Gateway.close}. */
export interface CloseOptions {
  /** Milliseconds that calls in flight have to end by themselves; then they are aborted. Default: 0. */
  graceMs?: number
}

/**
 * Routes calls to providers, with fallback, budgets and usage logs. Gateways in one process are isolated from each other.
 *
 * ```js
 * const gateway = new Gateway({ config: await loadConfig('./config') })
 * const { content } = await gateway.chat({ messages: [{ role: 'user', content: 'Hello' }], taskType: 'chat' })
 * ```
 */
export class Gateway {
  /**
   * Loads each provider whose `enabled` is not false. A provider whose key is missing, or whose factory throws, is skipped with
   * a `console.warn`.
   *
   * @throws a {@link GatewayError} of kind `config_invalid` when the configuration cannot be used.
   * @throws Error when an entry's family is neither built in nor in `customProviders`.
   */
  constructor(options: GatewayOptions<PoolGatewayConfig>)

  /**
   * Answers a request.
   *
   * Rejects with a {@link GatewayError} (`route_not_found`, `budget_exceeded`, `rate_limited`, `invalid_request`, `provider_*`),
   * with `signal.reason` when the signal fires, or with whatever a provider of your own threw.
   */
  chat(request: RichGatewayRequest): Promise<GatewayResponse>
  /** As above, for requests of ai-gateway-lite's type: overrides in subclasses that take it must keep compiling. */
  chat(request: GatewayRequest): Promise<GatewayResponse>

  /**
   * Streams an answer. Resolves at the first content; a failure before that rejects or falls back, as with
   * {@link Gateway.chat}. A failure after it is thrown by the loop over the stream.
   */
  chatStream(request: RichGatewayRequest): Promise<GatewayEventStreamResponse>
  /** As above, for requests of ai-gateway-lite's type: overrides in subclasses that take it must keep compiling. */
  chatStream(request: GatewayRequest): Promise<GatewayEventStreamResponse>

  /**
   * Makes an embedding, a vector, of each text of `input`. Routed, budgeted and logged like {@link Gateway.chat}, and rejects
   * likewise. A provider without embeddings is an `invalid_request` that names it; a fallback chain skips it.
   */
  embed(request: EmbeddingRequest): Promise<EmbeddingResponse>

  /**
   * Lists the models of all providers, in the order of the configuration: those of each entry, then those that its service
   * reports. A service that has no list, or does not answer within ten seconds, adds none. Lists are cached for five minutes.
   */
  listModels(options?: ListModelsOptions): Promise<ListedModel[]>

  /**
   * Adds middleware around {@link Gateway.chat}, and returns the gateway. The middleware added first is outermost.
   *
   * @throws a {@link GatewayError} of kind `invalid_request` when it is not a function.
   */
  use(middleware: Middleware): this

  /**
   * Adds middleware around {@link Gateway.chatStream}, and returns the gateway. The middleware added first is outermost.
   *
   * @throws a {@link GatewayError} of kind `invalid_request` when it is not a function.
   */
  useStream(middleware: StreamMiddleware): this

  /**
   * Runs {@link Gateway.chat} on each request, several at once. Resolves to one settled result per request, in their order;
   * a failed request does not reject the batch.
   */
  batch(requests: RichGatewayRequest[], options?: BatchOptions): Promise<PromiseSettledResult<GatewayResponse>[]>

  /**
   * Stops the gateway: new calls reject with `aborted`, and so do those in flight once `graceMs` have passed. Resolves when
   * the last one is logged. Closing is optional: an open gateway does not keep the process alive.
   */
  close(options?: CloseOptions): Promise<void>
  /** Closes the gateway at the end of an `await using` block, without a grace period. */
  [Symbol.asyncDispose](): Promise<void>

  /** Names of the loaded providers, in the order of the configuration. */
  listProviders(): string[]

  /** The health of each loaded provider, in the order of the configuration. */
  health(): ProviderHealth[]

  /**
   * What is spent and reserved of each budget that has limits, in the order of the configuration: one item for each scope
   * value whose window runs or that calls in flight reserve for, and one, of zeros, for a policy of a single value that
   * counts nothing yet.
   */
  budgets(): BudgetStanding[]

  /**
   * Sums of the calls' records in `settings.database`, one row for each group, ordered by group; without `groupBy` one row for all.
   *
   * @throws a {@link GatewayError} of kind `invalid_request` for a query that cannot be read, `config_invalid` where no records are
   * kept, and `provider_unavailable` with code `STORE_UNAVAILABLE` while the database is away.
   */
  usage(query?: UsageQuery): Promise<UsageRow[]>

  /** The same as CSV (RFC 4180), with a head. */
  usage(query: UsageCsvQuery): Promise<string>

  /**
   * Explains where a request would go at this moment: rule, candidates, estimates and budgets. Sends nothing and changes
   * nothing.
   *
   * @throws a {@link GatewayError} of kind `invalid_request` when the request cannot be used.
   */
  explain(request: RichGatewayRequest): Explanation
  /** As above, for requests of ai-gateway-lite's type. */
  explain(request: GatewayRequest): Explanation

  /**
   * Replaces the configuration. Calls in flight finish on the old one. Budgets keep their counts if name, scope and window stay
   * the same; circuit breakers, limits and the cache stay if their settings do.
   *
   * Changes nothing when the configuration has faults: rejects with a {@link GatewayError} of kind `config_invalid`, or with an
   * Error when an entry's family is neither built in nor in `customProviders`.
   */
  reload(config: PoolGatewayConfig): Promise<void>
}
