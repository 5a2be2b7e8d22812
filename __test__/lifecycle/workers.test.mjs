import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { succeed } from './run.mjs'

test('workers use the addon at once, each with its own environment', async () => {
  await succeed('worker-env', { timeoutMs: 20_000 })
}, 30_000)

test('200 workers terminated with calls and streams in flight leave nothing behind', async () => {
  const { terminated, streaming, requests, grownMiB } = await succeed('worker-terminate', { timeoutMs: 90_000 })
  expect(terminated).toBe(200)
  expect(streaming).toBe(133)
  expect(requests).toBeGreaterThan(133 * 6)
  expect(grownMiB).toBeLessThan(64)
}, 100_000)

test.each(['return', 'exit', 'terminate'])(
  'workers load the addon one after the other when the main thread never does (ending: %s)',
  async (ending) => {
    const { answers } = await succeed('worker-first', { args: [ending], timeoutMs: 20_000 })
    expect(answers).toBe(3)
  },
  30_000,
)

test('vitest runs two files in worker threads', async () => {
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
  const config = fileURLToPath(new URL('./threads/vitest.config.mjs', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [vitest, 'run', '--config', config], {
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
  })
  expect(stdout).toMatch(/Test Files\s+2 passed/)
}, 60_000)
