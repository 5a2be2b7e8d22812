// Run in a project that has installed the packed tarballs: the main thread never loads the package, workers do, one after
// the other. They end by themselves, by `process.exit`, or by their parent's `terminate`, with a call in flight.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

if (isMainThread) {
  for (const ending of ['return', 'exit', 'terminate']) {
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: ending })
      const ended = once(worker, 'exit')
      const [content] = await once(worker, 'message')
      assert.notEqual(content, '')
      if (ending === 'terminate') await worker.terminate()
      await ended
    }
  }
  console.log(`loaded by one worker after the other under Node ${process.version}`)
} else {
  const { Gateway } = await import('ai-gateway-native')
  const providers = [{ name: 'mock', provider: 'mock', models: ['gpt-4o-mini'], auth: { type: 'none' } }]
  const routes = [{ name: 'all', priority: 1, match: {}, target: { provider: 'mock' } }]
  const config = { providers, routes, fallbackChains: [], budgets: [] }
  const gateway = new Gateway({ config, onUsageLog: () => {} })
  const ask = () => gateway.chat({ messages: [{ role: 'user', content: 'Hello' }] })
  const { content } = await ask()
  if (workerData === 'terminate') {
    setInterval(() => {}, 1000)
    ask().catch(() => {})
  }
  parentPort.postMessage(content)
  if (workerData === 'exit') process.exit(0)
}
