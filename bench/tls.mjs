// What is measured over TLS: the gateway over HTTP/1.1 beside the gateway over HTTP/2. `run.mjs` adds the handshakes.
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

const MIB = 2 ** 20
const rss = () => process.memoryUsage().rss / MIB
const cpuMs = (since) => {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1e3
}
const quantile = (sorted, part) => sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)]

/** All at once, in a process that has made no call yet. */
async function burst(target, { streams }) {
  const first = []
  const before = rss()
  const cpu = process.cpuUsage()
  let opened
  const allOpen = new Promise((resolve) => {
    opened = resolve
  })
  const read = async () => {
    const start = performance.now()
    let chars = 0
    for await (const text of target.stream()) {
      if (chars === 0 && first.push(performance.now() - start) === streams) opened()
      chars += text.length
    }
    return chars
  }
  const reading = Promise.all(Array.from({ length: streams }, read))
  await Promise.race([allOpen, reading])
  const toOpen = cpuMs(cpu)
  const during = rss()
  await reading
  first.sort((a, b) => a - b)
  return {
    'CPU ms to the last first text': toOpen,
    'CPU ms in all': cpuMs(cpu),
    'growth MiB': during - before,
    'p50 ms to first text': quantile(first, 0.5),
    'p99 ms to first text': quantile(first, 0.99),
  }
}

/** One call, a pause, one call, … */
async function seldom(target, { calls, pause }) {
  const times = []
  const before = rss()
  const cpu = process.cpuUsage()
  for (let i = 0; i < calls; i++) {
    if (i > 0) await sleep(pause)
    const start = performance.now()
    await target.chat()
    times.push(performance.now() - start)
  }
  const [first, ...later] = times
  later.sort((a, b) => a - b)
  return {
    'CPU ms/call': cpuMs(cpu) / calls,
    'growth MiB': rss() - before,
    'ms of the first call': first,
    'p50 ms of later ones': quantile(later, 0.5),
  }
}

/** The targets that speak TLS; the other scenarios have all others. */
export const only = ['http1', 'http2']

export const tlsScenarios = {
  burst: {
    title: ({ streams, chunks, delay }) =>
      `burst: over TLS, ${streams} streams of ${chunks} chunks at once, one each ${delay} ms, in a new process`,
    full: { streams: 256, chunks: 100, delay: 20, tls: true },
    quick: { streams: 64, chunks: 20, delay: 20, tls: true },
    ratios: {},
    only,
    run: burst,
  },
  seldom: {
    title: ({ calls, pause }) => `seldom: over TLS, ${calls} calls, one each ${pause / 1e3} s`,
    full: { calls: 10, pause: 1_000, tls: true },
    quick: { calls: 3, pause: 200, tls: true },
    ratios: {},
    only,
    run: seldom,
  },
}
