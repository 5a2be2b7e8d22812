// Limits of budgets that several processes share, near their end: a strict one is never passed, a hard one by no more than what
// was in flight, whatever happens to a process or to the store.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { budget } from '../helpers/config.mjs'
import { folder } from './helpers/folder.mjs'
import { ledgerUpstream, standing, worker } from './helpers/process.mjs'
import { redisServer } from './helpers/servers.mjs'
import { ownDatabase, rowsOf, services } from './helpers/services.mjs'

/** What a call comes to by the upstream's usage. */
const TOKENS = 60

const policy = (name, limit, fields) => budget(name, { maxTotalTokens: limit }, { enforcement: 'strict', ...fields })

const unique = (name) => `${name}-${process.pid}-${Date.now()}`
const calls = (workers) => workers.flatMap((one) => one.acknowledged())
const answered = (lines) => lines.filter(({ code }) => code === null)

async function three(config) {
  const { url } = await ledgerUpstream()
  const whole = { ...config, upstream: `${url}/v1` }
  whole.settings = { cache: { enabled: false }, ...config.settings }
  return Promise.all([worker(whole), worker(whole), worker(whole)])
}

describe.skipIf(services === undefined)('three processes with one strict cap', () => {
  test('do not pass it, and come near it', { timeout: 90_000 }, async () => {
    const limit = 30_000
    const budgets = [policy(unique('cap'), limit)]
    const workers = await three({ budgets, settings: { state: services.redis } })
    await Promise.all(workers.map((one) => one.do('burst', { count: 400, atOnce: 8 })))
    const lines = calls(workers)
    expect(lines.length).toBe(1200)
    expect(answered(lines).length * TOKENS).toBeLessThanOrEqual(limit)
    // What a process holds and does not use goes back: the rest can be had, as far as a call's estimate fits in.
    await sleep(2500)
    for (const one of workers) await one.do('burst', { count: 20 })
    const all = answered(calls(workers)).length * TOKENS
    expect(all).toBeLessThanOrEqual(limit)
    expect(all).toBeGreaterThan(limit - 200)
    await expect
      .poll(() => standing(workers[0]), { timeout: 10_000, interval: 500 })
      .toEqual({ spent: all, reserved: 0 })
  })

  test('are refused by it alone while their Redis answers', { timeout: 90_000 }, async () => {
    const budgets = [policy(unique('turn'), 30_000)]
    const workers = await three({ budgets, settings: { state: services.redis } })
    await Promise.all(workers.map((one) => one.do('burst', { count: 400, atOnce: 8 })))
    expect(new Set(calls(workers).map(({ code }) => code))).toEqual(new Set([null, 'BUDGET_EXCEEDED']))
  })

  // What a process counted by itself is lost where its last charge is older than the one that began the window.
  test('have what each counted by itself in a Redis that comes later', { timeout: 90_000 }, async () => {
    const server = await redisServer({ running: false })
    const budgets = [policy(unique('apart'), 1_000_000, { onStoreError: 'local' })]
    const workers = await three({ budgets, settings: { state: server.url } })
    for (const one of workers) {
      await one.do('burst', { count: 40, atOnce: 4 })
      await sleep(20)
    }
    await server.start()
    const spent = 120 * TOKENS
    await expect.poll(() => standing(workers[0]), { timeout: 10_000, interval: 500 }).toMatchObject({ spent })
  })

  // What is lost as in the test above is spent a second time.
  test('are held to it within two seconds of the first coming of their Redis', { timeout: 90_000 }, async () => {
    const server = await redisServer({ running: false })
    const limit = 20_000
    const budgets = [policy(unique('late'), limit, { onStoreError: 'local' })]
    const workers = await three({ budgets, settings: { state: server.url } })
    await Promise.all(workers.map((one) => one.do('burst', { count: 40, atOnce: 4 })))
    expect(answered(calls(workers)).length).toBe(120)
    await server.start()
    await sleep(2000)
    await Promise.all(workers.map((one) => one.do('burst', { count: 200, atOnce: 4 })))
    const spent = answered(calls(workers)).length * TOKENS
    expect(spent).toBeLessThanOrEqual(limit)
    expect(spent).toBeGreaterThan(120 * TOKENS)
    await expect.poll(() => standing(workers[0]), { timeout: 10_000, interval: 500 }).toMatchObject({ spent })
  })
})

describe.skipIf(services === undefined)('a ledger near its cap, one of three processes killed', () => {
  test.each([
    ['strict', 0],
    ['hard', 3 * 8 * TOKENS],
  ])('%s', { timeout: 200_000 }, async (enforcement, beyond) => {
    const database = await ownDatabase(`cap_${enforcement}`)
    const limit = 40_000
    const budgets = [policy(unique(enforcement), limit, { enforcement })]
    const settings = { state: services.redis, database: database.url, journal: await folder() }
    const workers = await three({ budgets, settings })
    const runs = workers.map((one) => one.do('burst', { count: 450, atOnce: 8 }))
    const enough = Math.floor((limit * 0.6) / TOKENS)
    while (answered(calls(workers)).length < enough) await sleep(1)
    await workers[1].kill()
    await Promise.all([runs[0], runs[2]])
    const told = answered(calls(workers)).map(({ requestId }) => requestId.replaceAll('-', ''))

    const all =
      "SELECT encode(request_id, 'hex') AS id, input_tokens + output_tokens AS tokens FROM usage_rows WHERE success"
    let rows = []
    const missing = async () => {
      rows = await rowsOf(database.url, all)
      const ids = new Set(rows.map(({ id }) => id))
      return told.filter((id) => !ids.has(id)).length
    }
    await expect.poll(missing, { timeout: 40_000, interval: 500 }).toBe(0)
    // Holdings of the killed process lapse, and what its rows say is counted.
    const settled = async () => {
      // Figures are kept up to date while a budget is in use.
      await workers[0].do('burst', { count: 1 })
      await missing()
      const { spent, reserved } = await standing(workers[0])
      return { reserved, apart: spent - rows.reduce((sum, { tokens }) => sum + tokens, 0) }
    }
    await expect.poll(settled, { timeout: 100_000, interval: 1000 }).toEqual({ reserved: 0, apart: 0 })
    const spent = rows.reduce((sum, { tokens }) => sum + tokens, 0)
    expect(spent).toBeLessThanOrEqual(limit + beyond)
    expect(spent).toBeGreaterThan(limit * 0.6)
    await Promise.all([workers[0].close(), workers[2].close()])
    await database.drop()
  })
})
