// What identical calls share, and what makes them different.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { Gateway } from '../index.mjs'
import { ask, chain, config, custom, customs, failureOf, gatewayOf, provider, rule } from './helpers/config.mjs'
import { live, openai, upstream } from './helpers/upstream.mjs'

const DEDUPE = { dedupe: true }

describe('notes', () => {
  const echo = ({ metadata }) => `for ${metadata?.color}`

  test('providers of the program may read metadata: calls that differ in it have answers of their own', async () => {
    const { providers, customProviders, counts } = customs({ a: async (options) => (await sleep(20), echo(options)) })
    const { gateway } = gatewayOf({ providers, customProviders, settings: { dedupe: true, cache: { enabled: true } } })
    const colors = ['red', 'blue']
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(colors.map((color) => gateway.chat(ask({ metadata: { color } }))))
      expect(answers.map(({ content }) => content)).toEqual(['for red', 'for blue'])
    }
    expect(counts()).toEqual([2])
  })

  test('a step of the chain that is one counts as well', async () => {
    const { providers, customProviders } = customs({ late: (options) => echo(options) })
    const dead = await upstream((_, res) => res.writeHead(500).end('no'))
    const { gateway } = gatewayOf({
      providers: [provider('dead', dead.url), ...providers],
      chains: [chain('both', 'dead', 'late')],
      customProviders,
      settings: DEDUPE,
    })
    const answers = ['red', 'blue'].map((color) => gateway.chat(ask({ metadata: { color } })))
    expect((await Promise.all(answers)).map(({ content }) => content)).toEqual(['for red', 'for blue'])
  })

  test('where vendors answer, notes make no difference', async () => {
    const up = await upstream(async (_, res) => (await sleep(30), res.end(JSON.stringify(openai.answer('one').body))))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url)], settings: DEDUPE })
    await Promise.all(['red', 'blue'].map((color) => gateway.chat(ask({ metadata: { color } }))))
    expect(up.requests).toHaveLength(1)
  })
})

describe('rules', () => {
  const both = async (first, second, chains) => {
    const { providers, customProviders, counts } = customs({ a: async () => (await sleep(60), 'x'), b: () => 'y' })
    const rules = [
      rule('a', { name: 'one', match: { feature: 'one' }, ...first }),
      rule('a', { name: 'two', match: { feature: 'two' }, ...second }),
    ]
    const { gateway } = gatewayOf({ providers, customProviders, rules, chains, settings: DEDUPE })
    const calls = ['one', 'two'].map((feature) => gateway.chat(ask({ feature })).catch(() => undefined))
    await Promise.all(calls)
    return counts()[0]
  }
  const target = (fallbackChain) => ({ target: { provider: 'a', fallbackChain } })

  test('that ask alike share a call', async () => {
    expect(await both({}, {})).toBe(1)
  })

  test.each([
    ['maxLatencyMs', {}, { constraints: { maxLatencyMs: 20_000 } }, []],
    [
      "a step's timeoutMs",
      target('c1'),
      target('c2'),
      [chain('c1', 'a', 'b'), chain('c2', ['a', { timeoutMs: 9_000 }], 'b')],
    ],
    [
      "a step's when",
      target('c1'),
      target('c2'),
      [chain('c1', 'a', 'b'), chain('c2', 'a', ['b', { when: ['timeout'] }])],
    ],
    [
      'degradedReply',
      target('c1'),
      target('c2'),
      [chain('c1', 'a', 'b'), { ...chain('c2', 'a', 'b'), degradedReply: 'later' }],
    ],
  ])('that differ in %s do not', async (_, first, second, chains) => {
    expect(await both(first, second, chains)).toBe(2)
  })
})

describe('errors', () => {
  test('what a provider of the program throws is the same object for all who share the call', async () => {
    const thrown = new RangeError('out of reach')
    const { providers, customProviders, counts } = customs({
      a: async () => {
        await sleep(40)
        throw thrown
      },
    })
    const { gateway } = gatewayOf({ providers, customProviders, settings: DEDUPE })
    const errors = await Promise.all([0, 1, 2].map(() => failureOf(gateway.chat(ask()))))
    expect(counts()).toEqual([1])
    for (const error of errors) expect(error).toBe(thrown)
  })

  test('also where the first has left', async () => {
    const thrown = new RangeError('out of reach')
    const { providers, customProviders } = customs({
      a: async () => {
        await sleep(40)
        throw thrown
      },
    })
    const { gateway } = gatewayOf({ providers, customProviders, settings: DEDUPE })
    const controller = new AbortController()
    const first = failureOf(gateway.chat(ask({ signal: controller.signal })))
    const second = failureOf(gateway.chat(ask()))
    await sleep(10)
    controller.abort()
    expect((await first).name).toBe('AbortError')
    expect(await second).toBe(thrown)
  })

  test('and of a stream that breaks off', async () => {
    const thrown = new Error('broken')
    async function* pieces() {
      yield { delta: 'begun', model: 'm' }
      await sleep(20)
      throw thrown
    }
    const breaking = { name: 'main', family: 'custom', chat: async () => {}, chatStream: () => ({ stream: pieces() }) }
    const customProviders = { custom: () => breaking }
    const gateway = new Gateway({
      config: config({ providers: [custom('main')], settings: DEDUPE }),
      customProviders,
      onUsageLog: () => {},
    })
    const read = async () => {
      const { stream } = await gateway.chatStream(ask())
      for await (const _ of stream);
    }
    for (const error of await Promise.all([failureOf(read()), failureOf(read())])) expect(error).toBe(thrown)
  })
})

test('a shared stream that its last reader aborts is logged as aborted', async () => {
  const feed = live()
  const up = await upstream(feed)
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)], settings: DEDUPE })
  const controller = new AbortController()
  const opening = gateway.chatStream(ask({ signal: controller.signal }))
  await feed.opened
  feed.send(openai.chunk({ content: 'a' }))
  const { stream } = await opening
  await failureOf(async () => {
    for await (const _ of stream) controller.abort()
  })
  await vi.waitFor(() => expect(logs).toHaveLength(1))
  expect(logs[0]).toMatchObject({ success: false, errorCode: 'ABORTED' })
})

test('a shared stream that its last reader has enough of is a success', async () => {
  const feed = live()
  const up = await upstream(feed)
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)], settings: DEDUPE })
  const opening = gateway.chatStream(ask())
  await feed.opened
  feed.send(openai.chunk({ content: 'a' }))
  const { stream } = await opening
  for await (const _ of stream) break
  await vi.waitFor(() => expect(logs).toHaveLength(1))
  expect(logs[0].success).toBe(true)
})
