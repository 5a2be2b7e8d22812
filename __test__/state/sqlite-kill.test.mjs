// Two processes with gateways on one SQLite file, one of which is killed at any moment: what was acknowledged has its row.
import { execFile } from 'node:child_process'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { budget } from '../helpers/config.mjs'
import { folder } from './helpers/folder.mjs'
import { ledgerUpstream, standing, worker } from './helpers/process.mjs'

const ROUNDS = Number(process.env.KILL_ROUNDS ?? 50)

/** `undefined` where no `sqlite3` is installed. */
const sqlite = (file, sql) =>
  promisify(execFile)('sqlite3', [file, sql], { maxBuffer: 1 << 28 }).then(
    ({ stdout }) => stdout.trim(),
    (error) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    },
  )

test('acknowledged calls are in the file, which stays whole', { timeout: 300_000 }, async () => {
  const file = path.join(await folder(), 'gateway.db')
  const { url } = await ledgerUpstream()
  const name = `kill-${process.pid}`
  const config = {
    upstream: `${url}/v1`,
    budgets: [budget(name, { maxTotalTokens: 100_000_000 }, { enforcement: 'strict' })],
    settings: { state: `sqlite:${file}`, database: `sqlite:${file}`, cache: { enabled: false } },
  }
  const told = []
  const burst = (one) => one.do('burst', { count: 100_000, atOnce: 6 })
  let survivor = await worker(config)
  for (let round = 0; round < ROUNDS; round++) {
    const victim = await worker(config)
    const survives = survivor.do('burst', { count: 60, atOnce: 3 })
    burst(victim)
    await sleep(20 + Math.random() * 400)
    await victim.kill()
    await survives
    told.push(...victim.acknowledged())
    // Now and then the other one goes, too: nobody has the file open then.
    if (round % 3 === 2) {
      burst(survivor)
      await sleep(Math.random() * 200)
      await survivor.kill()
      told.push(...survivor.acknowledged())
      survivor = await worker(config)
    }
    const check = await sqlite(file, 'PRAGMA integrity_check')
    if (check !== undefined) expect(check).toBe('ok')
  }
  told.push(...survivor.acknowledged())
  expect(told.filter(({ code }) => code !== null)).toEqual([])
  expect(told.length).toBeGreaterThan(ROUNDS * 60)

  const [{ usage }] = await survivor.do('usage', { query: {} })
  expect(usage[0].calls).toBeGreaterThanOrEqual(told.length)
  expect(usage[0].inputTokens).toBe(usage[0].calls * 20)
  const listed = await sqlite(file, 'SELECT lower(hex(request_id)) FROM usage_rows WHERE part = 0')
  if (listed !== undefined) {
    const ids = listed.split('\n')
    expect(ids.length).toBe(usage[0].calls)
    const there = new Set(ids)
    expect(there.size).toBe(ids.length)
    expect(told.filter(({ requestId }) => !there.has(requestId.replaceAll('-', '')))).toEqual([])
  }
  // The counts of the budget are those of the rows; what killed processes held has lapsed.
  await expect
    .poll(() => standing(survivor), { timeout: 60_000, interval: 1000 })
    .toEqual({ spent: usage[0].calls * 60, reserved: 0 })
  await survivor.close()
})
