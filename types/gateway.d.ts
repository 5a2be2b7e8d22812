/// <reference lib="esnext.disposable" />

/** The gateway. */

import type { EmbeddingRequest, EmbeddingResponse, ListedModel } from './embeddings.js'
import type { Middleware } from './around.js'
import type { GatewayConfig, PoolGatewayConfig } from './config.js'
import type { GatewayError } from './errors.js'
import type { Explanation, ProviderHealth } from './health.js'
import type { EventProviderFactory, ProviderFactory } from './providers.js'
import type { GatewayEventStreamResponse, GatewayRequest, GatewayResponse, RichGatewayRequest } from './requests.js'
import type { UsageLogHandler } from './usage.js'

/** What a {@link Gateway} is made of. `GatewayOptions<PoolGatewayConfig>` is one whose rules may have pools. */
export interface GatewayOptions<Config extends PoolGatewayConfig = GatewayConfig> {
  config: Config
  /** Default: `console.log('[usage] ' + JSON)`. */
  onUsageLog?: UsageLogHandler
  /** Factories by family; they win over the built-in families of the same name. */
  customProviders?: Record<string, ProviderFactory | EventProviderFactory>
}

/**
 * Routes calls to providers, with fallback, budgets and usage logs. Several gateways of one process do not touch.
 *
 * ```js
 * const gateway = new Gateway({ config: await loadConfig("./config") });
 * const { content } = await gateway.chat({ messages: [{ role: "user", content: "Hello" }], taskType: "chat" });
 * ```
 */
export class Gateway {
  /**
   * Loads each provider whose `enabled` is not false; one whose key is missing is skipped with a `console.warn`.
   *
   * @throws Error when an entry's family has no factory.
   */
  constructor(options: GatewayOptions<PoolGatewayConfig>)

  /**
   * Answers a request.
   *
   * Rejects with a {@link GatewayError} (`route_not_found`, `budget_exceeded`, `invalid_request`, `provider_*`), with
   * `signal.reason` when the signal fires, or with what a provider written in JavaScript threw.
   */
  chat(request: RichGatewayRequest): Promise<GatewayResponse>
  chat(request: GatewayRequest): Promise<GatewayResponse>

  /**
   * Streams an answer. Resolves at its first content: a failure before that rejects, or falls back, as with
   * {@link Gateway.chat}.
   */
  chatStream(request: RichGatewayRequest): Promise<GatewayEventStreamResponse>
  chatStream(request: GatewayRequest): Promise<GatewayEventStreamResponse>

  /**
   * A vector for each text of `input`. Routed, budgeted and logged as {@link Gateway.chat}. A provider without embeddings is
   * an `invalid_request` that names it; a chain passes it over.
   */
  embed(request: EmbeddingRequest): Promise<EmbeddingResponse>

  /**
   * The models of all providers, in the order of the configuration: those that its entry lists, then those that the service tells
   * of. A service that cannot be asked adds none. Lists are kept for five minutes; `refresh` asks again.
   */
  listModels(options?: { refresh?: boolean; signal?: AbortSignal }): Promise<ListedModel[]>

  /**
   * Adds middleware around `chat`: it may change the request, the answer, or answer itself. What is added first is
   * outermost. Returns the gateway.
   */
  use(middleware: Middleware): this
  /**
   * `chat` on each request, through middleware, `concurrency` at once (8). Resolves to settled results in the requests' order;
   * once `signal` fires, those not begun are rejected with its reason.
   */
  batch(
    requests: RichGatewayRequest[],
    options?: { concurrency?: number; signal?: AbortSignal },
  ): Promise<PromiseSettledResult<GatewayResponse>[]>
  /**
   * Stops: calls from now on reject with `aborted`, and so do those in flight once `graceMs` (0) are over. Resolves when none is
   * left. `await using` calls it.
   */
  close(options?: { graceMs?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
  /** Names of the loaded providers, in the order of the configuration. */
  listProviders(): string[]

  /** How each loaded provider is doing, in the order of the configuration. */
  health(): ProviderHealth[]

  /**
   * What would become of a request at this moment: the rule, and whom it would ask. Asks nobody and changes nothing.
   *
   * @throws a {@link GatewayError} of kind `invalid_request` when the request cannot be used.
   */
  explain(request: RichGatewayRequest): Explanation
  explain(request: GatewayRequest): Explanation

  /**
   * Puts another configuration in place of this one. Rejects with a {@link GatewayError} of kind `config_invalid`, and
   * leaves everything as it is, when it has faults. Calls in flight finish on the old one. Budgets keep their counts by
   * name; breakers, limits and the cache stay where their settings do.
   */
  reload(config: PoolGatewayConfig): Promise<void>
}
