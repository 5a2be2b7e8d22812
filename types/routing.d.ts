/** Rules and chains on their own. */

import type { FallbackChain, RouteRule } from './config.js'
import type { Provider, ProviderRegistry, ProviderResult, StreamResult } from './providers.js'
import type { GatewayRequest } from './requests.js'

/** Where a request goes. */
export interface RouteDecision {
  rule: RouteRule
  provider: Provider
  model: string
  fallbackChain?: FallbackChain
}

/** What {@link Router.execute} gives. */
export interface RouterResult {
  decision: RouteDecision
  providerResult: ProviderResult
  /** The provider that answered. */
  actualProvider: Provider
  fallbackTriggered: boolean
  /** Name of the first provider tried, when a fallback answered. */
  fallbackFrom?: string
}

/** What {@link Router.executeStream} gives. */
export interface RouterStreamResult {
  decision: RouteDecision
  streamResult: StreamResult
  /** The provider that answers. */
  actualProvider: Provider
  fallbackTriggered: boolean
  /** Name of the first provider tried, when a fallback answers. */
  fallbackFrom?: string
}

/** Rules and chains on their own, without budgets and usage logs. */
export class Router {
  constructor(rules: RouteRule[], fallbackChains: FallbackChain[], registry: ProviderRegistry)
  /** @throws Error when no rule matches or the rule's provider is not loaded. */
  resolve(request: GatewayRequest): RouteDecision
  /** Rejects with the last failure when the chain has ended. */
  execute(request: GatewayRequest, decision: RouteDecision): Promise<RouterResult>
  /** Rejects with the last failure when the chain has ended. */
  executeStream(request: GatewayRequest, decision: RouteDecision): Promise<RouterStreamResult>
}
