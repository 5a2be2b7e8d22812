// The provider of the AI SDK is what the SDK's interfaces ask for.
import type { EmbeddingModelV3, LanguageModelV2, LanguageModelV3, ProviderV2, ProviderV3 } from '@ai-sdk/provider'
import { Gateway } from 'ai-gateway-native'
import { createGatewayProvider } from 'ai-gateway-native/ai-sdk'
import type {
  GatewayCallOptions,
  GatewayProvider,
  GatewayProviderOptions,
  GatewayProviderV2,
} from 'ai-gateway-native/ai-sdk'
import { expectTypeOf } from 'expect-type'

declare const gateway: Gateway
declare const options: GatewayProviderOptions
const provider = createGatewayProvider(gateway)

expectTypeOf(provider).toEqualTypeOf<GatewayProvider>()
expectTypeOf<GatewayProvider>().toExtend<ProviderV3>()
expectTypeOf<GatewayProviderV2>().toExtend<ProviderV2>()
expectTypeOf(createGatewayProvider(gateway, options)).toEqualTypeOf<GatewayProvider>()
expectTypeOf(createGatewayProvider(gateway, { specificationVersion: 'v3' })).toEqualTypeOf<GatewayProvider>()
expectTypeOf(
  createGatewayProvider(gateway, { specificationVersion: 'v2', name: 'ours' }),
).toEqualTypeOf<GatewayProviderV2>()
expectTypeOf(provider('chat')).toEqualTypeOf<LanguageModelV3>()
expectTypeOf(provider()).toEqualTypeOf<LanguageModelV3>()
expectTypeOf(provider.textEmbeddingModel('m')).toEqualTypeOf<EmbeddingModelV3>()
expectTypeOf<ReturnType<GatewayProviderV2>>().toEqualTypeOf<LanguageModelV2>()
expectTypeOf(provider.imageModel).returns.toBeNever()

export const models = [
  provider({ taskType: 'chat', feature: 'search', userTier: 'pro', userId: 'u', sensitivity: 'high' }),
  provider.chat({ model: 'gpt-5', temperature: 0, providerOptions: { openai: { store: false } } }),
  createGatewayProvider(gateway, { taskTypes: new Set(['chat']), request: { timeoutMs: 20_000 } })('chat'),
  // @ts-expect-error messages come with the call
  provider({ messages: [] }),
]

export const providerOptions = {
  gateway: {
    taskType: 'chat',
    cache: { ttlMs: 1000 },
    metadata: { ticket: 7 },
    dimensions: 256,
  } satisfies GatewayCallOptions,
}
// @ts-expect-error no such field
export const wrong: GatewayCallOptions = { colour: 'red' }
