// A reader that is slower than an endless upstream.
import { assert, chunk, gatewayOn, messages, report, residentMiB, serve, sleep, until } from './common.mjs'

const PAUSE_MS = 1_500
// The argument is the length of a chunk's text.
const padding = 'x'.repeat(Number(process.argv[2]))
const sent = { chunks: 0, bytes: 0, full: 0 }
let socket
let drained

const upstream = await serve({
  async endless(res) {
    socket = res.socket
    res.on('drain', () => drained()).on('close', () => drained?.())
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    while (!res.destroyed) {
      const data = chunk(`${sent.chunks++} ${padding}`)
      sent.bytes += data.length
      if (res.write(data)) {
        // The reader shares this thread.
        if (sent.chunks % 64 === 0) await new Promise(setImmediate)
        continue
      }
      sent.full++
      await new Promise((resolve) => (drained = resolve))
    }
  },
})
const entries = []
const gateway = gatewayOn(upstream.url, ['endless'], {
  // The reader's own pauses do not count as the provider's.
  entry: { timeoutMs: 500, maxResponseBytes: 2 ** 40 },
  onUsageLog: (entry) => void entries.push(entry),
})
const before = await residentMiB()
const { stream } = await gateway.chatStream({ messages, taskType: 'endless' })
let read = 0
async function take(count) {
  for (const end = read + count; read < end; read++) {
    const { value, done } = await stream.next()
    assert(!done && value.delta === `${read} ${padding}`, `chunk ${read} is ${value?.delta.slice(0, 20)}`)
  }
}

const pauses = []
let most = 0
for (let round = 0; round < 2; round++) {
  await take(100)
  await until(() => sent.full > 0, 'the upstream is held back')
  await sleep(PAUSE_MS)
  const written = socket.bytesWritten
  const { chunks } = sent
  await sleep(300)
  assert(socket.bytesWritten === written && sent.chunks === chunks, 'the upstream stands still while nobody reads')
  most = Math.max(most, await residentMiB())
  pauses.push({ ahead: chunks - read, aheadMiB: ((chunks - read) * (sent.bytes / chunks)) / 2 ** 20 })
  // Everything that was on its way, and as much again.
  sent.full = 0
  await take((chunks - read) * 2)
}
// Slow all the time.
for (let i = 0; i < 200; i++) {
  await take(1)
  await sleep(1)
}
await stream.return()
await until(() => upstream.open === 0, 'the upstream is closed')
await until(() => entries.length === 1, 'the stream is logged')
upstream.close()
report({ pauses, read, grownMiB: Math.round(most - before), success: entries[0].success })
