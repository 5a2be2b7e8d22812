import { describe, expect, test } from 'vitest'
import { run, succeed } from './run.mjs'

// Calls take some milliseconds; a connection that kept the process alive would do so for four seconds.
const PROMPT_MS = 2_000

describe('a program that has come to its end', () => {
  for (const left of [
    'idle',
    'call',
    'custom',
    'pooled',
    'readStream',
    'forgottenStream',
    'startedStream',
    'pendingSignal',
  ]) {
    test(`exits by itself: ${left}`, async () => {
      const { took } = await succeed('exit', { args: [left], timeoutMs: 10_000 })
      expect(took).toBeLessThan(PROMPT_MS)
    })
  }
})

describe('a process is kept alive', () => {
  for (const [left, settled] of [
    ['pendingChat', 'Hello there'],
    ['pendingNext', 'late'],
    ['pendingOpen', 'function'],
    ['pendingReturn', true],
    ['pendingAbort', 'TimeoutError'],
  ]) {
    test(`until it settles: ${left}`, async () => {
      const ended = await succeed('exit', { args: [left], timeoutMs: 10_000 })
      expect(ended.settled).toEqual([settled])
      expect(ended.took).toBeLessThan(600 + PROMPT_MS)
    })
  }
})

test('process.exit() in the middle of calls is clean', async () => {
  for (const delay of [0, 1, 2, 5, 10, 20, 40, 80]) {
    await succeed('exit', { args: ['exit', delay], timeoutMs: 10_000 })
  }
})

test('an exception of the program in the middle of calls ends it as usual', async () => {
  const { code, signal, stderr } = await run('exit', { args: ['throw'], timeoutMs: 10_000 })
  expect({ code, signal }).toEqual({ code: 1, signal: null })
  expect(stderr).toContain('on purpose')
})
