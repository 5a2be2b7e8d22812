// A mix of calls that end in every way there is; then: have the budgets counted what the usage log says, to the token
// and to the picodollar, and is nothing held any more? Arguments: seed, number of calls.
import { registerModelPricing } from '../../../index.mjs'
import {
  answer,
  assert,
  begin,
  chunk,
  fail,
  gatewayOn,
  messages,
  report,
  serve,
  sleep,
  stall,
  trickle,
  until,
} from './common.mjs'

const [seed, CALLS] = process.argv.slice(2).map(Number)

// mulberry32
let state = seed
function random(below) {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below
}

const HARD_LIMIT = 10 ** 12
const STRICT_LIMIT = 10 ** 9
const COST_LIMIT = 100
// Dollars per 1,000 tokens: a thousandth of a dollar for each token in, a picodollar for each token out.
registerModelPricing('filler', { inputPer1kTokens: 1, outputPer1kTokens: 1e-9 })
registerModelPricing('priced', { inputPer1kTokens: 0.003, outputPer1kTokens: 0.0150001 })

const upstream = await serve({
  answer,
  fail,
  stall,
  begin,
  trickle,
  async cut(res) {
    begin(res)
    res.write(chunk(' more'))
    await sleep(random(5))
    res.destroy()
  },
})
const fill = { inputTokens: 0, outputTokens: 0 }
const log = []
const gateway = gatewayOn(upstream.url, ['answer', 'fail', 'stall', 'begin', 'trickle', 'cut'], {
  customs: {
    priced: {
      async chat() {
        await sleep(random(4))
        if (random(3) === 0) throw new Error('boom')
        return { content: 'fine', model: 'priced', inputTokens: random(100), outputTokens: random(100), totalTokens: 1 }
      },
      async chatStream() {
        if (random(4) === 0) throw new Error('boom')
        return {
          stream: (async function* () {
            for (let i = random(20); i >= 0; i--) {
              if (i % 8 === 0) await sleep(1)
              if (random(60) === 0) throw new Error('boom')
              yield { delta: `word ${i} ` }
            }
          })(),
          getUsage: async () => ({ model: 'priced', inputTokens: random(50), outputTokens: random(50) }),
        }
      },
    },
    // Answers without counts: they are estimated.
    silent: { chat: async () => ({ content: 'some words of an answer', model: 'priced' }) },
    filler: { chat: async () => ({ content: '', model: 'filler', totalTokens: 0, ...fill }) },
  },
  budgets: [
    {
      name: 'hard',
      scope: { type: 'global' },
      window: 'day',
      limits: { maxTotalTokens: HARD_LIMIT },
      enforcement: 'hard',
    },
    {
      name: 'strict',
      scope: { type: 'user', key: 'mix' },
      window: 'day',
      limits: { maxTotalTokens: STRICT_LIMIT },
      enforcement: 'strict',
    },
    {
      name: 'cost',
      scope: { type: 'feature', key: 'mix' },
      window: 'day',
      limits: { maxCostUsd: COST_LIMIT },
      enforcement: 'hard',
    },
  ],
  onUsageLog: (entry) => void log.push(entry),
})
const scope = { userTier: 'mix', feature: 'mix' }

// What ends in which way.
const outcomes = {}
const count = (name) => (outcomes[name] = (outcomes[name] ?? 0) + 1)

async function chat(taskType, ms) {
  const signal = ms === undefined ? undefined : AbortSignal.timeout(ms)
  try {
    await gateway.chat({ messages, taskType, signal, ...scope })
    count('answered')
  } catch (error) {
    count(error.kind ?? error.name)
  }
}

async function stream(taskType, { take = Infinity, ms, forget = false }) {
  const controller = new AbortController()
  if (ms !== undefined) setTimeout(() => controller.abort(), ms)
  try {
    const { stream, getUsageSummary } = await gateway.chatStream({
      messages,
      taskType,
      signal: controller.signal,
      ...scope,
    })
    if (forget) {
      await stream.next()
      return count('forgotten')
    }
    let taken = 0
    for await (const _ of stream) {
      if (random(4) === 0) await getUsageSummary()
      if (++taken >= take) break
    }
    count(taken >= take ? 'left' : 'read')
  } catch (error) {
    count(error.kind ?? error.name)
  }
}

