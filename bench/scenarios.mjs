// What is measured. Runs in the child process; `run(target, size)` gives one repetition's figures by column.
import { performance } from 'node:perf_hooks'
import { tlsScenarios } from './tls.mjs'

/** Lengths of the upstream's texts: of a whole answer, and of a chunk of a stream. */
export const ANSWER_CHARS = 640
export const CHUNK_CHARS = 20

const MIB = 2 ** 20
const CPU = (unit) => `CPU µs/${unit}`
const LOOP = (unit) => `loop µs/${unit}`
const rss = () => process.memoryUsage().rss / MIB

/** `total` calls, `width` at a time. */
async function spread(total, width, call) {
  let started = 0
  const lane = async () => {
    while (started < total) await call(started++)
  }
  await Promise.all(Array.from({ length: Math.min(width, total) }, lane))
}

async function measure(unit, count, work) {
  globalThis.gc?.()
  const cpu = process.cpuUsage()
  const loop = performance.eventLoopUtilization()
  const start = performance.now()
  await work()
  const ms = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  const { active } = performance.eventLoopUtilization(loop)
  return {
    [CPU(unit)]: (user + system) / count,
    [LOOP(unit)]: (active * 1e3) / count,
    [`${unit}s/s`]: (count / ms) * 1e3,
    'peak RSS MiB': process.resourceUsage().maxRSS / 1024,
  }
}

async function ask(target, method = 'chat') {
  const { length } = await target[method]()
  if (length !== ANSWER_CHARS) throw new Error(`an answer of ${length} characters, not ${ANSWER_CHARS}`)
}

async function chat(target, { calls, warmUp, width, method }) {
  const times = new Float64Array(calls)
  await spread(warmUp, width, () => ask(target, method))
  const figures = await measure('call', calls, () =>
    spread(calls, width, async (i) => {
      const start = performance.now()
      await ask(target, method)
      times[i] = performance.now() - start
    }),
  )
  times.sort()
  return { ...figures, 'p50 µs': times[calls >> 1] * 1e3, 'p99 µs': times[Math.floor(calls * 0.99)] * 1e3 }
}

async function stream(target, { streams, width, chunks }) {
  let pieces = 0
  const read = async () => {
    let chars = 0
    for await (const text of target.stream()) {
      pieces += 1
      chars += text.length
    }
    if (chars !== chunks * CHUNK_CHARS) throw new Error(`a stream of ${chars} characters, not ${chunks * CHUNK_CHARS}`)
  }
  await spread(width, width, read)
  pieces = 0
  const count = streams * chunks
  const figures = await measure('chunk', count, () => spread(streams, width, read))
  return { ...figures, 'chunks/piece': count / pieces }
}

async function memory(target, { calls, width }) {
  const first = calls >> 2
  await spread(first, width, () => ask(target))
  const quarter = rss()
  await spread(calls - first, width, () => ask(target))
  const end = rss()
  globalThis.gc?.()
  return {
    'growth MiB': end - quarter,
    'RSS at 1/4 MiB': quarter,
    'RSS at end MiB': end,
    'live heap at end MiB': process.memoryUsage().heapUsed / MIB,
  }
}

async function cold(target) {
  await ask(target)
  const ms = performance.now() // since the process started
  const { user, system } = process.cpuUsage()
  return { 'ms to first answer': ms, 'CPU ms': (user + system) / 1e3, 'RSS MiB': rss() }
}

/**
 * `ratios`: the columns that the table of ratios divides, with their names there. `only`: the targets that can do it.
 */
export const scenarios = {
  chat: {
    title: ({ calls, width }) => `chat: ${calls} calls, ${width} at once`,
    full: { calls: 20_000, warmUp: 2_000, width: 64 },
    quick: { calls: 2_000, warmUp: 500, width: 64 },
    ratios: { [CPU('call')]: 'chat, CPU per call', [LOOP('call')]: 'chat, loop time per call' },
    run: chat,
  },
  stream: {
    title: ({ streams, chunks }) => `stream: ${chunks} chunks, one stream at a time, ${streams} in all`,
    full: { streams: 3, width: 1, chunks: 20_000, delay: 0 },
    quick: { streams: 1, width: 1, chunks: 5_000, delay: 0 },
    ratios: { [CPU('chunk')]: 'long stream, CPU per chunk', [LOOP('chunk')]: 'long stream, loop time per chunk' },
    run: stream,
  },
  fanout: {
    title: ({ streams, width, chunks }) => `fanout: streams of ${chunks} chunks, ${width} at once, ${streams} in all`,
    full: { streams: 256, width: 64, chunks: 500, delay: 0 },
    quick: { streams: 64, width: 64, chunks: 100, delay: 0 },
    ratios: { [CPU('chunk')]: '64 streams, CPU per chunk', [LOOP('chunk')]: '64 streams, loop time per chunk' },
    run: stream,
  },
  paced: {
    title: ({ width, chunks, delay }) => `paced: ${width} streams of ${chunks} chunks at once, one each ${delay} ms`,
    full: { streams: 64, width: 64, chunks: 200, delay: 10 },
    quick: { streams: 64, width: 64, chunks: 50, delay: 10 },
    ratios: {
      [CPU('chunk')]: '64 paced streams, CPU per chunk',
      [LOOP('chunk')]: '64 paced streams, loop time per chunk',
    },
    run: stream,
  },
  memory: {
    title: ({ calls, width }) => `memory: ${calls} calls, ${width} at once`,
    full: { calls: 40_000, width: 64 },
    quick: { calls: 4_000, width: 64 },
    ratios: { 'growth MiB': 'memory, growth in MiB' },
    run: memory,
  },
  cached: {
    title: ({ calls }) => `cached: ${calls} calls that the cache answers, one at a time`,
    full: { calls: 50_000, warmUp: 5_000, width: 1, method: 'cached' },
    quick: { calls: 2_000, warmUp: 200, width: 1, method: 'cached' },
    ratios: {},
    only: ['gateway'],
    run: chat,
  },
  pool: {
    title: ({ calls, width }) => `pool: ${calls} calls, ${width} at once, to a pool of 200 targets`,
    full: { calls: 20_000, warmUp: 2_000, width: 64, method: 'pooled', pools: true },
    quick: { calls: 2_000, warmUp: 500, width: 64, method: 'pooled', pools: true },
    ratios: {},
    only: ['gateway'],
    run: chat,
  },
  cold: {
    title: () => 'cold: a new process up to its first answer',
    full: {},
    quick: {},
    ratios: { 'ms to first answer': 'cold start, ms to first answer' },
    run: cold,
  },
  ...tlsScenarios,
}

/** Where a target finds the upstream of a scenario; the path says what it streams. */
export const upstreamUrl = (port, { chunks = 20, delay = 0, tls = false }) =>
  `${tls ? 'https' : 'http'}://127.0.0.1:${port}/chunks-${chunks}-delay-${delay}/v1`
