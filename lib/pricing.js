'use strict'

const native = require('../native.js')

function estimateCostUsd(model, inputTokens, outputTokens) {
  return native.estimateCost(String(model), Number(inputTokens), Number(outputTokens))
}

function getModelPricing(model) {
  const prices = native.modelPricing(String(model))
  return prices ? { inputPer1kTokens: prices[0], outputPer1kTokens: prices[1] } : undefined
}

function registerModelPricing(model, pricing) {
  native.setModelPricing(String(model), Number(pricing.inputPer1kTokens), Number(pricing.outputPer1kTokens))
}

module.exports = { estimateCostUsd, getModelPricing, registerModelPricing }
