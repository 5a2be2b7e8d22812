// A CommonJS program, with both of its ways to import.
import { Gateway, GatewayError, type GatewayRequest } from 'ai-gateway-native'
import gateway = require('ai-gateway-native')
import { expectTypeOf } from 'expect-type'

expectTypeOf<Gateway>().toEqualTypeOf<gateway.Gateway>()
expectTypeOf(gateway.GatewayError.isInstance).guards.toEqualTypeOf<GatewayError>()
expectTypeOf<keyof typeof gateway>().toEqualTypeOf<
  typeof import('./values.mjs', { with: { 'resolution-mode': 'import' }})['values'][number]
>()

const request: GatewayRequest = { messages: [{ role: 'user', content: 'Hello' }] }
export const answer: Promise<gateway.GatewayResponse> = new Gateway({
  config: { providers: [], routes: [], fallbackChains: [], budgets: [] },
}).chat(request)

// Rules with pools are taken here, too.
const pooled: gateway.PoolRule = {
  name: 'pool',
  priority: 0,
  match: {},
  target: { pool: [{ provider: 'a' }], strategy: 'latency' },
}
export const health: gateway.ProviderHealth[] = new Gateway({
  config: { providers: [], routes: [pooled], fallbackChains: [], budgets: [], settings: { dedupe: true } },
}).health()
