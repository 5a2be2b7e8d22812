// 30,000 calls that fail, in every way, and what they leave in memory.
import { assert, begin, fail, gatewayOn, messages, report, residentMiB, serve } from './common.mjs'

const WARM_UP = 20_000
const CALLS = 30_000
const AT_ONCE = 32

const upstream = await serve({ fail, begin })
let logged = 0
const gateway = gatewayOn(upstream.url, ['fail', 'begin'], {
  customs: {
    throwing: {
      async chat() {
        throw new Error(`no ${'x'.repeat(200)}`)
      },
      async chatStream() {
        throw new TypeError('no stream')
      },
    },
  },
  onUsageLog: () => void logged++,
})
const ways = [
  [() => gateway.chat({ messages, taskType: 'nobody' }), 'route_not_found'],
  [
    () => gateway.chat({ messages: [{ role: 'nobody', content: 'x'.repeat(300) }], taskType: 'fail' }),
    'invalid_request',
  ],
  [() => gateway.chat({ messages, taskType: 'fail' }), 'provider_response'],
  [() => gateway.chat({ messages, taskType: 'throwing' }), 'Error'],
  [() => gateway.chatStream({ messages, taskType: 'nobody' }), 'route_not_found'],
  [() => gateway.chatStream({ messages, taskType: 'throwing' }), 'TypeError'],
  [() => gateway.chatStream({ messages: 'none', taskType: 'fail' }), 'invalid_request'],
  [() => gateway.chat({ messages, taskType: 'begin', signal: AbortSignal.abort() }), 'AbortError'],
]
const counts = {}
async function fails(calls) {
  let next = 0
  const worker = async () => {
    while (next < calls) {
      const [call, expected] = ways[next++ % ways.length]
      const error = await call().then(
        () => undefined,
        (error) => error,
      )
      const kind = error?.kind ?? error?.name
      assert(kind === expected, `${kind} in place of ${expected}`)
      counts[kind] = (counts[kind] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
await fails(WARM_UP)
const before = await residentMiB()
const heapBefore = process.memoryUsage().heapUsed
await fails(CALLS)
const after = await residentMiB()
const heapAfter = process.memoryUsage().heapUsed
upstream.close()
report({
  counts,
  logged,
  grownMiB: Math.round(after - before),
  heapMiB: (heapAfter - heapBefore) / 2 ** 20,
})
