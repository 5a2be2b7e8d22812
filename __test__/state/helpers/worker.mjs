// A process with a gateway of its own. It takes orders on standard input, one JSON line each, and prints a JSON line for each
// call once its answer is there: what a killed process has printed was acknowledged.
import readline from 'node:readline'
import { Gateway, loadConfigFromObjects } from '../../../index.mjs'

const { upstream, settings, budgets = [] } = JSON.parse(process.env.WORKER_CONFIG)

const entry = (name, fields) => ({
  name,
  provider: 'openai',
  baseUrl: upstream,
  models: ['gpt-4o-mini'],
  auth: { type: 'none' },
  ...fields,
})
const rule = (name, match, target, fields) => ({ name, priority: 1, match, target, ...fields })

const config = loadConfigFromObjects({
  providers: [entry('a'), entry('b')],
  routes: {
    rules: [
      rule(
        'hedged',
        { taskType: 'hedged' },
        { pool: [{ provider: 'a' }, { provider: 'b' }] },
        { hedge: { afterMs: 5, maxExtra: 1 } },
      ),
      rule('all', {}, { provider: 'a' }),
    ],
  },
  budgets,
  settings,
})
const gateway = new Gateway({ config, onUsageLog: () => {} })

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

const ask = (kind, fields) => ({
  messages: [{ role: 'user', content: `${kind} ${Math.random()}` }],
  maxTokens: 60,
  metadata: { kind },
  ...fields,
})

const ways = {
  answer: (number) => gateway.chat(ask('answer', { userId: `user-${number % 7}` })),
  fail: () => gateway.chat(ask('fail')),
  cached: (number) =>
    gateway.chat({ messages: [{ role: 'user', content: `same ${number % 3}` }], maxTokens: 60, cache: true }),
  hedged: () => gateway.chat(ask('slow', { taskType: 'hedged' })),
  async abort() {
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 3)
    return gateway.chat(ask('slow', { signal: controller.signal }))
  },
  async stream() {
    const stream = await gateway.chatStream(ask('stream'))
    for await (const _ of stream.stream);
    return stream
  },
  async abandon() {
    const stream = await gateway.chatStream(ask('stream'))
    for await (const _ of stream.stream) break
    return stream
  },
}

async function call(way, number) {
  try {
    const { requestId } = await ways[way](number)
    say({ way, requestId, code: null })
  } catch (error) {
    say({ way, requestId: error.requestId, code: error.name === 'AbortError' ? 'ABORTED' : error.code })
  }
}

/** Does `turn` with the numbers up to `count`, `atOnce` of them at a time. */
async function inTurns(count, atOnce, turn) {
  let next = 0
  const turns = async () => {
    while (next < count) await turn(next++)
  }
  await Promise.all(Array.from({ length: atOnce }, turns))
}

function run(count, atOnce) {
  const names = Object.keys(ways)
  return inTurns(count, atOnce, (number) => call(names[number % names.length], number))
}

/** Calls of one kind, `atOnce` of them at a time. */
function burst({ count, atOnce = 1, userId, maxTokens = 60 }) {
  return inTurns(count, atOnce, async (number) => {
    const began = performance.now()
    const line = { way: 'burst', number, at: Date.now() }
    const said = await gateway.chat(ask('answer', { userId, maxTokens })).then(
      ({ requestId }) => ({ requestId, code: null }),
      ({ requestId, code, message }) => ({ requestId, code, message }),
    )
    say({ ...line, ...said, took: performance.now() - began })
  })
}

const orders = {
  burst,
  run: ({ count, atOnce = 16 }) => run(count, atOnce),
  async call({ way }) {
    await call(way, 0)
  },
  async budgets() {
    say({ budgets: gateway.budgets() })
  },
  async usage({ query }) {
    say({ usage: await gateway.usage(query) })
  },
  async close() {
    await gateway.close({ graceMs: 5000 })
    say({ closed: true })
    process.exit(0)
  },
}

say({ ready: true })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line)
  orders[order.do](order).then(
    () => say({ done: order.do }),
    (error) => say({ failed: order.do, message: error.message }),
  )
}
