// What the declarations say, field by field where programs depend on it.
import { expectTypeOf } from 'expect-type'
import cjs, * as esm from 'ai-gateway-native'
import { Gateway, GatewayError } from 'ai-gateway-native'
import type * as t from 'ai-gateway-native'
import { values } from './values.mjs'

type Value = (typeof values)[number]

// The values, in both forms of the package.
expectTypeOf<Exclude<keyof typeof esm, 'default'>>().toEqualTypeOf<Value>()
expectTypeOf<Exclude<keyof typeof cjs, 'default'>>().toEqualTypeOf<Value>()
expectTypeOf(cjs.GatewayError).toEqualTypeOf<typeof GatewayError>()

// The types: each name is exported.
export type Names = [
  t.GatewayOptions,
  t.GatewayConfig,
  t.ConfigPaths,
  t.ValidationError,
  t.Provider,
  t.ProviderRequestOptions,
  t.ProviderResult,
  t.StreamChunk,
  t.StreamResult,
  t.ProviderFactory,
  t.RouteDecision,
  t.RouterResult,
  t.BudgetCheckResult,
  t.UsageLogHandler,
  t.ModelPricing,
  t.ProviderConfig,
  t.ProviderAuth,
  t.ProviderRetry,
  t.RouteRule,
  t.RouteMatch,
  t.RouteTarget,
  t.RouteConstraints,
  t.FallbackChain,
  t.FallbackStep,
  t.FallbackTrigger,
  t.BudgetPolicy,
  t.BudgetScope,
  t.BudgetLimits,
  t.UsageLog,
  t.GatewayErrorKind,
  t.GatewayErrorPayload,
  t.ChatMessage,
  t.GatewayRequest,
  t.GatewayResponse,
  t.GatewayStreamChunk,
  t.GatewayStreamResponse,
]

// Which fields must be there: as in the original, all that is new is optional.
// biome-ignore lint/complexity/noBannedTypes: the type of no required keys is what is meant
type RequiredKeys<T> = { [K in keyof T]-?: {} extends Pick<T, K> ? never : K }[keyof T]

expectTypeOf<RequiredKeys<t.GatewayRequest>>().toEqualTypeOf<'messages'>()
expectTypeOf<RequiredKeys<t.GatewayResponse>>().toEqualTypeOf<
  | 'requestId'
  | 'provider'
  | 'model'
  | 'content'
  | 'inputTokens'
  | 'outputTokens'
  | 'totalTokens'
  | 'estimatedCostUsd'
  | 'latencyMs'
  | 'fallbackTriggered'
>()
expectTypeOf<RequiredKeys<t.GatewayStreamResponse>>().toEqualTypeOf<'requestId' | 'stream' | 'getUsageSummary'>()
expectTypeOf<RequiredKeys<t.GatewayStreamChunk>>().toEqualTypeOf<'requestId' | 'provider' | 'delta'>()
expectTypeOf<RequiredKeys<t.ProviderConfig>>().toEqualTypeOf<'name' | 'provider' | 'models' | 'auth'>()
expectTypeOf<RequiredKeys<t.ProviderRetry>>().toEqualTypeOf<never>()
expectTypeOf<RequiredKeys<t.RouteRule>>().toEqualTypeOf<'name' | 'priority' | 'match' | 'target'>()
expectTypeOf<RequiredKeys<t.RouteTarget>>().toEqualTypeOf<'provider'>()
expectTypeOf<RequiredKeys<t.FallbackStep>>().toEqualTypeOf<'provider'>()
expectTypeOf<RequiredKeys<t.BudgetPolicy>>().toEqualTypeOf<'name' | 'scope' | 'window' | 'enforcement'>()
expectTypeOf<RequiredKeys<t.GatewayConfig>>().toEqualTypeOf<'providers' | 'routes' | 'fallbackChains' | 'budgets'>()
expectTypeOf<RequiredKeys<t.UsageLog>>().toEqualTypeOf<
  | 'timestamp'
  | 'requestId'
  | 'provider'
  | 'model'
  | 'success'
  | 'inputTokens'
  | 'outputTokens'
  | 'totalTokens'
  | 'latencyMs'
  | 'fallbackTriggered'
>()
expectTypeOf<RequiredKeys<t.GatewayErrorPayload>>().toEqualTypeOf<'code' | 'kind' | 'message' | 'retryable'>()

// The original's fields as they were, and beside them optional ones alone.
type OriginalOptions = {
  model: string
  messages: { role: 'system' | 'user' | 'assistant'; content: string }[]
  maxTokens?: number
  temperature?: number
  stream?: boolean
  signal?: AbortSignal
}
expectTypeOf<Pick<t.ProviderRequestOptions, keyof OriginalOptions>>().toEqualTypeOf<OriginalOptions>()
expectTypeOf<RequiredKeys<t.ProviderRequestOptions>>().toEqualTypeOf<'model' | 'messages'>()
type OriginalChunk = { delta: string; model?: string; finishReason?: string | null }
expectTypeOf<Pick<t.StreamChunk, keyof OriginalChunk>>().toEqualTypeOf<OriginalChunk>()
expectTypeOf<RequiredKeys<t.StreamChunk>>().toEqualTypeOf<'delta'>()
expectTypeOf<t.ModelPricing>().toEqualTypeOf<{ inputPer1kTokens: number; outputPer1kTokens: number }>()
expectTypeOf<t.GatewayErrorPayload>().toExtend<ConstructorParameters<typeof GatewayError>[0]>()
expectTypeOf<GatewayError>().toExtend<Error>()
expectTypeOf<GatewayError['httpStatus']>().toEqualTypeOf<number>()

// Calls take the original's requests, and messages in OpenAI's form beside them.
declare const gateway: Gateway
expectTypeOf<Parameters<Gateway['chat']>[0]>().toEqualTypeOf<t.GatewayRequest>()
expectTypeOf<Parameters<Gateway['chatStream']>[0]>().toEqualTypeOf<t.GatewayRequest>()
expectTypeOf<ReturnType<Gateway['chatStream']>>().resolves.toExtend<t.GatewayStreamResponse>()
expectTypeOf<ReturnType<Gateway['chatStream']>>().resolves.toExtend<t.GatewayEventStreamResponse>()
export const calls = (): Promise<t.GatewayResponse>[] => [
  gateway.chat({
    messages: [{ role: 'user', content: 'Hello' }],
    signal: AbortSignal.timeout(1000),
    sensitivity: 'high',
  }),
  gateway.chat({
    messages: [
      { role: 'developer', content: 'Answer briefly.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'image_url', image_url: { url: 'data:,' } },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: '1', type: 'function', function: { name: 'look', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: '1', content: 'a cat' },
    ],
  }),
  // @ts-expect-error messages are required
  gateway.chat({}),
  // @ts-expect-error no such role
  gateway.chat({ messages: [{ role: 'robot', content: '' }] }),
]

// Errors: across two copies of the package, by marker.
export function statusOf(error: unknown): number {
  return GatewayError.isInstance(error) ? error.httpStatus : 500
}
expectTypeOf<'provider_network' | 'invalid_request' | 'aborted'>().toExtend<t.GatewayErrorKind>()
expectTypeOf<'rate_limited' | 'unauthorized' | 'provider_unavailable'>().toExtend<t.GatewayErrorKind>()
