import { describe, expect, test } from 'vitest'
import { run } from './run.mjs'

describe('after any mix of calls, budgets have counted exactly what the usage log says and hold nothing', () => {
  for (const seed of [1, 2, 3]) {
    test(`seed ${seed}`, async () => {
      const { code, signal, report, stderr } = await run('budget-mix', { args: [seed, 500], timeoutMs: 30_000 })
      expect({ code, signal }, stderr).toEqual({ code: 0, signal: null })
      // Each probe is refused by its own policy one unit above its limit, and not before.
      expect(report.probes).toEqual({ strictOver: 'strict', strict: 'strict', cost: 'cost', hard: 'hard' })
      expect(report.mixed.tokens).toBeGreaterThan(1_000)
      for (const outcome of [
        'answered',
        'read',
        'left',
        'forgotten',
        'AbortError',
        'TimeoutError',
        'Error',
        'provider_response',
      ]) {
        expect(report.outcomes[outcome], outcome).toBeGreaterThan(0)
      }
      const warnings = stderr.trim().split('\n')
      expect(warnings.filter((line) => !line.startsWith('[budget-warn] '))).toEqual([])
      // One for the probe of each policy, and one for the model without a price that a policy counts.
      expect(warnings.filter((line) => line.includes('the price of model'))).toHaveLength(1)
      expect(warnings).toHaveLength(5)
    }, 40_000)
  }
})
