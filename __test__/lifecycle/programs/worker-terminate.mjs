// Workers are terminated in the middle of everything, 200 times.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import {
  answer,
  assert,
  begin,
  gatewayOn,
  messages,
  report,
  residentMiB,
  serve,
  sleep,
  stall,
  trickle,
  until,
} from './common.mjs'

const BATCH = 4
const BATCHES = 50

async function work({ url, loud }) {
  const customs = {
    silent: { chat: () => new Promise(() => {}) },
    busy: {
      async *numbers() {
        for (let number = 0; ; number++) {
          if (number % 50 === 0) await sleep(1)
          yield { delta: `${number}` }
        }
      },
      async chatStream() {
        return { stream: this.numbers(), getUsage: () => undefined }
      },
    },
  }
  const gateway = gatewayOn(url, ['answer', 'stall', 'begin', 'trickle'], { customs })
  const read = async (taskType) => {
    const { stream } = await gateway.chatStream({ messages, taskType })
    let chunks = 0
    for await (const _ of stream) if (++chunks === 3 && loud) parentPort.postMessage(taskType)
  }
  const calls = ['stall', 'stall', 'answer', 'answer', 'silent'].map((taskType) => gateway.chat({ messages, taskType }))
  const cancelled = gateway.chat({ messages, taskType: 'stall', signal: AbortSignal.timeout(15) }).catch(() => {})
  await Promise.all([...calls, cancelled, read('begin'), read('trickle'), read('trickle'), read('busy')])
}

if (isMainThread) {
  const upstream = await serve({ answer, stall, begin, trickle })
  let terminated = 0
  let streaming = 0

  const terminate = async (index) => {
    // Every third is stopped at any moment of its start, the others while their streams are being read.
    const loud = index % 3 !== 0
    const worker = new Worker(new URL(import.meta.url), { workerData: { url: upstream.url, loud } })
    const failed = new Promise((_, reject) => {
      worker.once('error', reject).once('exit', (code) => reject(new Error(`a worker ended by itself: ${code}`)))
    })
    if (loud) {
      await Promise.race([failed, new Promise((resolve) => worker.once('message', resolve))])
      streaming++
      await sleep(index % 7)
    } else {
      await Promise.race([failed, sleep((index * 37) % 120)])
    }
    await worker.terminate()
    terminated++
  }

  // The main thread's own calls go on beside.
  const gateway = gatewayOn(upstream.url, ['answer', 'trickle'])
  const { stream } = await gateway.chatStream({ messages, taskType: 'trickle' })
  await stream.next()

  let early
  for (let batch = 0; batch < BATCHES; batch++) {
    await Promise.all(Array.from({ length: BATCH }, (_, index) => terminate(batch * BATCH + index)))
    const { content } = await gateway.chat({ messages, taskType: 'answer' })
    assert(content === 'Hello there', 'an answer on the main thread')
    assert((await stream.next()).value.delta === 'more', 'a chunk on the main thread')
    if (batch === 9) early = await residentMiB()
  }
  const late = await residentMiB()
  const { requests } = upstream
  await until(() => upstream.open === 1, 'the answers to the terminated workers are closed')
  await until(() => upstream.sockets.size <= 2, 'their connections are closed')
  await stream.return()
  await until(() => upstream.open === 0, 'the last stream is closed')
  upstream.close()
  report({ terminated, streaming, requests, grownMiB: Math.round(late - early) })
} else {
  await work(workerData)
}
