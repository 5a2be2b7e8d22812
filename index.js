'use strict'

const { createModelAllowlist, isAllowedModel } = require('./lib/allowlist.js')
const { BudgetGuard, BudgetTracker } = require('./lib/budget.js')
const { classifyError } = require('./lib/classify.js')
const { createCostTracker } = require('./lib/cost-tracker.js')
const { loadConfig, loadConfigFromObjects, validateConfig } = require('./lib/config.js')
const { GatewayError } = require('./lib/errors.js')
const { Gateway } = require('./lib/gateway.js')
const { estimateCostUsd, getModelPricing, registerModelPricing } = require('./lib/pricing.js')
const { AnthropicProvider, OpenAIProvider, OpenRouterProvider, ProviderRegistry } = require('./lib/providers.js')
const { Router } = require('./lib/router.js')
const { UsageLogger } = require('./lib/usage.js')

module.exports = {
  AnthropicProvider,
  BudgetGuard,
  BudgetTracker,
  Gateway,
  GatewayError,
  OpenAIProvider,
  OpenRouterProvider,
  ProviderRegistry,
  Router,
  UsageLogger,
  classifyError,
  createCostTracker,
  createModelAllowlist,
  estimateCostUsd,
  getModelPricing,
  isAllowedModel,
  loadConfig,
  loadConfigFromObjects,
  registerModelPricing,
  validateConfig,
}
