// Provider entries: what may be left out, which words are offered, and which old names still stand.
import type * as t from 'ai-gateway-native'
import { Gateway, loadConfigFromObjects, ProviderRegistry } from 'ai-gateway-native'
import { expectTypeOf } from 'expect-type'

const auth: t.ProviderAuth = { type: 'apiKey' }
const short: t.ProviderEntry = { name: 'deep', provider: 'deepseek', auth }
const full: t.ProviderEntry = { name: 'main', provider: 'openai', models: ['gpt-4o'], auth }
const own: t.ProviderEntry = { name: 'own', provider: 'a family of mine', models: ['m'], auth }
// @ts-expect-error the original's families name their models
export const openai: t.ProviderEntry = { name: 'main', provider: 'openai', auth }
// @ts-expect-error so do families of a program's own
export const unknown: t.ProviderEntry = { name: 'own', provider: 'a family of mine', auth }

// Wherever entries are given, they may be short.
const loaded = loadConfigFromObjects({ providers: [short, full, own], routes: { rules: [] }, budgets: [] })
loadConfigFromObjects({
  providers: { providers: [short], cloudflareGateway: { accountId: 'a', gatewayId: 'g' } },
  routes: { rules: [] },
  budgets: [],
})
new Gateway({ config: { providers: [short], routes: [], fallbackChains: [], budgets: [] } })
new ProviderRegistry().load([short, full])

// Rules without a `match` take every request.
const everyone: t.RuleEntry = { name: 'everyone', priority: 0, target: { provider: 'deep' } }
const pooled: t.PoolRule = { name: 'pool', priority: 1, target: { pool: [{ provider: 'deep' }] } }
new Gateway({ config: { providers: [short], routes: [everyone, pooled], fallbackChains: [], budgets: [] } })
loadConfigFromObjects({ providers: [short], routes: { rules: [everyone, pooled] }, budgets: [] })
expectTypeOf<t.RouteRule>().toExtend<t.RuleEntry>()

// The original's entries go in and come out as they were.
export const original = (entries: t.ProviderConfig[]): t.PoolGatewayConfig => ({ ...loaded, providers: entries })
export const modelsOf = (config: t.GatewayConfig): string[] => config.providers.flatMap((entry) => entry.models)
export const familyOf = (entry: t.ProviderConfig): string => entry.provider
export const withFamily = (entry: t.ProviderConfig, provider: string): t.ProviderConfig => ({ ...entry, provider })
expectTypeOf<t.ProviderConfig>().toExtend<t.ProviderEntry>()
expectTypeOf<string>().toExtend<t.ProviderConfig['provider']>()
expectTypeOf<t.ProviderConfig['provider']>().toExtend<string>()
expectTypeOf<'openai'>().toExtend<t.ProviderFamily>()

// Words are offered, and any other is taken.
export const fields: t.GatewayRequest['providerOptions'] = { openai: { logprobs: true }, 'of my own': { x: 1 } }
export const anyFields = (options: Record<string, Record<string, unknown>>): t.GatewayRequest => ({
  messages: [],
  providerOptions: options,
})
export const code: t.GatewayErrorPayload['code'] = 'MY_OWN'
expectTypeOf<t.GatewayErrorCode>().toExtend<string>()
expectTypeOf<'PROVIDER_TIMEOUT'>().toExtend<t.GatewayErrorCode>()

// Names that became better: the old ones stand beside them.
export const breakers: t.BreakerOptions[] = [{ probesToClose: 2 }, { halfOpenMaxRequests: 2 }]
expectTypeOf<t.KeyHealth['reason']>().toEqualTypeOf<t.KeyHealth['why']>()
expectTypeOf<t.KeyHealth['cooldownMs']>().toEqualTypeOf<t.KeyHealth['restingUntil']>()
expectTypeOf<t.ExplainedCandidate['source']>().toEqualTypeOf<t.ExplainedCandidate['from']>()
expectTypeOf<t.ExplainedCandidate['unsupported']>().toEqualTypeOf<t.ExplainedCandidate['refuses']>()

// Settings that a provider may not have, and what an answer says of them.
export const sampled: t.GatewayRequest = { messages: [], topK: 40, topP: 0.9 }
expectTypeOf<t.RichGatewayRequest['topK']>().toEqualTypeOf<number | undefined>()
expectTypeOf<t.ProviderRequestOptions['topK']>().toEqualTypeOf<number | undefined>()
expectTypeOf<t.GatewayResponse['warnings']>().toEqualTypeOf<t.GatewayWarning[] | undefined>()
expectTypeOf<t.GatewayWarning>().toEqualTypeOf<{ field: string; reason: string; provider: string }>()

/** A provider of the program's own that streams events, and leaves counting to the gateway. */
export const events: t.EventProviderFactory = (config) => ({
  name: config.name,
  family: 'events',
  chat: async () => ({ content: '', model: 'm', inputTokens: 0, outputTokens: 0, totalTokens: 0 }),
  async chatStream() {
    async function* stream(): AsyncGenerator<t.ProviderStreamEvent> {
      yield { type: 'text', delta: 'Hello' }
      yield { type: 'done', usage: { inputTokens: 9, outputTokens: 7 }, finishReason: 'stop' }
    }
    return { events: stream() }
  },
})
