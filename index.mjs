// Hands on the CommonJS module's own objects: a program that loads the package both ways has one `GatewayError`.
import gateway from './index.js'

export const {
  Gateway,
  loadConfig,
  loadConfigFromObjects,
  validateConfig,
  ProviderRegistry,
  OpenAIProvider,
  AnthropicProvider,
  OpenRouterProvider,
  Router,
  BudgetGuard,
  BudgetTracker,
  UsageLogger,
  GatewayError,
  estimateCostUsd,
  getModelPricing,
  registerModelPricing,
  classifyError,
  createCostTracker,
  createModelAllowlist,
  isAllowedModel,
} = gateway

export default gateway
