// Pools, settings, health and explanations: what is new is beside the original's types, never in their way.
import { expectTypeOf } from 'expect-type'
import { Gateway, loadConfig, loadConfigFromObjects } from 'ai-gateway-native'
import type * as t from 'ai-gateway-native'

// The original's types, to the letter: code that reads a rule's target finds a provider, and a window is a word.
expectTypeOf<t.BudgetPolicy['window']>().toEqualTypeOf<'request' | 'hour' | 'day' | 'month'>()
expectTypeOf<t.GatewayConfig['routes']>().toEqualTypeOf<t.RouteRule[]>()
expectTypeOf<t.RouteRule['target']>().toEqualTypeOf<t.RouteTarget>()
expectTypeOf<keyof t.RouteTarget>().toEqualTypeOf<'provider' | 'model' | 'fallbackChain'>()
expectTypeOf<t.GatewayOptions['config']>().toEqualTypeOf<t.GatewayConfig>()
export const firstProvider = ({ config }: t.GatewayOptions): string | undefined => config.routes[0]?.target.provider

const entry: t.ProviderConfig = {
  name: 'main',
  provider: 'openai',
  models: ['gpt-4o'],
  auth: { type: 'apiKey', envVar: 'OPENAI_API_KEY' },
  weight: 2,
  priority: 1,
  maxConcurrency: 8,
  rateLimit: { requestsPerMinute: 60, tokensPerMinute: 100_000 },
  breaker: { failureThreshold: 5, cooldownMs: 60_000, probesToClose: 3 },
  healthCheck: { intervalMs: 30_000 },
  retry: { maxAttempts: 2, jitter: 'full' },
}
const pool: t.PoolRule = {
  name: 'pool',
  priority: 1,
  match: { model: 'gpt-*' },
  target: {
    pool: [{ provider: 'main' }, { provider: 'main', model: 'gpt-4o-mini', weight: 2 }],
    strategy: 'hybrid',
    hashKey: 'metadata.session',
    weights: { cost: 2, latency: 1 },
    maxAttempts: 2,
    fallbackChain: 'last',
  },
  hedge: { afterMs: 'p95', maxExtra: 1 },
}
const rule: t.RouteRule = {
  name: 'single',
  priority: 0,
  match: {},
  target: { provider: 'main' },
  hedge: { afterMs: 800 },
}
const week: t.CalendarBudgetPolicy = {
  name: 'week',
  scope: { type: 'team' },
  window: { unit: 'week', timeZone: 'Europe/Berlin' },
  limits: { maxCostUsd: 50 },
  enforcement: 'hard',
}
const chain: t.FallbackChain = { name: 'last', steps: [{ provider: 'main' }], degradedReply: 'Later.' }
const settings: t.GatewaySettings = {
  cache: { enabled: true, ttlMs: 1000, maxEntries: 10 },
  dedupe: true,
  limits: { requestsPerMinute: 20 },
  retryBudget: { ratio: 0.15, reserve: 30 },
  quality: { 'gpt-4o': 0.9 },
}

export async function main(): Promise<void> {
  const loaded: t.GatewayConfig = loadConfigFromObjects({
    providers: [entry],
    routes: { rules: [pool, rule], fallbackChains: [chain] },
    budgets: [],
    settings,
  })
  const read: t.GatewayConfig = await loadConfig('./config', { settings: 'settings.json' })
  expectTypeOf(read.settings).toEqualTypeOf<t.GatewaySettings | undefined>()

  const config: t.PoolGatewayConfig = {
    providers: [entry],
    routes: [pool, rule],
    fallbackChains: [chain],
    budgets: [week],
    settings,
  }
  const options: t.GatewayOptions<t.PoolGatewayConfig> = { config }
  const gateway = new Gateway(options)
  new Gateway({ config: loaded, keys: { main: 'k', spare: ['k', 'l'], vault: async () => 'k', now: () => 'k' } })
  new Gateway({ config: loaded, onBudgetWarning: ({ kind, spent }) => console.log(kind, spent.costUsd) })
  new Gateway({ config: { providers: [], routes: [pool], fallbackChains: [], budgets: [] } })
  expectTypeOf(gateway.reload(config)).resolves.toEqualTypeOf<void>()
  await gateway.reload(loaded)

  const answer = await gateway.chat({ messages: [{ role: 'user', content: 'Hi' }], cache: { ttlMs: 1000 } })
  await gateway.chat({ messages: [{ role: 'user', content: 'Hi' }], cache: false })
  expectTypeOf(answer.attempts).toEqualTypeOf<t.CallAttempt[] | undefined>()
  if (answer.cached || answer.degraded) console.log('free')

  const health: t.ProviderHealth[] = gateway.health()
  for (const { provider, state, latencyMs, errorRate, inFlight, targets, keys } of health) {
    expectTypeOf(state).toEqualTypeOf<'closed' | 'open' | 'half_open'>()
    expectTypeOf(latencyMs).toEqualTypeOf<{ p50: number | null; p95: number | null }>()
    expectTypeOf(errorRate).toEqualTypeOf<number>()
    console.log(provider, inFlight, targets[0]?.blockedMs?.toFixed(), keys?.[0]?.reason)
  }

  const explanation: t.Explanation = gateway.explain({ messages: [{ role: 'user', content: 'Hi' }] })
  gateway.explain({ messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }] })
  const [candidate] = explanation.candidates
  expectTypeOf<t.ExplainedCandidate['score']>().toExtend<number | null | undefined>()
  expectTypeOf<t.ExplainedCandidate['source']>().toEqualTypeOf<'target' | 'pool' | 'chain'>()
  console.log(candidate?.score)
  console.log(explanation.rule, explanation.excluded[0]?.constraint, explanation.budget.blockedBy)
}

export const log = ({ cached, degraded, savedUsd }: t.UsageLog): number => (cached || degraded ? (savedUsd ?? 0) : 0)

export const ownStrategy: t.PoolTarget = { pool: [], strategy: 'mine' }
// @ts-expect-error no such strategy
export const unknownStrategy: t.PoolStrategy = 'best'
// @ts-expect-error no such field to hash by
export const unknownHashKey: t.PoolTarget = { pool: [], hashKey: 'ip' }
// @ts-expect-error a pool has no provider
export const both: t.PoolTarget = { pool: [], provider: 'main' }
// @ts-expect-error a hedge says when
export const noDelay: t.PoolRule = { name: 'x', priority: 0, match: {}, target: { pool: [] }, hedge: {} }
// @ts-expect-error a key is text
export const noKey: t.GatewayOptions['keys'] = { main: () => 7 }
