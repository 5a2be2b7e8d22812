import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { Gateway } from '../index.mjs'
import {
  ask,
  budget,
  chain,
  collect,
  config,
  consoleLines,
  custom,
  failureOf,
  pool,
  provider,
  result,
} from './helpers/config.mjs'
import { live, openai, status, upstream } from './helpers/upstream.mjs'

/** A gateway whose custom providers answer with their name. */
function own(first, options = {}) {
  const logs = []
  const made = []
  const factory = (entry) => {
    made.push(entry.name)
    return { name: entry.name, family: 'custom', chat: async () => result(entry.name) }
  }
  const gateway = new Gateway({
    config: config(first),
    customProviders: { custom: factory },
    onUsageLog: (log) => void logs.push(log),
    ...options,
  })
  return { gateway, logs, made }
}

const content = async (gateway, request) => (await gateway.chat(ask(request))).content

test('swaps providers, rules and chains, and resolves to nothing', async () => {
  const { gateway, made } = own({ providers: [custom('old')] })
  expect(await content(gateway)).toBe('old')
  expect(await gateway.reload(config({ providers: [custom('new'), custom('second')] }))).toBeUndefined()
  expect(await content(gateway)).toBe('new')
  expect(gateway.listProviders()).toEqual(['new', 'second'])
  expect(gateway.health().map(({ provider }) => provider)).toEqual(['new', 'second'])
  expect(made).toEqual(['old', 'new', 'second'])
})

test('a configuration with faults leaves everything as it is', async () => {
  const { gateway } = own({ providers: [custom('old')] })
  for (const bad of [
    undefined,
    null,
    [],
    {},
    { ...config({ providers: [custom('new')] }), routes: 'none' },
    { ...config({ providers: [custom('new')] }), routes: [{ name: 'x', priority: 0 }] },
    {
      ...config({ providers: [custom('new')] }),
      routes: [{ name: 'x', priority: 0, match: {}, target: { pool: [{ provider: 'nobody' }] } }],
    },
    { ...config({ providers: [custom('new')] }), settings: { cache: 'on' } },
  ]) {
    expect(await failureOf(gateway.reload(bad)), JSON.stringify(bad)).toMatchObject({ kind: 'config_invalid' })
    expect(gateway.listProviders()).toEqual(['old'])
    expect(await content(gateway)).toBe('old')
  }
})

test('an unknown family leaves everything as it is', async () => {
  const { gateway } = own({ providers: [custom('old')] })
  const error = await failureOf(gateway.reload(config({ providers: [custom('new', 'unheard-of')] })))
  expect(error.message).toBe('No provider factory for family "unheard-of" (entry: "new")')
  expect(await content(gateway)).toBe('old')
})

test('an entry whose key is missing is skipped with a warning', async () => {
  const warned = consoleLines('warn')
  const { gateway } = own({ providers: [custom('old')] })
  const keyless = {
    ...provider('keyless', 'http://127.0.0.1:9'),
    auth: { type: 'apiKey', envVar: 'AI_GATEWAY_TEST_NOT_SET' },
  }
  await gateway.reload(config({ providers: [custom('new'), keyless] }))
  expect(warned.lines[0]).toContain('[gateway] Skipping provider "keyless"')
  expect(gateway.listProviders()).toEqual(['new'])
})

test('calls in flight finish on the old one', async () => {
  let finish
  const chats = {
    old: () => new Promise((resolve) => (finish = () => resolve(result('from old')))),
    new: async () => result('from new'),
  }
  const custom_ = ({ name }) => ({ name, family: 'custom', chat: chats[name] })
  const { gateway, logs } = own({ providers: [custom('old')] }, { customProviders: { custom: custom_ } })
  const running = gateway.chat(ask())
  await vi.waitFor(() => expect(finish).toBeTypeOf('function'))
  await gateway.reload(config({ providers: [custom('new')] }))
  expect(await content(gateway)).toBe('from new')
  finish()
  expect((await running).content).toBe('from old')
  expect(logs.map(({ provider }) => provider)).toEqual(['new', 'old'])
})

