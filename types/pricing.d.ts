/** Prices of models. */

/** Prices of a model, in US dollars per 1,000 tokens. */
export interface ModelPricing {
  /** US dollars per 1,000 tokens of the prompt. */
  inputPer1kTokens: number
  /** US dollars per 1,000 tokens of the answer. */
  outputPer1kTokens: number
}

/** The cost of a call in US dollars; 0 for a model without a known price. */
export function estimateCostUsd(model: string, inputTokens: number, outputTokens: number): number

/** The price of a model, registered or built in; `undefined` if it is not known. */
export function getModelPricing(model: string): ModelPricing | undefined

/**
 * Sets the price of a model, in US dollars per 1,000 tokens, for every gateway of the process. Other fields, and prices that
 * are not numbers of 0 or more, are `config_invalid`.
 */
export function registerModelPricing(model: string, pricing: ModelPricing): void
