/**
 * ai-gateway-native: routing, fallback, budgets and usage logs for LLM providers, in your Node.js process.
 *
 * Durations are milliseconds, money is US dollars, tokens are whole numbers.
 */

export * from './types/messages.js'
export * from './types/requests.js'
export * from './types/embeddings.js'
export * from './types/config.js'
export * from './types/families.js'
export * from './types/providers.js'
export * from './types/routing.js'
export * from './types/budgets.js'
export * from './types/usage.js'
export * from './types/pricing.js'
export * from './types/helpers.js'
export * from './types/health.js'
export * from './types/errors.js'
export * from './types/gateway.js'
