'use strict'

const native = require('./addon.js')
const { configFault } = require('./errors.js')

const FIELDS = ['inputPer1kTokens', 'outputPer1kTokens']

function estimateCostUsd(model, inputTokens, outputTokens) {
  return native.estimateCost(String(model), Number(inputTokens), Number(outputTokens))
}

function getModelPricing(model) {
  const prices = native.modelPricing(String(model))
  return prices ? { inputPer1kTokens: prices[0], outputPer1kTokens: prices[1] } : undefined
}

function registerModelPricing(model, pricing) {
  const path = `registerModelPricing("${model}")`
  if (typeof pricing !== 'object' || pricing === null) throw configFault(path, 'must be an object')
  for (const field of Object.keys(pricing)) {
    if (!FIELDS.includes(field))
      throw configFault(`${path}.${field}`, `unknown field; did you mean "${nearest(field)}"?`)
  }
  for (const field of FIELDS) {
    const price = Number(pricing[field] ?? NaN)
    if (!Number.isFinite(price) || price < 0) throw configFault(`${path}.${field}`, 'must be a number of 0 or more')
  }
  native.setModelPricing(String(model), Number(pricing.inputPer1kTokens), Number(pricing.outputPer1kTokens))
}

// The field that a misspelt one was meant for.
function nearest(field) {
  return /out|compl|answer/i.test(field) ? FIELDS[1] : FIELDS[0]
}

module.exports = { estimateCostUsd, getModelPricing, registerModelPricing }
