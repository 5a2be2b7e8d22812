import { describe, expect, test } from 'vitest'
import { estimateCostUsd, getModelPricing, registerModelPricing } from '../index.mjs'
import { ask, budget, collect, config, failureOf, gatewayOf, pool, provider } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

describe.each([
  ['gpt-4o', 0.0025, 0.01],
  ['gpt-4o-mini', 0.00015, 0.0006],
  ['gpt-4-turbo', 0.01, 0.03],
  ['gpt-4', 0.03, 0.06],
  ['gpt-3.5-turbo', 0.0005, 0.0015],
  ['o1', 0.015, 0.06],
  ['o1-mini', 0.003, 0.012],
  ['o3-mini', 0.0011, 0.0044],
  ['claude-3-opus-20240229', 0.015, 0.075],
  ['claude-3-sonnet-20240229', 0.003, 0.015],
  ['claude-3-haiku-20240307', 0.00025, 0.00125],
  ['claude-3.5-sonnet-20241022', 0.003, 0.015],
  ['claude-sonnet-4-20250514', 0.003, 0.015],
  ['claude-4-opus-20250918', 0.015, 0.075],
  ['claude-3-opus', 0.015, 0.075],
  ['claude-3-sonnet', 0.003, 0.015],
  ['claude-3-haiku', 0.00025, 0.00125],
  ['claude-3.5-sonnet', 0.003, 0.015],
])('%s', (model, input, output) => {
  test('has its price', () => {
    const pricing = getModelPricing(model)
    expect(Object.keys(pricing).sort()).toEqual(['inputPer1kTokens', 'outputPer1kTokens'])
    expect(pricing.inputPer1kTokens).toBeCloseTo(input, 12)
    expect(pricing.outputPer1kTokens).toBeCloseTo(output, 12)
  })

  test('costs by input and output', () => {
    expect(estimateCostUsd(model, 1000, 0)).toBeCloseTo(input, 12)
    expect(estimateCostUsd(model, 0, 1000)).toBeCloseTo(output, 12)
    expect(estimateCostUsd(model, 500, 2000)).toBeCloseTo(input / 2 + output * 2, 12)
  })
})

test('no tokens cost nothing', () => {
  expect(estimateCostUsd('gpt-4', 0, 0)).toBe(0)
})

test('an unknown model has no price and costs nothing', () => {
  expect(getModelPricing('nobody-sells-this')).toBeUndefined()
  expect(estimateCostUsd('nobody-sells-this', 1000, 1000)).toBe(0)
})

test('a model can be given a price', () => {
  registerModelPricing('house-model', { inputPer1kTokens: 0.5, outputPer1kTokens: 2 })
  expect(getModelPricing('house-model')).toEqual({ inputPer1kTokens: 0.5, outputPer1kTokens: 2 })
  expect(estimateCostUsd('house-model', 2000, 500)).toBeCloseTo(2, 12)
})

test('a known price can be replaced, again and again', () => {
  registerModelPricing('o1', { inputPer1kTokens: 1, outputPer1kTokens: 1 })
  registerModelPricing('o1', { inputPer1kTokens: 3, outputPer1kTokens: 4 })
  expect(getModelPricing('o1')).toEqual({ inputPer1kTokens: 3, outputPer1kTokens: 4 })
  expect(estimateCostUsd('o1', 1000, 1000)).toBeCloseTo(7, 12)
})

test('a model can be given away', () => {
  registerModelPricing('free-model', { inputPer1kTokens: 0, outputPer1kTokens: 0 })
  expect(getModelPricing('free-model')).toEqual({ inputPer1kTokens: 0, outputPer1kTokens: 0 })
  expect(estimateCostUsd('free-model', 1000, 1000)).toBe(0)
})

test('a gateway reckons with a price that was set after it was made', async () => {
  const up = await upstream(openai.answer('x', { model: 'late-model', usage: [1000, 1000] }))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { models: ['late-model'] })] })
  expect((await gateway.chat(ask())).estimatedCostUsd).toBe(0)
  registerModelPricing('late-model', { inputPer1kTokens: 0.25, outputPer1kTokens: 0.5 })
  expect((await gateway.chat(ask())).estimatedCostUsd).toBeCloseTo(0.75, 12)
})

