// Several next() at once, and return() beside a pending one.
import { assert, begin, chunk, FINISH, gatewayOn, messages, report, serve, sleep, until } from './common.mjs'

let proceed
const upstream = await serve({
  begin,
  async steps(res) {
    begin(res)
    await new Promise((resolve) => (proceed = resolve))
    for (const word of ['one', 'two', 'three']) {
      res.write(chunk(word))
      await sleep(30)
    }
    res.end(chunk('four') + FINISH)
  },
  async cut(res) {
    begin(res)
    await sleep(50)
    res.destroy()
  },
})
const finished = { finally: 0 }
async function* silent() {
  try {
    yield { delta: 'once' }
    await new Promise(() => {})
  } finally {
    finished.finally++
  }
}
const entries = []
const gateway = gatewayOn(upstream.url, ['begin', 'steps', 'cut'], {
  customs: { silent: { chatStream: async () => ({ stream: silent() }) } },
  onUsageLog: (entry) => void entries.push(entry),
})
const open = async (taskType, signal) => (await gateway.chatStream({ messages, taskType, signal })).stream

/** Resolves to what happened, in the order in which it did. */
async function record(promises) {
  const order = []
  const watch = ([name, promise]) =>
    promise.then(
      ({ value, done }) => order.push([name, done ? 'done' : value.delta, done ? value : undefined]),
      (error) => order.push([name, error.kind ?? error.name]),
    )
  await Promise.all(Object.entries(promises).map(watch))
  return order.map((entry) => entry.filter((part) => part !== undefined).join(' '))
}

// Four at once.
let stream = await open('steps')
assert((await stream.next()).value.delta === 'once', 'the first chunk')
const four = record({ a: stream.next(), b: stream.next(), c: stream.next(), d: stream.next() })
await sleep(20)
proceed()
const order = await four
// What comes after the end, asked for before it.
const rest = await record({ a: stream.next(), b: stream.next(), c: stream.next(), d: stream.next(), e: stream.next() })

// return() beside two pending next(), nothing coming from upstream.
const leave = async (taskType) => {
  const stream = await open(taskType)
  await stream.next()
  const pending = { a: stream.next(), b: stream.next() }
  await sleep(20)
  const started = performance.now()
  const leaving = record({ ...pending, left: stream.return('value') })
  await until(() => upstream.open === 0, 'the upstream is closed')
  const closedMs = performance.now() - started
  const settled = await leaving
  const ms = performance.now() - started
  const after = await record({ next: stream.next(), again: stream.return('other') })
  return { settled, after, closedMs, ms }
}
const left = await leave('begin')
// The first one loaded a vocabulary to count with.
const leftAgain = await leave('begin')
const leftCustom = await leave('silent')

// throw() leaves as well, and gives its error back.
stream = await open('begin')
const thrown = await stream.throw(new Error('mine')).catch((error) => error.message)
await until(() => upstream.open === 0, 'the upstream is closed')

// A failure reaches the first of the pending next(), the others see the end.
stream = await open('cut')
await stream.next()
const failed = await record({ a: stream.next(), b: stream.next(), c: stream.next() })

// So does an abort.
const controller = new AbortController()
stream = await open('begin', controller.signal)
await stream.next()
const pending = record({ a: stream.next(), b: stream.next() })
await sleep(20)
controller.abort()
const aborted = await pending
await until(() => upstream.open === 0, 'the upstream is closed')
await until(() => entries.length === 7, 'each stream is logged once')
await sleep(50)
upstream.close()
const codes = entries.map(({ success, errorCode }) => errorCode ?? success)
report({ order, rest, left, leftAgain, leftCustom, thrown, failed, aborted, codes })
