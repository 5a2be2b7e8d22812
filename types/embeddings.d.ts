/** Embeddings, and lists of models. */

import type { Gateway } from './gateway.js'
import type { Provider } from './providers.js'
import type { GatewayRequest, ProviderOptionsByFamily, UsageSource } from './requests.js'

/** A request for {@link Gateway.embed}. It is routed by the same fields as a chat request. */
export interface EmbeddingRequest
  extends Pick<
    GatewayRequest,
    | 'model'
    | 'taskType'
    | 'feature'
    | 'userTier'
    | 'sensitivity'
    | 'userId'
    | 'metadata'
    | 'providerOptions'
    | 'signal'
    | 'timeoutMs'
  > {
  /** One text or several, none of them empty. More than a provider takes at once are sent in several requests. */
  input: string | string[]
  /** Length of the vectors, for models that can shorten them; 1 or more. Default: the model's own. */
  dimensions?: number
}

/** The answer to {@link Gateway.embed}. */
export interface EmbeddingResponse {
  /** UUID v4; the same id as in the usage log. */
  requestId: string
  /** One vector for each text, in the order of the texts. */
  vectors: number[][]
  /** Name of the provider that answered. */
  provider: string
  /** The model as the provider reports it. */
  model: string
  /** Tokens of all texts. */
  inputTokens: number
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd: number
  /** `estimated` if the gateway counted the tokens; absent if the provider reported them. */
  usageSource?: UsageSource
}

/** What {@link Provider.embed} receives. */
export interface EmbeddingOptions {
  /** The model to ask for. */
  model: string
  /** The texts, at least one. */
  input: string[]
  /** Length of the vectors. Default: the model's own. */
  dimensions?: number
  /** As {@link GatewayRequest.userId}. Default: none. */
  userId?: string
  /** As {@link GatewayRequest.metadata}. Default: none. */
  metadata?: Record<string, unknown>
  /** As {@link GatewayRequest.providerOptions}. Default: none. */
  providerOptions?: ProviderOptionsByFamily
}

/** What {@link Provider.embed} resolves to. */
export interface EmbeddingResult {
  /** One vector for each text, in the order of the texts. */
  vectors: number[][]
  /** The model that answered. Default: the model that was asked for. */
  model?: string
  /** Tokens of all texts. Default: counted by the gateway. */
  inputTokens?: number
}

/** A model that calls can name, as {@link Gateway.listModels} gives it. */
export interface ListedModel {
  /** Id of the model, to be used as `model` of requests. */
  id: string
  /** Name of the provider entry that serves it. */
  provider: string
}

/** Options of {@link Gateway.listModels}. */
export interface ListModelsOptions {
  /** `true` asks the services again, instead of using lists of the last five minutes. Default: false. */
  refresh?: boolean
  /** Cancels the wait: the call rejects with `signal.reason`. Default: none. */
  signal?: AbortSignal
}
