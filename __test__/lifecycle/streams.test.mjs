import { describe, expect, test } from 'vitest'
import { succeed } from './run.mjs'

describe('10,000 chunks while the garbage is collected', () => {
  for (const way of ['paced', 'burst', 'custom']) {
    test(`${way}: none is lost, all in order, and forgotten streams are closed`, async () => {
      const { chunks, wrong, success, collections, open, logged } = await succeed('stream-gc', { args: [way] })
      expect({ chunks, wrong, success, open, logged }).toEqual({
        chunks: 10_000,
        wrong: 0,
        success: true,
        open: 0,
        logged: 6,
      })
      expect(collections).toBeGreaterThan(way === 'burst' ? 100 : 500)
    }, 70_000)
  }
})

test('overlapping next() resolve in order, and return() settles them at once', async () => {
  const seen = await succeed('stream-overlap')
  expect(seen.order).toEqual(['a one', 'b two', 'c three', 'd four'])
  // The finish reason and the usage come as chunks without text.
  expect(seen.rest.slice(-3)).toEqual(['c done', 'd done', 'e done'])
  for (const left of [seen.left, seen.leftAgain, seen.leftCustom]) {
    expect(left.settled.sort()).toEqual(['a done', 'b done', 'left done value'])
    expect(left.after).toEqual(['next done', 'again done other'])
    expect(left.closedMs).toBeLessThan(250)
  }
  // Counting what came so far loads a vocabulary, the first time.
  expect(seen.left.ms).toBeLessThan(2_000)
  expect(seen.leftAgain.ms).toBeLessThan(250)
  expect(seen.thrown).toBe('mine')
  expect(seen.failed).toEqual(['a provider_network', 'b done', 'c done'])
  expect(seen.aborted).toEqual(['a AbortError', 'b done'])
  expect(seen.codes).toEqual([true, true, true, true, true, 'PROVIDER_NETWORK', 'ABORTED'])
})

describe('a reader that is slower than its upstream', () => {
  for (const length of [1, 1_000]) {
    test(`holds it back, and loses nothing: chunks of ${length}`, async () => {
      const { pauses, read, grownMiB, success } = await succeed('back-pressure', { args: [length] })
      // What the kernel's buffers hold of a loopback connection, and some more.
      for (const { aheadMiB } of pauses) expect(aheadMiB).toBeLessThan(32)
      expect(grownMiB).toBeLessThan(128)
      expect(read).toBeGreaterThan(10_000)
      expect(success).toBe(true)
    }, 70_000)
  }

  test('does not let a provider written in JavaScript run far ahead', async () => {
    const { whole, logged, made, aborted, array, codes } = await succeed('custom-stream')
    expect(whole).toEqual({ read: 10_000, ahead: expect.any(Number), finally: 1 })
    expect(whole.ahead).toBeLessThan(2_500)
    expect(logged).toEqual({ inputTokens: 7, outputTokens: 10_000, success: true })
    expect(made).toBeLessThan(2_500)
    expect(aborted).toBe('AbortError')
    expect(array).toEqual(['a', 'b'])
    expect(codes).toEqual([true, true, true, true, 'ABORTED', true])
  })
})

describe('what a provider written in JavaScript begins after its call has ended is closed', () => {
  for (const moment of ['opening', 'first']) {
    test(`aborted while it is ${moment === 'opening' ? 'opening the stream' : 'making the first chunk'}`, async () => {
      const state = await succeed('custom-abort', { args: [moment] })
      expect(state.finally).toBe(state.opened)
      expect(state.made).toBeLessThanOrEqual(1)
    })
  }
})