test('an open stream goes on', async () => {
  const wire = live()
  const before = await upstream(wire)
  const after = await upstream(openai.answer('after'))
  const { gateway } = own({ providers: [provider('main', before.url)] })
  const opening = gateway.chatStream(ask())
  await wire.opened
  wire.send(openai.chunk({ content: 'one ' }))
  const { stream, getUsageSummary } = await opening
  await gateway.reload(config({ providers: [provider('main', after.url)] }))
  expect(await content(gateway)).toBe('after')
  wire.send(openai.chunk({ content: 'two' }), openai.chunk({}, 'stop'), openai.usageChunk(3, 2), '[DONE]')
  wire.end()
  expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('one two')
  expect((await getUsageSummary()).totalTokens).toBe(5)
})

test('budgets keep their counts', async () => {
  consoleLines('warn')
  const small = (limit) => ({ providers: [custom('main')], budgets: [budget('daily', { maxTotalTokens: limit })] })
  const { gateway } = own(small(12))
  await gateway.chat(ask({ maxTokens: 1 }))
  await gateway.reload(config(small(12)))
  const outcomes = []
  for (let i = 0; i < 4; i++)
    outcomes.push(
      await gateway.chat(ask({ maxTokens: 1 })).then(
        () => 'ok',
        ({ kind }) => kind,
      ),
    )
  expect(outcomes.at(-1)).toBe('budget_exceeded')
  expect(outcomes.filter((outcome) => outcome === 'ok').length).toBeLessThan(3)
  await gateway.reload(config(small(1000)))
  await gateway.chat(ask({ maxTokens: 1 }))
  await gateway.reload(config(small(12)))
  expect((await failureOf(gateway.chat(ask({ maxTokens: 1 })))).kind).toBe('budget_exceeded')
})

test('breakers stay where the service does', async () => {
  const down = await upstream(status(500))
  const up = await upstream(openai.answer())
  const of = (url) => ({ providers: [provider('main', url, { breaker: { failureThreshold: 1 } })] })
  const { gateway } = own(of(down.url))
  await failureOf(gateway.chat(ask()))
  expect(gateway.health()[0].state).toBe('open')
  await gateway.reload(config(of(down.url)))
  expect(gateway.health()[0].state).toBe('open')
  await gateway.reload(config(of(up.url)))
  expect(gateway.health()[0].state).toBe('closed')
  await gateway.chat(ask())
})

test('limits stay where their settings do', async () => {
  const of = (requestsPerMinute) => ({
    providers: [custom('main', 'custom', { rateLimit: { requestsPerMinute } })],
    settings: { limits: { requestsPerMinute: 50 } },
  })
  const { gateway } = own(of(1))
  await gateway.chat(ask())
  await gateway.reload(config(of(1)))
  expect((await failureOf(gateway.chat(ask()))).kind).toBe('rate_limited')
  await gateway.reload(config(of(2)))
  await gateway.chat(ask())
})

test('the cache stays where its settings do', async () => {
  const of = (cache) => ({ providers: [custom('main')], settings: { cache } })
  const { gateway } = own(of({ enabled: true }))
  await gateway.chat(ask())
  await gateway.reload(config(of({ enabled: true })))
  expect((await gateway.chat(ask())).cached).toBe(true)
  await gateway.reload(config(of({ enabled: true, ttlMs: 1000 })))
  expect((await gateway.chat(ask())).cached).toBeUndefined()
  await gateway.reload(config(of(undefined)))
  expect((await gateway.chat(ask())).cached).toBeUndefined()
})

