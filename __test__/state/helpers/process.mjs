// Worker processes, and the upstream that they share.
import { spawn } from 'node:child_process'
import readline from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { openai, upstream } from '../../helpers/upstream.mjs'

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url))

/** Answers by what the prompt begins with: `fail` fails, `slow` takes its time, a request for a stream gets one. */
export function ledgerUpstream() {
  return upstream(async (req, res, { body }) => {
    const prompt = body.messages[0].content
    if (prompt.startsWith('fail'))
      return res.writeHead(400, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}')
    if (prompt.startsWith('slow')) await sleep(15)
    if (res.destroyed) return
    const answer = body.stream
      ? openai.stream(['a', 'b', 'c', 'd'], { usage: [20, 40] })
      : openai.answer('Hi', { usage: [20, 40] })
    res.writeHead(200, { 'content-type': body.stream ? 'text/event-stream' : 'application/json', ...answer.headers })
    res.end(body.stream ? answer.body : JSON.stringify(answer.body))
  })
}

/** Starts a worker: `do(order)` resolves when the order is done; `lines` has what it said. `env` is added to its environment. */
export async function worker(config, env = {}) {
  const child = spawn(process.execPath, [WORKER], {
    env: { ...process.env, ...env, WORKER_CONFIG: JSON.stringify(config) },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = []
  let waiting = []
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(JSON.parse(line))
    waiting = waiting.filter(({ is, resolve }) => !is(lines.at(-1)) || resolve(lines.at(-1)))
  })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const until = (is) => new Promise((resolve) => waiting.push({ is, resolve }))
  const died = exited.then((code) => {
    throw new Error(`a worker ended before it was ready: ${code}`)
  })
  died.catch(() => {})
  await Promise.race([until(({ ready }) => ready), died])
  return {
    lines,
    exited,
    kill: (signal = 'SIGKILL') => {
      child.kill(signal)
      return signal === 'SIGKILL' ? exited : undefined
    },
    async do(name, fields = {}) {
      const done = until((line) => line.done === name || line.failed === name)
      const from = lines.length
      child.stdin.write(`${JSON.stringify({ do: name, ...fields })}\n`)
      const { failed, message } = await done
      if (failed) throw new Error(`${name}: ${message}`)
      return lines.slice(from)
    },
    async close() {
      child.stdin.write('{"do":"close"}\n')
      await exited
    },
    /** The calls that were acknowledged. */
    acknowledged: () => lines.filter(({ way }) => way !== undefined),
  }
}

/** What the first budget of a worker stands at, in tokens. */
export async function standing(worker) {
  const [{ budgets }] = await worker.do('budgets')
  return { spent: budgets[0].spent.totalTokens, reserved: budgets[0].reserved.totalTokens }
}
