// Every cent adds up: what several processes were told, what is in the database, and what their budgets stand at is the same,
// also where one of them was killed.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { budget } from '../helpers/config.mjs'
import { folder } from './helpers/folder.mjs'
import { ledgerUpstream, worker } from './helpers/process.mjs'
import { ownDatabase, rowsOf, services } from './helpers/services.mjs'

const CALLS = Number(process.env.LEDGER_CALLS ?? 10_000)

async function until(what, holds, ms = 60_000) {
  const end = Date.now() + ms
  let last
  while (Date.now() < end) {
    last = await holds()
    if (last === true) return
    await sleep(200)
  }
  throw new Error(`not within ${ms} ms: ${what}; ${JSON.stringify(last)}`)
}

const sums = `SELECT count(*) FILTER (WHERE part = 0) AS calls, count(DISTINCT request_id) AS ids,
  coalesce(sum(input_tokens), 0) AS input, coalesce(sum(output_tokens), 0) AS output, coalesce(sum(cost), 0) AS cost FROM usage_rows`

describe.skipIf(services === undefined)('three processes on one Redis and one PostgreSQL', () => {
  test('rows, budgets and answers agree although one process is killed', { timeout: 300_000 }, async () => {
    const database = await ownDatabase('ledger')
    const { url: upstream } = await ledgerUpstream()
    const name = `ledger-${process.pid}-${Date.now()}`
    const config = {
      upstream: `${upstream}/v1`,
      budgets: [
        budget(name, { maxTotalTokens: 100_000_000 }, { enforcement: 'strict' }),
        budget(`${name}-hard`, { maxCostUsd: 1000 }),
      ],
      settings: { state: services.redis, database: database.url, journal: await folder(), cache: { enabled: false } },
    }
    const workers = await Promise.all([worker(config), worker(config), worker(config)])
    const count = Math.ceil(CALLS / 3)
    const runs = workers.map((one) => one.do('run', { count }))
    await until(
      'half of the calls',
      () => workers[1].acknowledged().length >= count / 2 || workers[1].acknowledged().length,
      200_000,
    )
    await workers[1].kill()
    await Promise.all([runs[0], runs[2]])

    const acknowledged = workers.flatMap((one) => one.acknowledged())
    expect(acknowledged.length).toBeGreaterThan(count * 2)
    // The reason of a signal is the program's own, and knows no id.
    const named = acknowledged.filter(({ code }) => code !== 'ABORTED')
    const ids = new Set(named.map(({ requestId }) => requestId?.replaceAll('-', '')))
    expect(ids.size).toBe(named.length)
    expect(ids.has(undefined)).toBe(false)

    // The killed process's journal is taken over by another one.
    await until('all rows are in the database', async () => {
      const rows = await rowsOf(
        database.url,
        "SELECT encode(request_id, 'hex') AS id, count(*) AS n FROM usage_rows WHERE part = 0 GROUP BY 1",
      )
      const found = new Map(rows.map(({ id, n }) => [id, n]))
      const missing = [...ids].filter((id) => !found.has(id))
      return missing.length === 0 && rows.every(({ n }) => n === 1) ? true : { missing: missing.length }
    })
    await until('budgets stand at the sum of the rows, and nothing is reserved', async () => {
      const [sum] = await rowsOf(database.url, sums)
      const [{ budgets }] = await workers[0].do('budgets')
      const standing = budgets.find(({ policy }) => policy === name)
      const is = {
        input: standing.spent.inputTokens,
        output: standing.spent.outputTokens,
        reserved: standing.reserved.totalTokens,
      }
      return is.input === sum.input && is.output === sum.output && is.reserved === 0 ? true : { is, sum }
    })
    await Promise.all([workers[0].close(), workers[2].close()])
    await database.drop()
  })
})
