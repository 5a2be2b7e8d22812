// Calls that end before a provider written in JavaScript has begun: what it begins afterwards is closed.
// The argument says where the provider is at that moment.
import { assert, gatewayOn, messages, report, sleep, until } from './common.mjs'

const [, , moment] = process.argv
let begin
const begun = new Promise((resolve) => (begin = resolve))
const state = { opened: 0, made: 0, finally: 0 }

async function* numbers() {
  state.opened++
  try {
    if (moment === 'first') await begun
    for (;;) {
      state.made++
      yield { delta: 'x' }
      if (state.made % 100 === 0) await sleep(1)
    }
  } finally {
    state.finally++
  }
}
let called = 0
const gateway = gatewayOn('', [], {
  customs: {
    numbers: {
      async chatStream() {
        called++
        if (moment === 'opening') await begun
        return { stream: numbers() }
      },
    },
  },
})
const controller = new AbortController()
const call = gateway.chatStream({ messages, taskType: 'numbers', signal: controller.signal })
await until(() => (moment === 'opening' ? called === 1 : state.opened === 1), 'the provider is asked')
controller.abort()
const reason = await call.catch((error) => error)
assert(reason === controller.signal.reason, `rejected with ${reason}`)
// The provider goes on only now.
begin()
await sleep(100)
report(state)
