/** Every value that the package exports: the type tests and the test of the running code both compare with this. */
export const values = [
  "AnthropicProvider",
  "BudgetGuard",
  "BudgetTracker",
  "Gateway",
  "GatewayError",
  "OpenAIProvider",
  "OpenRouterProvider",
  "ProviderRegistry",
  "Router",
  "UsageLogger",
  "estimateCostUsd",
  "getModelPricing",
  "loadConfig",
  "loadConfigFromObjects",
  "registerModelPricing",
  "validateConfig",
] as const;
