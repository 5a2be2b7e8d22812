// 10,000 chunks while the garbage is collected again and again; the reader is held by nothing but its pending await.
// The argument says how chunks come: `paced` (the reader waits for each few) or `burst`, `custom` (from JavaScript).
import { begin, chunk, FINISH, gatewayOn, messages, report, serve, sleep, until } from './common.mjs'

const CHUNKS = 10_000
const [, , way] = process.argv

async function paced(res) {
  for (let sent = 0; sent < CHUNKS; ) {
    for (let i = 0; i < 10 && sent < CHUNKS; i++) res.write(chunk(`${sent++} `))
    await sleep(1)
  }
  res.end(FINISH)
}

async function burst(res) {
  for (let sent = 0; sent < CHUNKS; ) {
    let piece = ''
    for (let i = 0; i < 2500 && sent < CHUNKS; i++) piece += chunk(`${sent++} `)
    // Cut inside of an event.
    res.write(piece.slice(0, -40))
    await sleep(20)
    res.write(piece.slice(-40))
  }
  res.end(FINISH)
}

async function* numbers() {
  for (let sent = 0; sent < CHUNKS; sent++) {
    if (sent % 10 === 0) await sleep(1)
    yield { delta: `${sent} ` }
  }
}

const upstream = await serve({ paced, burst, begin })
const entries = []
const gateway = gatewayOn(upstream.url, ['paced', 'burst', 'begin'], {
  customs: { custom: { chatStream: async () => ({ stream: numbers() }) } },
  onUsageLog: (entry) => void entries.push(entry),
})

let collections = 0
const collector = setInterval(() => {
  globalThis.gc()
  collections++
}, 4)

const seen = { chunks: 0, wrong: 0, done: false }

// Once it waits, only the stream it reads knows of this function's frame.
async function read() {
  const { stream } = await gateway.chatStream({ messages, taskType: way })
  for await (const { delta } of stream) {
    if (delta === '') continue
    if (delta !== `${seen.chunks} `) seen.wrong++
    seen.chunks++
    if (seen.chunks % 7 === 0 && way === 'burst') {
      globalThis.gc({ type: 'minor' })
      collections++
    }
  }
  seen.done = true
}
read()

// Beside it, streams nobody reads any more are collected and closed.
for (let i = 0; i < 5; i++) await gateway.chatStream({ messages, taskType: 'begin' })
await until(() => entries.filter(({ routeRule }) => routeRule === 'begin').length === 5, 'forgotten streams are closed')

await until(() => seen.done, `the end, at ${seen.chunks}`, 50_000)
await until(() => entries.length === 6, 'each stream is logged')
await sleep(50)
clearInterval(collector)
upstream.close()
const { success } = entries.find(({ routeRule }) => routeRule === way)
report({ ...seen, success, collections, open: upstream.open, logged: entries.length })
