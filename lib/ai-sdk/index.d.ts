import type {
  EmbeddingModelV2,
  EmbeddingModelV3,
  LanguageModelV2,
  LanguageModelV3,
  ProviderV2,
  ProviderV3,
} from '@ai-sdk/provider'
import type { Gateway, RichGatewayRequest } from '../../index.js'

/** What a model's requests may have beside what a call of the SDK sets. */
export type GatewayRequestFields = Partial<
  Omit<RichGatewayRequest, 'messages' | 'signal' | 'stream' | 'tools' | 'toolChoice' | 'responseFormat'>
>

/**
 * A task type, where a rule of the gateway matches it; else a model; `auto`, or nothing: the rules decide. Fields of a
 * request say which is which.
 */
export type GatewayModelId = string | GatewayRequestFields

/** What `providerOptions.gateway` of a call may hold: it goes before the model's own fields. */
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
  cache?: boolean | { ttlMs: number }
  /** Objects must follow their schema to the letter, where the provider can see to it. */
  strictJsonSchema?: boolean
  /** Of embeddings: numbers in each vector. */
  dimensions?: number
}

export interface GatewayProviderOptions<Version extends 'v3' | 'v2' = 'v3'> {
  /** The ids that are task types. Default: those that the enabled rules of the gateway match. */
  taskTypes?: readonly string[] | ReadonlySet<string>
  /** Fields of every request; a model's own and a call's go before. */
  request?: GatewayRequestFields
  /** Models are named `NAME.chat` and `NAME.embedding`, in telemetry and warnings. Default: `gateway`. */
  name?: string
  /** Version of the SDK's interfaces: `v3` for `ai` 6, `v2` for `ai` 5. Default: `v3`. */
  specificationVersion?: Version
}

/** Models of `ai` 6. */
export interface GatewayProvider extends ProviderV3 {
  (id?: GatewayModelId): LanguageModelV3
  languageModel(id?: GatewayModelId): LanguageModelV3
  chat(id?: GatewayModelId): LanguageModelV3
  embeddingModel(id?: GatewayModelId): EmbeddingModelV3
  textEmbeddingModel(id?: GatewayModelId): EmbeddingModelV3
  /** @throws the SDK's `NoSuchModelError`. */
  imageModel(id: string): never
}

/** Models of `ai` 5. */
export interface GatewayProviderV2 extends ProviderV2 {
  readonly specificationVersion: 'v2'
  (id?: GatewayModelId): LanguageModelV2
  languageModel(id?: GatewayModelId): LanguageModelV2
  chat(id?: GatewayModelId): LanguageModelV2
  embeddingModel(id?: GatewayModelId): EmbeddingModelV2<string>
  textEmbeddingModel(id?: GatewayModelId): EmbeddingModelV2<string>
  /** @throws the SDK's `NoSuchModelError`. */
  imageModel(id: string): never
}

/**
 * A provider of the Vercel AI SDK on top of a gateway.
 *
 * ```js
 * const provider = createGatewayProvider(gateway);
 * const { text } = await generateText({ model: provider("chat"), prompt: "Hello" });
 * ```
 *
 * A failure of an upstream is thrown as the SDK's `APICallError`, with the `GatewayError` as its `cause`; every other
 * `GatewayError` as it is.
 *
 * @throws TypeError when `gateway` is none.
 */
export function createGatewayProvider(
  gateway: Gateway,
  options: GatewayProviderOptions<'v2'> & { specificationVersion: 'v2' },
): GatewayProviderV2
export function createGatewayProvider(gateway: Gateway, options?: GatewayProviderOptions): GatewayProvider