const ways = [
  () => chat('answer'),
  () => chat('fail'),
  () => chat('priced'),
  () => chat('silent'),
  () => chat('stall', random(30)),
  () => chat('priced', random(5)),
  () => chat('nobody'),
  () => stream('answer', {}),
  () => stream('cut', {}),
  () => stream('fail', {}),
  () => stream('priced', {}),
  () => stream('trickle', { take: 1 + random(5) }),
  () => stream('priced', { take: 1 + random(5) }),
  () => stream('trickle', { ms: random(40) }),
  () => stream('priced', { ms: random(8) }),
  () => stream('begin', { forget: true }),
  () => stream('trickle', { forget: true }),
]
let started = 0
const worker = async () => {
  while (started++ < CALLS) await ways[random(ways.length)]()
}
await Promise.all(Array.from({ length: 16 }, worker))

// Forgotten streams are closed when they are collected; nothing else is open then.
const collector = setInterval(() => globalThis.gc(), 20)
await until(() => upstream.open === 0, 'every stream is closed')
const refused = outcomes.route_not_found ?? 0
await until(() => log.length === CALLS - refused, `${CALLS - refused} entries, at ${log.length}`)
await sleep(50)
clearInterval(collector)
assert(log.length === CALLS - refused, 'one entry for each call that was routed')
assert(new Set(log.map(({ requestId }) => requestId)).size === log.length, 'request ids are unique')

const picodollars = (dollars) => Math.round(dollars * 1e12)
const spent = { tokens: 0, pico: 0 }
function add({ inputTokens, outputTokens, estimatedCostUsd }) {
  spent.tokens += inputTokens + outputTokens
  spent.pico += picodollars(estimatedCostUsd)
}
log.forEach(add)
const mixed = { ...spent }

/** Spends so much in one call of the given scope. */
async function use(inputTokens, outputTokens, scope, maxTokens = 1) {
  Object.assign(fill, { inputTokens, outputTokens })
  const before = log.length
  await gateway.chat({ messages, taskType: 'filler', maxTokens, ...scope })
  assert(log.length === before + 1, 'a filling call is logged')
  const entry = log.at(-1)
  assert(entry.inputTokens === inputTokens && entry.outputTokens === outputTokens, JSON.stringify(entry))
  add(entry)
}
async function refusal(call) {
  const error = await call.then(
    () => undefined,
    (error) => error,
  )
  return error?.details?.policy ?? error?.message ?? 'admitted'
}

// Tokens of the prompt, as they are reckoned with at admission.
const prompt = (await gateway.chat({ messages, taskType: 'silent' })).inputTokens
add(log.at(-1))
const outside = spent.tokens - mixed.tokens
const probes = {}

// Strict: a call whose upper bound is exactly what is left is admitted, one token more is not. What is still held by a
// call that has ended would make it refused.
const BOUND = 50
const left = STRICT_LIMIT - (spent.tokens - outside) - (prompt + BOUND)
await use(0, left, { userTier: 'mix' })
probes.strictOver = await refusal(use(0, 0, { userTier: 'mix' }, BOUND + 1))
await use(0, 0, { userTier: 'mix' }, BOUND)
await use(0, 1, { userTier: 'mix' })
probes.strict = await refusal(use(0, 0, { userTier: 'mix' }, BOUND))

// Hard, by cost: refuses from the first picodollar above the limit on.
const inFeature = mixed.pico
const missing = COST_LIMIT * 1e12 - inFeature
await use(Math.floor(missing / 1e9), missing % 1e9, { feature: 'mix' })
await use(0, 0, { feature: 'mix' })
await use(0, 1, { feature: 'mix' })
probes.cost = await refusal(use(0, 0, { feature: 'mix' }))

// Hard, by tokens, of all calls.
await use(0, HARD_LIMIT - spent.tokens, {})
await use(0, 0, {})
await use(0, 1, {})
probes.hard = await refusal(use(0, 0, {}))

upstream.close()
report({ probes, outcomes, mixed, sockets: upstream.sockets.size, logged: log.length })
