import type {
  EmbeddingModelV2,
  EmbeddingModelV3,
  LanguageModelV2,
  LanguageModelV3,
  ProviderV2,
  ProviderV3,
} from '@ai-sdk/provider'
import type { CacheOptions, Gateway, GatewayError, RichGatewayRequest } from '../../index.js'

/** Fields of a gateway request that a model of the SDK may have, besides those that a call of the SDK sets. */
export type GatewayRequestFields = Partial<
  Omit<RichGatewayRequest, 'messages' | 'signal' | 'stream' | 'tools' | 'toolChoice' | 'responseFormat'>
>

/**
 * Selects a model: a task type, if a rule of the gateway matches it, otherwise a model's name; with `auto` or no id the rules
 * decide. Pass fields of a request to say which is which.
 */
export type GatewayModelId = string | GatewayRequestFields

/** Fields for `providerOptions.gateway` of one call. They take precedence over the model's own fields. */
export interface GatewayCallOptions
  extends Pick<
    GatewayRequestFields,
    | 'model'
    | 'taskType'
    | 'feature'
    | 'userTier'
    | 'userId'
    | 'sensitivity'
    | 'metadata'
    | 'reasoningEffort'
    | 'timeoutMs'
  > {
  /** As `cache` of a request: use the gateway's cache for this call, or do not. Default: as the gateway's settings say. */
  cache?: boolean | CacheOptions
  /** `true`: objects must follow their schema exactly, where the provider supports it. Default: the provider's own. */
  strictJsonSchema?: boolean
  /** For embeddings: length of the vectors. Default: the model's own. */
  dimensions?: number
}

/** Options of {@link createGatewayProvider}. */
export interface GatewayProviderOptions<Version extends 'v3' | 'v2' = 'v3'> {
  /** The ids that are task types. Default: those that the gateway's enabled rules match. */
  taskTypes?: readonly string[] | ReadonlySet<string>
  /** Fields of every request. A model's own fields and a call's take precedence. Default: none. */
  request?: GatewayRequestFields
  /** Prefix of the models' provider names, `NAME.chat` and `NAME.embedding`, in telemetry and warnings. Default: `gateway`. */
  name?: string
  /** Version of the SDK's interfaces: `v3` for `ai` 6, `v2` for `ai` 5. Default: `v3`. */
  specificationVersion?: Version
}

/** Options of {@link createGatewayProvider} for `ai` 5. */
export interface GatewayProviderOptionsV2 extends GatewayProviderOptions<'v2'> {
  /** Version of the SDK's interfaces. */
  specificationVersion: 'v2'
}

/** A provider of models for `ai` 6. */
export interface GatewayProvider extends ProviderV3 {
  /** The language model for an id; the same as `languageModel(id)`. */
  (id?: GatewayModelId): LanguageModelV3
  /** The language model for an id. */
  languageModel(id?: GatewayModelId): LanguageModelV3
  /** The language model for an id; the same as `languageModel(id)`. */
  chat(id?: GatewayModelId): LanguageModelV3
  /** The embedding model for an id. */
  embeddingModel(id?: GatewayModelId): EmbeddingModelV3
  /** The embedding model for an id; the same as `embeddingModel(id)`. */
  textEmbeddingModel(id?: GatewayModelId): EmbeddingModelV3
  /**
   * Not supported.
   *
   * @throws the SDK's `NoSuchModelError`, always.
   */
  imageModel(id: string): never
}

/** A provider of models for `ai` 5. */
export interface GatewayProviderV2 extends ProviderV2 {
  /** Version of the SDK's interfaces. */
  readonly specificationVersion: 'v2'
  /** The language model for an id; the same as `languageModel(id)`. */
  (id?: GatewayModelId): LanguageModelV2
  /** The language model for an id. */
  languageModel(id?: GatewayModelId): LanguageModelV2
  /** The language model for an id; the same as `languageModel(id)`. */
  chat(id?: GatewayModelId): LanguageModelV2
  /** The embedding model for an id. */
  embeddingModel(id?: GatewayModelId): EmbeddingModelV2<string>
  /** The embedding model for an id; the same as `embeddingModel(id)`. */
  textEmbeddingModel(id?: GatewayModelId): EmbeddingModelV2<string>
  /**
   * Not supported.
   *
   * @throws the SDK's `NoSuchModelError`, always.
   */
  imageModel(id: string): never
}

/**
 * Makes a provider for the Vercel AI SDK from a gateway.
 *
 * ```js
 * const provider = createGatewayProvider(gateway)
 * const { text } = await generateText({ model: provider('chat'), prompt: 'Hello' })
 * ```
 *
 * Models throw failures of a provider as the SDK's `APICallError`, with the {@link GatewayError} as `cause`, and every other
 * {@link GatewayError} unchanged.
 *
 * @throws TypeError when `gateway` is not a gateway, or `specificationVersion` is unknown.
 */
export function createGatewayProvider(gateway: Gateway, options: GatewayProviderOptionsV2): GatewayProviderV2
/** As above, for `ai` 6. */
export function createGatewayProvider(gateway: Gateway, options?: GatewayProviderOptions): GatewayProvider