test('prices that are none are refused, with the field that was meant', () => {
  for (const [pricing, path] of [
    [{ inputPer1k: 1, outputPer1kTokens: 1 }, 'inputPer1k: unknown field; did you mean "inputPer1kTokens"?'],
    [
      { inputPer1kTokens: 1, outputPer1MTokens: 1 },
      'outputPer1MTokens: unknown field; did you mean "outputPer1kTokens"?',
    ],
    [{ inputPer1kTokens: -1, outputPer1kTokens: 1 }, 'inputPer1kTokens: must be a number of 0 or more'],
    [{ inputPer1kTokens: 1, outputPer1kTokens: NaN }, 'outputPer1kTokens: must be a number of 0 or more'],
    [{ inputPer1kTokens: 1 }, 'outputPer1kTokens: must be a number of 0 or more'],
  ]) {
    expect(() => registerModelPricing('misspelt', pricing)).toThrow(
      expect.objectContaining({ kind: 'config_invalid', message: expect.stringContaining(path) }),
    )
  }
  expect(getModelPricing('misspelt')).toBeUndefined()
})

describe('prices of a gateway', () => {
  const dear = { inputPer1kTokens: 1, outputPer1kTokens: 2 }

  test('come before all others, in bills, budgets and estimates, and are read again on reload', async () => {
    const up = await upstream(openai.answer('x', { model: 'gpt-4o-2024-08-06', usage: [1000, 500] }))
    const providers = [provider('main', up.url, { models: ['gpt-4o'] })]
    const { gateway } = gatewayOf({ providers, settings: { prices: { 'gpt-4o': dear } } })
    expect((await gateway.chat(ask())).estimatedCostUsd).toBe(2)
    expect(gateway.explain(ask({ maxTokens: 1000 })).candidates[0].estimatedCostUsd).toBeGreaterThan(2)
    await gateway.reload(config({ providers }))
    expect((await gateway.chat(ask())).estimatedCostUsd).toBeCloseTo(0.0075, 9)
    expect(getModelPricing('gpt-4o').inputPer1kTokens).toBe(0.0025)
  })

  test('hold for streams, constraints and pools', async () => {
    const up = await upstream(openai.stream(['x'], { usage: [1000, 500] }))
    const providers = [provider('a', up.url, { models: ['a'] }), provider('b', up.url, { models: ['b'] })]
    const prices = { a: dear, b: { inputPer1kTokens: 0.1, outputPer1kTokens: 0.1 } }
    const { gateway, logs } = gatewayOf({
      providers,
      rules: [pool(['a', 'b'], { strategy: 'cost' }, { constraints: { maxCostUsd: 0.5 } })],
      settings: { prices },
    })
    const { stream } = await gateway.chatStream(ask({ maxTokens: 400 }))
    await collect(stream)
    expect(logs[0]).toMatchObject({ provider: 'b', estimatedCostUsd: 0.15 })
  })

  test('an entry says what models without a known price are', async () => {
    const up = await upstream(openai.answer('x', { model: 'unheard-of', usage: [1000, 500] }))
    const at = (unknownPrice, enforcement = 'hard') =>
      gatewayOf({
        providers: [provider('main', up.url, { models: ['unheard-of'], ...(unknownPrice && { unknownPrice }) })],
        budgets: [budget('day', { maxCostUsd: 100 }, { enforcement })],
      }).gateway
    expect((await at(dear).chat(ask())).estimatedCostUsd).toBe(2)
    expect((await at('free', 'strict').chat(ask())).estimatedCostUsd).toBe(0)
    expect((await failureOf(at('refuse').chat(ask()))).kind).toBe('budget_exceeded')
    expect((await failureOf(at(undefined, 'strict').chat(ask()))).kind).toBe('budget_exceeded')
    expect(at(dear).explain(ask()).candidates[0].estimatedCostUsd).toBeGreaterThan(0)
  })

  test.each([
    ['a negative price', { inputPer1kTokens: -1, outputPer1kTokens: 1 }],
    ['a misspelt field', { inputPer1KTokens: 1, outputPer1kTokens: 1 }],
    ['a price without its other half', { inputPer1kTokens: 1 }],
  ])('%s is refused', (_, price) => {
    expect(() => gatewayOf({ providers: [], settings: { prices: { m: price } } })).toThrow('settings.prices.m')
  })
})
