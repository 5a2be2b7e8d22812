import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const example = fileURLToPath(new URL('../examples/failover/failover.mjs', import.meta.url))
const run = (...args) => promisify(execFile)(process.execPath, [example, ...args])

test('failover: a target dies and comes back, and no caller notices', async () => {
  // Exits with 1 if a call failed.
  const { stdout, stderr } = await run('--seconds', '4')
  expect(stderr).toBe('')
  expect(stdout).not.toContain('\x1b')
  const states = stdout.match(/\| b (up|down) (closed|open|half_open)/g)
  expect(states).toContain('| b down open')
  expect(states.at(-1)).toBe('| b up closed')
  const [, calls, failures, rescued] = stdout.match(
    /(\d+) calls, (\d+) failures seen by callers, (\d+) answered by a second target/,
  )
  expect(Number(calls)).toBeGreaterThan(50)
  expect(Number(failures)).toBe(0)
  expect(Number(rescued)).toBeGreaterThan(0)
})

test('failover: seconds that are none are refused', async () => {
  await expect(run('--seconds', 'many')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--seconds'),
  })
})
