// Ends without a word about ending: nothing but pending calls may keep this process alive.
// The argument names what is left behind.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { assert, gatewayOn, messages, sleep } from './common.mjs'

const [, , scenario] = process.argv
// The upstream is a process of its own, so that no handle of this one belongs to it.
const upstream = spawn(process.execPath, [fileURLToPath(new URL('./upstream.mjs', import.meta.url))], {
  stdio: ['pipe', 'pipe', 'inherit'],
})
const url = await new Promise((resolve) => upstream.stdout.once('data', (data) => resolve(String(data).trim())))
upstream.unref()
upstream.stdout.unref()
upstream.stdin.unref()

const names = ['answer', 'stall', 'begin', 'late', 'latestream']
const gateway = gatewayOn(url, names, {
  customs: {
    custom: { chat: async () => ({ content: 'c', model: 'm', inputTokens: 1, outputTokens: 1, totalTokens: 2 }) },
    never: { chat: () => new Promise(() => {}) },
  },
})
const started = performance.now()
const settled = []
const end = () => console.log(JSON.stringify({ settled, took: performance.now() - started }))
process.on('exit', end)

const scenarios = {
  async idle() {},
  async call() {
    assert((await gateway.chat({ messages, taskType: 'answer' })).content === 'Hello there', 'an answer')
  },
  async custom() {
    assert((await gateway.chat({ messages, taskType: 'custom' })).content === 'c', 'an answer')
  },
  async pooled() {
    const calls = Array.from({ length: 20 }, () => gateway.chat({ messages, taskType: 'answer' }))
    await Promise.all(calls)
  },
  async readStream() {
    const { stream } = await gateway.chatStream({ messages, taskType: 'answer' })
    for await (const _ of stream);
  },
  async forgottenStream() {
    const { stream } = await gateway.chatStream({ messages, taskType: 'begin' })
    // Held: it is not its collection that lets the process end.
    globalThis.held = stream
  },
  async startedStream() {
    const { stream } = await gateway.chatStream({ messages, taskType: 'begin' })
    assert((await stream.next()).value.delta === 'once', 'a chunk')
    globalThis.held = stream
  },
  async pendingSignal() {
    const controller = new AbortController()
    globalThis.held = controller
    await gateway.chat({ messages, taskType: 'answer', signal: controller.signal })
  },
  // These go on until the upstream answers, 600 ms after it was asked.
  async pendingChat() {
    gateway.chat({ messages, taskType: 'late' }).then(({ content }) => settled.push(content))
  },
  async pendingNext() {
    const { stream } = await gateway.chatStream({ messages, taskType: 'latestream' })
    assert((await stream.next()).value.delta === 'once', 'a chunk')
    stream.next().then(({ value }) => settled.push(value.delta))
  },
  async pendingReturn() {
    const { stream } = await gateway.chatStream({ messages, taskType: 'begin' })
    stream.return().then(({ done }) => settled.push(done))
  },
  async pendingOpen() {
    gateway.chatStream({ messages, taskType: 'late' }).then(({ stream }) => settled.push(typeof stream.next))
  },
  async pendingAbort() {
    const chat = gateway.chat({ messages, taskType: 'stall', signal: AbortSignal.timeout(300) })
    chat.catch((error) => settled.push(error.name))
  },
  // In the middle of everything.
  async exit() {
    const [delay] = process.argv.slice(3).map(Number)
    const calls = []
    for (const taskType of ['stall', 'answer', 'answer', 'late', 'custom', 'never']) {
      calls.push(gateway.chat({ messages, taskType }))
    }
    for (const taskType of ['begin', 'latestream', 'answer']) {
      calls.push(gateway.chatStream({ messages, taskType }).then(({ stream }) => stream.next()))
    }
    await sleep(delay)
    process.exit(0)
  },
  async throw() {
    gateway.chat({ messages, taskType: 'stall' })
    const { stream } = await gateway.chatStream({ messages, taskType: 'begin' })
    stream.next()
    throw new Error('on purpose')
  },
}

await scenarios[scenario]()
