/** Texts as vectors, and the lists of models. */

import type { GatewayRequest, UsageSource } from './requests.js'

/** What a caller of `embed` asks; routed by the same fields as a chat. */
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
  /** One text or several, none of them empty. More than a provider takes at once go out in several requests. */
  input: string | string[]
  /** Length of the vectors, for models that can shorten them. Default: the model's own. */
  dimensions?: number
}

/** The answer to one call of `embed`. */
export interface EmbeddingResponse {
  /** UUID v4; the same in the usage log's entry of this call. */
  requestId: string
  /** One for each text, in their order. */
  vectors: number[][]
  /** The provider that answered. */
  provider: string
  /** The model as the upstream reports it. */
  model: string
  inputTokens: number
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd: number
  /** Absent when the provider reported the count. */
  usageSource?: UsageSource
}

/** What a provider's `embed` is given. */
export interface EmbeddingOptions {
  model: string
  input: string[]
  dimensions?: number
  userId?: string
  metadata?: Record<string, unknown>
  providerOptions?: Record<string, Record<string, unknown>>
}

/** What a provider's `embed` gives. */
export interface EmbeddingResult {
  /** One for each text, in their order. */
  vectors: number[][]
  /** Default: the model that was asked for. */
  model?: string
  /** Default: counted by the gateway. */
  inputTokens?: number
}

/** A model that calls can name. */
export interface ListedModel {
  id: string
  /** Name of the entry whose provider has it. */
  provider: string
}