test('what was kept of an entry that answers no more is not given', async () => {
  const a = await upstream(openai.answer('a'))
  const b = await upstream(openai.answer('b'))
  const of = (url) => ({ providers: [provider('main', url)], settings: { cache: { enabled: true } } })
  const { gateway } = own(of(a.url))
  expect(await content(gateway)).toBe('a')
  await gateway.reload(config(of(b.url)))
  expect(await content(gateway)).toBe('b')
})

describe('what was kept is not given once another model answers', () => {
  // Answers tell their model; `down` gives none.
  const factory = ({ name }) => ({
    name,
    family: 'custom',
    chat: async ({ model }) => (name === 'down' ? Promise.reject(new Error('down')) : result(model)),
  })
  const down = custom('down', 'custom', { priority: 1 })
  const main = (defaultModel, models = ['other']) => custom('main', 'custom', { defaultModel, models })

  test.each([
    ['a member of a pool', (model) => ({ providers: [down, main(model)], rules: [pool(['down', 'main'])] })],
    ['a step of a chain', (model) => ({ providers: [down, main(model)], chains: [chain('c', 'down', 'main')] })],
    [
      "a step of a pool's chain",
      (model) => ({
        providers: [down, main(model)],
        rules: [pool(['down'], { fallbackChain: 'c' })],
        chains: [chain('c', 'main')],
      }),
    ],
    [
      'one that lists the model now',
      (model) => ({ providers: [down, main('before', [model])], rules: [pool(['down', 'main'])] }),
    ],
  ])('%s', async (_, of) => {
    const settings = { cache: { enabled: true } }
    const { gateway } = own({ ...of('before'), settings }, { customProviders: { custom: factory } })
    const call = () => content(gateway, { model: 'after' })
    const [unnamed, named] = [await content(gateway), await call()]
    expect(unnamed).toBe('before')
    await gateway.reload(config({ ...of('before'), settings }))
    expect(await gateway.chat(ask())).toMatchObject({ content: unnamed, cached: true })
    expect(await gateway.chat(ask({ model: 'after' }))).toMatchObject({ content: named, cached: true })
    await gateway.reload(config({ ...of('after'), settings }))
    expect(await call()).toBe('after')
    expect((await gateway.chat(ask())).cached).toBeUndefined()
  })

  test('another deployment', async () => {
    const azure = await upstream(openai.answer('one'), openai.answer('other'))
    const of = (deployment) => ({
      providers: [
        provider('main', `${azure.url}/openai`, {
          provider: 'azure',
          options: { deployment, apiVersion: '2024-10-21' },
        }),
      ],
      settings: { cache: { enabled: true } },
    })
    const { gateway } = own(of('one'))
    expect(await content(gateway)).toBe('one')
    await gateway.reload(config(of('one')))
    expect(await content(gateway)).toBe('one')
    await gateway.reload(config(of('other')))
    expect(await content(gateway)).toBe('other')
  })
})

test('middleware and log handlers stay', async () => {
  const { gateway, logs } = own({ providers: [custom('old')] })
  gateway.use(async (request, next) => ({ ...(await next(request)), touched: true }))
  await gateway.reload(config({ providers: [custom('new')], rules: [pool(['new'])] }))
  expect(await gateway.chat(ask())).toMatchObject({ content: 'new', touched: true })
  expect(logs).toHaveLength(1)
})

test('under load no call fails and none is answered by a provider that is gone', async () => {
  const { gateway } = own({ providers: [custom('p0')] })
  let current = 0
  let running = true
  const load = Array.from({ length: 8 }, async () => {
    const answers = []
    while (running) {
      const since = current
      const number = Number((await content(gateway)).slice(1))
      answers.push([since, number])
      await sleep(1)
    }
    return answers
  })
  for (let round = 1; round <= 20; round++) {
    await gateway.reload(config({ providers: [custom(`p${round}`)] }))
    current = round
    await sleep(5)
  }
  running = false
  for (const [since, number] of (await Promise.all(load)).flat()) expect(number).toBeGreaterThanOrEqual(since)
})
