// Streams of a provider written in JavaScript: how far they run ahead of their reader, and how they are closed.
import { assert, gatewayOn, messages, report, sleep, until } from './common.mjs'

const CHUNKS = 10_000
const state = { made: 0, finally: 0, opened: 0 }

async function* numbers(pause) {
  state.opened++
  try {
    for (let number = 0; number < CHUNKS; number++) {
      if (pause !== undefined && number === pause.at) await pause.wait
      state.made++
      yield { delta: `${number} ` }
    }
  } finally {
    state.finally++
  }
}

const usage = { content: '', model: 'numbers', inputTokens: 7, outputTokens: CHUNKS, totalTokens: CHUNKS + 7 }
const opening = Promise.resolve()
let pause
const entries = []
const gateway = gatewayOn('', [], {
  customs: {
    numbers: {
      async chatStream() {
        await opening
        return { stream: numbers(pause), getUsage: async () => usage }
      },
    },
    // A plain array is iterable too.
    array: { chatStream: () => ({ stream: ['a', 'b'].map((delta) => ({ delta })) }) },
  },
  onUsageLog: (entry) => void entries.push(entry),
})
const open = async (signal) => (await gateway.chatStream({ messages, taskType: 'numbers', signal })).stream
const reset = () => Object.assign(state, { made: 0, finally: 0, opened: 0 })

// A reader that stops now and then.
let ahead = 0
let read = 0
for await (const { delta } of await open()) {
  assert(delta === `${read} `, `chunk ${read} is ${delta}`)
  read++
  if (read % 2000 === 1) {
    await sleep(150)
    ahead = Math.max(ahead, state.made - read)
  }
}
const whole = { read, ahead, finally: state.finally }
const { inputTokens, outputTokens, success } = entries[0]
const logged = { inputTokens, outputTokens, success }

// A reader that leaves.
reset()
for await (const _ of await open()) if (++read % 10 === 0) break
await until(() => state.finally === 1, 'the provider is closed when the reader breaks')
const made = state.made

// One that leaves while the provider is at rest, far ahead of it.
reset()
let stream = await open()
await stream.next()
await sleep(150)
await stream.return()
await until(() => state.finally === 1, 'a resting provider is closed')

// One that is forgotten.
reset()
const forget = async () => void (await (await open()).next())
await forget()
const collector = setInterval(() => globalThis.gc(), 10)
await until(() => state.finally === 1, 'the provider of a forgotten stream is closed')
clearInterval(collector)

// A signal, once the stream is being read.
reset()
const controller = new AbortController()
stream = await open(controller.signal)
await stream.next()
controller.abort()
let aborted
try {
  for await (const _ of stream);
} catch (error) {
  aborted = error.name
}
await until(() => state.finally === 1, 'the provider of an aborted stream is closed')

const array = []
for await (const { delta } of (await gateway.chatStream({ messages, taskType: 'array' })).stream) array.push(delta)
await until(() => entries.length === 6, 'each stream is logged once')
await sleep(50)
report({ whole, logged, made, aborted, array, codes: entries.map(({ success, errorCode }) => errorCode ?? success) })
