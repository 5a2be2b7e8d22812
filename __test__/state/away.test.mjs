// A store that is stopped, frozen, cut off or slow under a whole gateway: no call waits long for it, calls go as `onStoreError`
// says, and what was counted meanwhile is there once it is back.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ask, budget, consoleLines, failureOf, gatewayOf, provider } from '../helpers/config.mjs'
import { openai, upstream } from '../helpers/upstream.mjs'
import { folder } from './helpers/folder.mjs'
import { postgresServer, proxy, redisServer } from './helpers/servers.mjs'
import { rowsOf, services } from './helpers/services.mjs'

/** What a call comes to by the upstream's usage. */
const TOKENS = 17

function open(url, { budgets, ...settings }) {
  const { gateway } = gatewayOf({ providers: [provider('a', `${url}/v1`)], budgets, settings })
  onTestFinished(() => gateway.close({ graceMs: 1000 }))
  return gateway
}

/** A call: what came of it, and what it took. */
async function timed(gateway) {
  const began = performance.now()
  const failure = await gateway.chat(ask({ maxTokens: 30 })).then(
    () => undefined,
    (error) => error,
  )
  return { failure, took: performance.now() - began }
}

/** Calls one after the other until the last ten are as `settled` says. */
async function callUntil(gateway, settled, least = 30) {
  const calls = []
  const end = Date.now() + 20_000
  while (Date.now() < end) {
    calls.push(await timed(gateway))
    if (calls.length >= least && calls.slice(-10).every(settled)) return calls
    await sleep(20)
  }
  throw new Error(`calls do not settle: ${calls.slice(-10).map(({ failure }) => failure?.message ?? 'answered')}`)
}

const answered = (calls) => calls.filter(({ failure }) => failure === undefined).length

/** No call may take as long, in milliseconds: much more than the 300 that one waits for a store, as the machine may be busy. */
const LONG = 5000

/** No call waits long, and once the store counts as away none waits at all: most calls of a busy machine show it, too. */
function expectNoWaits(calls) {
  expect(Math.max(...calls.map(({ took }) => took))).toBeLessThan(LONG)
  const last = calls.slice(-10).map(({ took }) => took)
  expect(last.sort((a, b) => a - b)[5]).toBeLessThan(150)
}

const faults = {
  'is stopped and started again': {
    away: ({ server }) => server.stop(),
    back: ({ server }) => server.start(),
  },
  'is frozen': { away: ({ server }) => server.freeze(), back: ({ server }) => server.thaw() },
  'refuses connections': { away: ({ before }) => before.set('refuse'), back: ({ before }) => before.pass() },
  'swallows what it is sent': { away: ({ before }) => before.set('swallow'), back: ({ before }) => before.pass() },
  'answers a second late': { away: ({ before }) => before.set(1000), back: ({ before }) => before.pass() },
}

const policies = {
  fail_closed: budget('away', { maxTotalTokens: 8000 }, { enforcement: 'strict', onStoreError: 'fail_closed' }),
  local: budget('away', { maxTotalTokens: 1_000_000 }, { enforcement: 'hard', onStoreError: 'local' }),
}

const standing = (gateway) => {
  const [{ spent, reserved }] = gateway.budgets()
  return { spent: spent.totalTokens, reserved: reserved.totalTokens }
}

describe.skipIf(services === undefined)('a Redis that', () => {
  describe.each(Object.keys(faults))('%s', (fault) => {
    test.each(Object.keys(policies))('%s', { timeout: 90_000 }, async (mode) => {
      consoleLines('warn')
      const server = await redisServer()
      const before = await proxy(server.port)
      const { url } = await upstream(openai.answer())
      const budgets = [policies[mode]]
      const gateway = open(url, { budgets, state: `redis://127.0.0.1:${before.port}` })
      const calls = await callUntil(gateway, ({ failure }) => failure === undefined, 10)

      await faults[fault].away({ server, before })
      const refused = ({ failure }) => failure?.code === 'STORE_UNAVAILABLE'
      const meanwhile = await callUntil(gateway, (call) => (mode === 'local' ? !call.failure : refused(call)))
      calls.push(...meanwhile)
      expectNoWaits(meanwhile)
      if (mode === 'local') expect(answered(meanwhile)).toBe(meanwhile.length)
      for (const { failure } of meanwhile.filter(({ failure }) => failure)) {
        expect(failure).toMatchObject({ code: 'STORE_UNAVAILABLE', httpStatus: 503 })
        expect(failure.message).toMatch(/redis.*: ./i)
      }

      await faults[fault].back({ server, before })
      calls.push(...(await callUntil(gateway, ({ failure }) => failure === undefined)))

      // What another gateway is told comes from the store alone.
      const other = open(url, { budgets, state: server.url })
      const seen = { spent: 0, reserved: 0 }
      let others = 0
      await expect
        .poll(
          async () => {
            others += answered([await timed(other)])
            await sleep(2500)
            Object.assign(seen, standing(other))
            return seen.spent - (answered(calls) + others) * TOKENS
          },
          { timeout: 25_000 },
        )
        .toBe(0)
      await expect.poll(() => standing(other).reserved, { timeout: 5000 }).toBe(0)
    })
  })

  test.each(Object.keys(policies))('cuts its connections again and again: %s', { timeout: 60_000 }, async (mode) => {
    consoleLines('warn')
    const server = await redisServer()
    const { url } = await upstream(openai.answer())
    const gateway = open(url, { budgets: [policies[mode]], state: server.url })
    const calls = []
    for (let turn = 0; turn < 8; turn++) {
      const running = Array.from({ length: 8 }, () => timed(gateway))
      await server.cli('client', 'kill', 'type', 'normal')
      calls.push(...(await Promise.all(running)))
    }
    if (mode === 'local') expect(answered(calls)).toBe(calls.length)
    expect(Math.max(...calls.map(({ took }) => took))).toBeLessThan(LONG)
    calls.push(...(await callUntil(gateway, ({ failure }) => failure === undefined, 10)))
    await expect
      .poll(() => standing(gateway), { timeout: 20_000 })
      .toEqual({ spent: answered(calls) * TOKENS, reserved: 0 })
  })
})

