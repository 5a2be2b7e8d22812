/** Rules and chains without a gateway. */

import type { FallbackChain, RouteRule } from './config.js'
import type { Provider, ProviderRegistry, ProviderResult, StreamResult } from './providers.js'
import type { GatewayRequest } from './requests.js'

/** Where a request goes, as {@link Router.resolve} decides. */
export interface RouteDecision {
  /** The rule that matches. */
  rule: RouteRule
  /** The rule's provider. */
  provider: Provider
  /** The model to ask for. */
  model: string
  /** The rule's fallback chain; absent without one. */
  fallbackChain?: FallbackChain
}

/** The result of {@link Router.execute}. */
export interface RouterResult {
  /** The decision that was passed in. */
  decision: RouteDecision
  /** The provider's answer. */
  providerResult: ProviderResult
  /** The provider that answered. */
  actualProvider: Provider
  /** Whether another provider than the first answered. */
  fallbackTriggered: boolean
  /** Name of the first provider tried; absent unless a fallback answered. */
  fallbackFrom?: string
}

/** The result of {@link Router.executeStream}. */
export interface RouterStreamResult {
  /** The decision that was passed in. */
  decision: RouteDecision
  /** The provider's streamed answer. */
  streamResult: StreamResult
  /** The provider that answers. */
  actualProvider: Provider
  /** Whether another provider than the first answers. */
  fallbackTriggered: boolean
  /** Name of the first provider tried; absent unless a fallback answers. */
  fallbackFrom?: string
}

/** Applies rules and fallback chains to providers of a registry, without budgets and usage logs. */
export class Router {
  /**
   * Creates a router over the providers of `registry`.
   *
   * @throws Error that names every fault, when rules or chains cannot be used.
   */
  constructor(rules: RouteRule[], fallbackChains: FallbackChain[], registry: ProviderRegistry)
  /**
   * Decides where a request goes.
   *
   * @throws Error when no rule matches, or the rule's provider is not in the registry.
   */
  resolve(request: GatewayRequest): RouteDecision
  /** Asks the decided provider, or the steps of its chain. Rejects with the last failure. */
  execute(request: GatewayRequest, decision: RouteDecision): Promise<RouterResult>
  /** As {@link Router.execute}, for streams. Resolves at the first content. */
  executeStream(request: GatewayRequest, decision: RouteDecision): Promise<RouterStreamResult>
}
