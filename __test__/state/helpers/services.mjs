// The running Redis and PostgreSQL that tests use.
import { execFile } from 'node:child_process'
import net from 'node:net'
import { promisify } from 'node:util'

const run = promisify(execFile)

const redis = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'
const postgres = process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'

const answers = (url) =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(url)
    const socket = net.connect({ host: hostname, port })
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.setTimeout(2000, () => resolve(false))
    socket.once('close', () => resolve(false))
  })

const there = (await Promise.all([answers(redis), answers(postgres)])).every(Boolean)
if (!there) {
  const what = `no Redis at ${redis} or no PostgreSQL at ${postgres}: eval "$(bash scripts/services start)" starts both`
  if (process.env.REQUIRE_SERVICES === '1') throw new Error(what)
  console.warn(`skipped: ${what}`)
}

/** `undefined` where they do not run: tests are skipped then, which is said. */
export const services = there ? { redis, postgres } : undefined

/** Rows of a query, as objects. */
export async function rowsOf(url, sql) {
  const { stdout } = await run('psql', [url, '-qAtc', `SELECT coalesce(json_agg(t), '[]') FROM (${sql}) t`], {
    maxBuffer: 1 << 28,
  })
  return JSON.parse(stdout)
}

/** A PostgreSQL database and a prefix of budget names of a test's own. */
export async function ownDatabase(name) {
  const database = `${name}_${process.pid}_${Date.now()}`
  await run('psql', [services.postgres, '-qc', `CREATE DATABASE ${database}`])
  const url = new URL(services.postgres)
  url.pathname = `/${database}`
  return {
    url: url.href,
    drop: () => run('psql', [services.postgres, '-qc', `DROP DATABASE IF EXISTS ${database} WITH (FORCE)`]),
  }
}