describe.skipIf(services === undefined)('a PostgreSQL that', () => {
  test.each([...Object.keys(faults), 'cuts its connections'])('%s', { timeout: 90_000 }, async (fault) => {
    consoleLines('warn')
    const server = await postgresServer()
    const before = await proxy(server.port)
    const { url } = await upstream(openai.answer())
    const database = server.url.replace(`:${server.port}/`, `:${before.port}/`)
    const gateway = open(url, { budgets: [policies.local], database, journal: await folder() })
    const calls = await callUntil(gateway, ({ failure }) => failure === undefined, 10)

    const { away, back } = faults[fault] ?? { away: () => server.cutConnections(), back: () => {} }
    await away({ server, before })
    const meanwhile = await callUntil(gateway, ({ failure }) => failure === undefined, 60)
    calls.push(...meanwhile)
    expect(answered(meanwhile)).toBe(meanwhile.length)
    expectNoWaits(meanwhile)
    if (fault === 'refuses connections')
      expect(await failureOf(gateway.usage())).toMatchObject({ code: 'STORE_UNAVAILABLE', httpStatus: 503 })

    await back({ server, before })
    calls.push(...(await callUntil(gateway, ({ failure }) => failure === undefined, 10)))
    const sums =
      'SELECT count(*) AS calls, count(DISTINCT request_id) AS ids, sum(input_tokens + output_tokens) AS tokens'
    await expect
      .poll(() => rowsOf(server.url, `${sums} FROM usage_rows`).then(([sum]) => sum), {
        timeout: 40_000,
        interval: 300,
      })
      .toEqual({ calls: calls.length, ids: calls.length, tokens: calls.length * TOKENS })
    expect(await gateway.usage()).toEqual([expect.objectContaining({ calls: calls.length, errors: 0 })])
  })
})

describe.skipIf(services === undefined)('a Redis and a PostgreSQL under load', () => {
  /** Calls, eight at a time, while `during` runs and until each of the eight has made ten more. */
  async function load(gateway, during) {
    const calls = []
    let left = Number.POSITIVE_INFINITY
    const caller = async () => {
      for (let made = 0; made < 10 || left > 0; made++, left--) {
        calls.push(await timed(gateway))
        await sleep(5)
      }
    }
    const callers = Array.from({ length: 8 }, caller)
    await during()
    left = 80
    await Promise.all(callers)
    return calls
  }

  test.each(['are stopped', 'are frozen', 'swallow what they are sent'])(
    '%s both, and come back',
    { timeout: 120_000 },
    async (fault) => {
      consoleLines('warn')
      const servers = [await redisServer(), await postgresServer()]
      const proxies = [await proxy(servers[0].port), await proxy(servers[1].port)]
      const { url } = await upstream(openai.answer())
      const settings = {
        state: `redis://127.0.0.1:${proxies[0].port}`,
        database: servers[1].url.replace(`:${servers[1].port}/`, `:${proxies[1].port}/`),
        journal: await folder(),
      }
      const gateway = open(url, { budgets: [policies.local], ...settings })
      const both = {
        'are stopped': [(server) => server.stop(), (server) => server.start()],
        'are frozen': [(server) => server.freeze(), (server) => server.thaw()],
        'swallow what they are sent': [(_, before) => before.set('swallow'), (_, before) => before.pass()],
      }[fault]
      const [away, back] = both.map((change) => () => Promise.all(servers.map((one, at) => change(one, proxies[at]))))

      const calls = await load(gateway, async () => {
        await sleep(500)
        await away()
        await sleep(3000)
      })
      expectNoWaits(calls)
      calls.push(
        ...(await load(gateway, async () => {
          await back()
          await sleep(1000)
        })),
      )
      expect(answered(calls)).toBe(calls.length)
      const tokens = calls.length * TOKENS
      const sums =
        'SELECT count(*) AS calls, count(DISTINCT request_id) AS ids, sum(input_tokens + output_tokens) AS tokens'
      await expect
        .poll(() => rowsOf(servers[1].url, `${sums} FROM usage_rows`).then(([sum]) => sum), {
          timeout: 40_000,
          interval: 300,
        })
        .toEqual({ calls: calls.length, ids: calls.length, tokens })
      await expect
        .poll(() => standing(gateway), { timeout: 40_000, interval: 300 })
        .toEqual({ spent: tokens, reserved: 0 })
      // What another gateway is told comes from the store alone.
      const other = open(url, { budgets: [policies.local], state: servers[0].url })
      expect((await timed(other)).failure).toBeUndefined()
      await expect.poll(() => standing(other).spent, { timeout: 10_000 }).toBe(tokens + TOKENS)
    },
  )
})
