/** Prices. */

/** US dollars for 1,000 tokens. */
export interface ModelPricing {
  inputPer1kTokens: number
  outputPer1kTokens: number
}

/** US dollars; 0 for a model without a known price. */
export function estimateCostUsd(model: string, inputTokens: number, outputTokens: number): number

/** `undefined` for a model without a known price. */
export function getModelPricing(model: string): ModelPricing | undefined

/** Sets the price of a model, for every gateway of the process. */
export function registerModelPricing(model: string, pricing: ModelPricing): void
