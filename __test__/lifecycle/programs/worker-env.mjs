// Several workers load the addon at the same moment, each with an environment of its own.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Gateway } from '../../../index.mjs'
import { answer, assert, gatewayOn, messages, report, serve, texts } from './common.mjs'

const WORKERS = 6

const entry = { auth: { type: 'bearer', envVar: 'THREAD_KEY' } }

async function work(url) {
  const gateway = gatewayOn(url, ['answer'], {
    entry,
    customs: { local: { chat: async () => ({ content: process.env.THREAD_KEY, model: 'm' }) } },
  })
  const calls = Array.from({ length: 30 }, () => gateway.chat({ messages, taskType: 'answer' }))
  for (const { content } of await Promise.all(calls)) assert(content === 'Hello there', content)
  const { stream } = await gateway.chatStream({ messages, taskType: 'answer' })
  assert((await texts(stream)).join('') === 'Hello there', 'a stream')
  const { content } = await gateway.chat({ messages, taskType: 'local' })
  // Set after the start: seen by providers that are built from then on.
  process.env.LATER_KEY = `later ${process.env.THREAD_KEY}`
  const late = gatewayOn(url, ['later'], { entry: { auth: { type: 'bearer', envVar: 'LATER_KEY' } } })
  await late.chat({ messages, taskType: 'later' })
  return content
}

if (isMainThread) {
  const keys = new Map()
  const count = (res, body, req) => {
    const key = req.headers.authorization
    keys.set(key, (keys.get(key) ?? 0) + 1)
    answer(res, body)
  }
  const upstream = await serve({ answer: count, later: count })
  process.env.THREAD_KEY = 'of the main thread'
  const start = (index) =>
    new Promise((resolve, reject) => {
      const env = { THREAD_KEY: `key ${index}` }
      const worker = new Worker(new URL(import.meta.url), { env, workerData: upstream.url })
      let content
      worker.on('message', (message) => (content = message))
      worker.on('error', reject)
      // By itself: nothing of the addon keeps a worker running.
      worker.on('exit', (code) => resolve({ code, content }))
    })
  const starts = Array.from({ length: WORKERS }, (_, index) => start(index))
  const own = await work(upstream.url)
  assert(own === 'of the main thread', own)
  const ended = await Promise.all(starts)
  for (const [index, end] of ended.entries()) {
    assert(end.code === 0 && end.content === `key ${index}`, JSON.stringify(ended))
  }
  for (const name of ['of the main thread', ...ended.map(({ content }) => content)]) {
    assert(keys.get(`Bearer ${name}`) === 31, `requests with ${name}: ${keys.get(`Bearer ${name}`)}`)
    assert(keys.get(`Bearer later ${name}`) === 1, `late requests with ${name}`)
  }
  // A key that only another thread has is none.
  const warnings = []
  console.warn = (line) => warnings.push(line)
  const providers = [{ name: 'p', provider: 'openai', models: ['m'], auth: { type: 'apiKey', envVar: 'LATER_WORKER' } }]
  new Gateway({ config: { providers, routes: [], fallbackChains: [], budgets: [] } })
  assert(warnings.length === 1 && warnings[0].includes('LATER_WORKER is not set'), warnings.join())
  upstream.close()
  report({ keys: keys.size })
} else {
  parentPort.postMessage(await work(workerData))
}
