// The main thread never loads the package: workers do, one after the other. How each of them ends is the argument:
// `return` (by itself), `exit` (by `process.exit`), `terminate` (by its parent, with a call in flight).
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

const ROUNDS = 3
const ending = isMainThread ? process.argv[2] : workerData

async function answerOnce() {
  const { Gateway } = await import('../../../index.mjs')
  const providers = [{ name: 'mock', provider: 'mock', models: ['gpt-4o-mini'], auth: { type: 'none' } }]
  const routes = [{ name: 'all', priority: 1, match: {}, target: { provider: 'mock' } }]
  const config = { providers, routes, fallbackChains: [], budgets: [] }
  const gateway = new Gateway({ config, onUsageLog: () => {} })
  const ask = () => gateway.chat({ messages: [{ role: 'user', content: 'Hello' }] })
  const { content } = await ask()
  if (ending === 'terminate') ask().catch(() => {})
  return content
}

if (isMainThread) {
  let answers = 0
  for (let round = 0; round < ROUNDS; round++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: ending })
    const ended = once(worker, 'exit')
    const [content] = await once(worker, 'message')
    if (content.length > 0) answers++
    if (ending === 'terminate') await worker.terminate()
    await ended
  }
  console.log(JSON.stringify({ answers }))
} else {
  parentPort.postMessage(await answerOnce())
  if (ending === 'exit') process.exit(0)
  if (ending === 'terminate') setInterval(() => {}, 1000)
}
