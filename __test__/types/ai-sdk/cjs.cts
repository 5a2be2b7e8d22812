// A CommonJS program: the same provider by both of its ways to import.
import type { ProviderV3 } from '@ai-sdk/provider' with { 'resolution-mode': 'require' }
import { Gateway } from 'ai-gateway-native'
import { createGatewayProvider } from 'ai-gateway-native/ai-sdk'
import sdk = require('ai-gateway-native/ai-sdk')
import { expectTypeOf } from 'expect-type'

declare const gateway: Gateway
expectTypeOf(sdk.createGatewayProvider).toEqualTypeOf<typeof createGatewayProvider>()
export const provider: ProviderV3 = createGatewayProvider(gateway)
