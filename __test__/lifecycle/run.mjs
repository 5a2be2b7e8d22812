// Runs the programs of this folder, each in a process of its own.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

/** Runs `programs/NAME.mjs`; resolves to how it ended, with the JSON it printed last as `report`. */
export function run(name, { args = [], timeoutMs = 60_000 } = {}) {
  const file = fileURLToPath(new URL(`./programs/${name}.mjs`, import.meta.url))
  const started = performance.now()
  const child = spawn(process.execPath, ['--expose-gc', file, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (data) => {
      text[stream] += data
    })
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const printed = text.stdout.trim().split('\n').at(-1)
      const report = printed.startsWith('{') ? JSON.parse(printed) : undefined
      resolve({ code, signal, ...text, report, ms: performance.now() - started })
    })
  })
}

/** [`run`], for programs that must end well by themselves: exit code 0, nothing on stderr. */
export async function succeed(name, options) {
  const { code, signal, stderr, stdout, report, ms } = await run(name, options)
  expect({ code, signal, stderr }, stdout).toEqual({ code: 0, signal: null, stderr: '' })
  return { ...report, ms }
}
