import { expect, test } from 'vitest'
import { succeed } from './run.mjs'

test('30,000 failed calls leave nothing in memory', async () => {
  const { counts, logged, grownMiB, heapMiB } = await succeed('rejections')
  const calls = 50_000
  expect(counts).toEqual({
    route_not_found: calls / 4,
    invalid_request: calls / 4,
    provider_response: calls / 8,
    AbortError: calls / 8,
    Error: calls / 8,
    TypeError: calls / 8,
  })
  // Refusals by routing and bad requests have no entry.
  expect(logged).toBe(calls / 2)
  expect(grownMiB).toBeLessThan(24)
  expect(heapMiB).toBeLessThan(4)
}, 70_000)
