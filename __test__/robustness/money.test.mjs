// Random mixes of everything that costs, against a provider that keeps its own books.
import { once } from 'node:events'
import http from 'node:http'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Gateway } from '../../index.mjs'
import { budget, chain, config, pool, provider, rule } from '../helpers/config.mjs'

const MODELS = ['cheap', 'middle', 'dear', 'vectors']
const CALLS = 250

/** Numbers from a seed: xorshift, from 0 up to `below`. */
function dice(seed) {
  let state = seed * 2654435761
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** A provider that charges as it tells; `faults` says how it may fail. `books` has what it was asked and what it charged. */
async function played(random, faults) {
  const books = []
  const server = http.createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const body = JSON.parse(text)
    const fault = faults[random(faults.length)]
    const entry = { path: request.url, model: body.model, input: 0, output: 0, told: false }
    books.push(entry)
    if (fault === 'never') return
    if (typeof fault === 'number') {
      response.writeHead(fault, { 'content-type': 'application/json' })
      return response.end('{"error":{"message":"not now"}}')
    }
    const bound = (body.max_tokens ?? body.max_completion_tokens ?? 4096) * (body.n ?? 1)
    // No more than the prompt has: its words are longer than that.
    const words = [body.input ?? body.messages.map(({ content }) => content)].flat().join('')
    entry.input = 1 + random(Math.max(1, Math.floor(words.length / 8)))
    entry.output = request.url.endsWith('/embeddings') ? 0 : 1 + random(bound)
    entry.told = fault !== 'silent' && fault !== 'cut'
    play(request.url, body, entry, fault, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.closeAllConnections() ?? server.close())
  return { url: `http://127.0.0.1:${server.address().port}`, books }
}

function play(url, body, { model, input, output, told }, fault, response) {
  const json = (value) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
  const events = (list) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const text = list.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`)
    if (fault !== 'cut') return response.end(text.join(''))
    response.write(text[0] + text[1])
    setTimeout(() => response.destroy(), 5)
  }
  const content = fault === 'prose' ? 'As you wish.' : '{"a":1}'
  if (url.endsWith('/embeddings')) {
    const data = [body.input].flat().map((_, index) => ({ index, embedding: [1] }))
    return json({ model, data, usage: told ? { prompt_tokens: input, total_tokens: input } : undefined })
  }
  if (url.endsWith('/messages')) {
    const usage = { input_tokens: input, output_tokens: output }
    if (!body.stream) {
      return json({
        ...{ type: 'message', role: 'assistant', model, stop_reason: 'end_turn' },
        content: [{ type: 'text', text: content }],
        ...(told && { usage }),
      })
    }
    return events([
      {
        type: 'message_start',
        message: { model, usage: told ? { input_tokens: input, output_tokens: 1 } : undefined },
      },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: content } },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, ...(told && { usage }) },
      { type: 'message_stop' },
    ])
  }
  const usage = told ? { prompt_tokens: input, completion_tokens: output, total_tokens: input + output } : undefined
  if (!body.stream) {
    return json({ model, choices: [{ index: 0, message: { content }, finish_reason: 'stop' }], usage })
  }
  const part = (delta, finish_reason = null) => ({ model, choices: [{ index: 0, delta, finish_reason }] })
  return events([
    part({ role: 'assistant' }),
    part({ content }),
    part({}, 'stop'),
    { model, choices: [], usage },
    '[DONE]',
  ])
}

/** A gateway of random routes, prices and strict budgets over the played provider. */
function randomGateway(random, url, logs, { hedges, timeoutMs }) {
  const entry = (name, fields) =>
    provider(name, url, {
      retry: { maxAttempts: 1 + random(3), backoffMs: 1 },
      timeoutMs,
      models: MODELS,
      ...fields,
    })
  const providers = [
    entry('a', { defaultModel: 'cheap' }),
    entry('b', { provider: 'anthropic', defaultModel: 'dear' }),
    entry('c', { defaultModel: 'middle' }),
  ]
  const strategies = ['priority', 'cost', 'round_robin', 'least_busy']
  const hedge = hedges ? { hedge: { afterMs: 1 + random(20) } } : {}
  const rules = [
    rule({ provider: 'a', fallbackChain: 'after' }, { name: 'chained', match: { feature: 'chained' }, ...hedge }),
    pool(
      [
        ['a', 'cheap'],
        ['b', 'dear'],
        ['c', 'middle'],
      ],
      { strategy: strategies[random(4)], fallbackChain: 'after' },
      { match: { feature: 'pooled' }, ...hedge },
    ),
    rule('b', { match: { feature: 'single' } }),
    rule({ provider: 'a', model: 'vectors' }, { match: { feature: 'vectors' } }),
  ]
  const price = () => ({ inputPer1kTokens: random(100) / 100, outputPer1kTokens: random(300) / 100 })
  const strict = (name, limits, scope = { type: 'global' }) => budget(name, limits, { enforcement: 'strict', scope })
  const budgets = [
    budget('books', { maxCostUsd: 1e9 }, { enforcement: 'soft' }),
    strict('all', { maxCostUsd: 5 + random(40) }),
    strict('user', { maxTotalTokens: 5000 + random(20_000) }, { type: 'userId' }),
    strict('model', { maxOutputTokens: 3000 + random(9000) }, { type: 'model' }),
    strict('entry', { maxCostUsd: 3 + random(20) }, { type: 'provider' }),
    budget('one', { maxCostUsd: 0.5 + random(10) / 10 }, { enforcement: 'strict', window: 'request' }),
  ]
  return new Gateway({
    config: config({
      ...{ providers, rules, budgets },
      chains: [chain('after', 'c', ['b', { when: ['provider_error', 'rate_limit', 'timeout'] }])],
      settings: { prices: Object.fromEntries(MODELS.map((model) => [model, price()])), retryBudget: { reserve: 1e6 } },
    }),
    onUsageLog: (log) => void logs.push(log),
  })
}

/** One random call; whatever it comes to. */
async function randomCall(random, gateway, { aborts }) {
  const feature = ['chained', 'pooled', 'single', 'vectors'][random(4)]
  const common = { feature, userId: `u${random(3)}` }
  if (aborts && random(6) === 0) common.signal = AbortSignal.timeout(random(30))
  const n = random(4) === 0 ? 2 : undefined
  const request = {
    ...common,
    messages: [{ role: 'user', content: 'word '.repeat(1 + random(80)) }],
    ...(random(3) > 0 && { maxTokens: 1 + random(300) }),
    ...(random(3) === 0 && { responseFormat: 'json' }),
    ...(n && { providerOptions: { openai: { n } } }),
  }
  try {
    if (feature === 'vectors') return await gateway.embed({ ...common, input: Array(1 + random(3)).fill('word') })
    if (random(2) === 0) return await gateway.chat(request)
    const { stream } = await gateway.chatStream(request)
    for await (const _ of stream) if (aborts && random(8) === 0) break
  } catch (error) {
    expect(error.kind ?? error.name).not.toBe('internal')
  }
  return undefined
}

/** Plays `CALLS` calls, eight at a time, and checks each budget after each of them. */
async function run(random, gateway, how) {
  const within = () => {
    for (const { policy, spent, limits } of gateway.budgets()) {
      for (const [limit, used] of [
        ['maxCostUsd', spent.costUsd],
        ['maxTotalTokens', spent.totalTokens],
        ['maxOutputTokens', spent.outputTokens],
      ]) {
        if (limits[limit] !== undefined) expect(used, `${policy}: ${limit}`).toBeLessThanOrEqual(limits[limit] + 1e-9)
      }
    }
  }
  let left = CALLS
  const worker = async () => {
    while (left-- > 0) {
      await randomCall(random, gateway, how)
      within()
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  await gateway.close({ graceMs: 1000 })
  within()
  for (const { reserved } of gateway.budgets()) expect(reserved).toMatchObject({ totalTokens: 0, costUsd: 0 })
}

/** What the soft policy without a limit that bites has counted. */
const spentOf = (gateway) => gateway.budgets().find(({ policy }) => policy === 'books')?.spent

const sum = (list, of) => list.reduce((all, one) => all + of(one), 0)

test.each([1, 2, 3, 4])('seed %d: what a provider tells is what is logged and spent', async (seed) => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  const random = dice(seed)
  const { url, books } = await played(random, ['fine', 'fine', 'fine', 'prose', 500, 429, 503])
  const logs = []
  const gateway = randomGateway(random, url, logs, { hedges: false, timeoutMs: 20_000 })
  await run(random, gateway, { aborts: false })
  const told = books.filter((entry) => entry.told)
  expect(told.length).toBeGreaterThan(20)
  expect(sum(logs, (log) => log.inputTokens)).toBe(sum(told, (entry) => entry.input))
  expect(sum(logs, (log) => log.outputTokens)).toBe(sum(told, (entry) => entry.output))
  const spent = spentOf(gateway)
  expect(spent.totalTokens).toBe(sum(logs, (log) => log.totalTokens))
  expect(spent.costUsd).toBeCloseTo(
    sum(logs, (log) => log.estimatedCostUsd),
    9,
  )
})

test.each([5, 6, 7, 8])(
  'seed %d: whatever happens, no strict budget is passed, and spent is what is logged',
  async (seed) => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    const random = dice(seed)
    const { url } = await played(random, ['fine', 'fine', 'silent', 'prose', 'cut', 'never', 500, 429])
    const logs = []
    const gateway = randomGateway(random, url, logs, { hedges: true, timeoutMs: 60 })
    await run(random, gateway, { aborts: true })
    const spent = spentOf(gateway)
    expect(spent.totalTokens).toBe(sum(logs, (log) => log.totalTokens))
    expect(spent.costUsd).toBeCloseTo(
      sum(logs, (log) => log.estimatedCostUsd),
      9,
    )
  },
)
