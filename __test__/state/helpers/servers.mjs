// Redis and PostgreSQL servers of a test's own, which it may stop, freeze and start again, and a proxy before them.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { onTestFinished } from 'vitest'
import { folder } from './folder.mjs'

const run = promisify(execFile)

/** Of the twelve thousand ports below those that the system gives to clients, each test process has a thousand. */
const firstPort = 20_000 + (Number(process.env.VITEST_POOL_ID ?? 0) % 12) * 1000
let portsGiven = Math.floor(Math.random() * 1000)

/** A port that is given once: a server that is started again finds it free. */
export async function freePort() {
  for (;;) {
    const port = firstPort + (portsGiven++ % 1000)
    const server = net.createServer()
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (free) return new Promise((resolve) => server.close(() => resolve(port)))
  }
}

async function until(what, holds) {
  for (let turn = 0; turn < 200; turn++) {
    if (await holds().catch(() => false)) return
    await sleep(50)
  }
  throw new Error(`not within ten seconds: ${what}`)
}

/** A certificate for this machine that is its own authority. */
async function certificate(dir) {
  const [key, cert] = [path.join(dir, 'key.pem'), path.join(dir, 'cert.pem')]
  const subject = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE']
  await run('openssl', ['req', '-x509', ...kind, ...subject, ...leaf, '-keyout', key, '-out', cert])
  return { key, cert }
}

/**
 * A Redis that writes each change to its disk before it answers. `running: false` leaves it to be started; with `tls: true`
 * it takes TLS at `tlsUrl`, too, by the certificate in the file `cert`.
 */
export async function redisServer({ running = true, tls = false } = {}) {
  const port = await freePort()
  const dir = await folder()
  const secure = tls ? { port: await freePort(), ...(await certificate(dir)) } : undefined
  const tlsOptions = secure
    ? [
        '--tls-port',
        `${secure.port}`,
        '--tls-cert-file',
        secure.cert,
        '--tls-key-file',
        secure.key,
        '--tls-auth-clients',
        'no',
      ]
    : []
  let child
  let exited
  const cli = async (...args) => (await run('redis-cli', ['-p', `${port}`, ...args], { timeout: 5000 })).stdout.trim()
  const made = {
    port,
    url: `redis://127.0.0.1:${port}`,
    tlsUrl: secure && `rediss://127.0.0.1:${secure.port}`,
    cert: secure?.cert,
    cli,
    async start() {
      const options = [
        '--dir',
        dir,
        '--save',
        '',
        '--appendonly',
        'yes',
        '--appendfsync',
        'always',
        ...tlsOptions,
        ...tlsOptions,
      ]
      child = spawn('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', ...options], { stdio: 'ignore' })
      exited = new Promise((resolve) => child.once('exit', resolve))
      await until('Redis answers', async () => (await cli('ping')) === 'PONG')
    },
    async stop() {
      child?.kill('SIGKILL')
      await exited
    },
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
  }
  onTestFinished(made.stop)
  if (running) await made.start()
  return made
}

const isRoot = process.getuid?.() === 0

/** PostgreSQL refuses to run as root. */
const asPostgres = (program, args) =>
  isRoot ? run('runuser', ['-u', 'postgres', '--', program, ...args], { cwd: '/' }) : run(program, args)

async function postgresPrograms() {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0]
  return newest === undefined ? '' : `/usr/lib/postgresql/${newest}/bin/`
}

export async function postgresServer() {
  const programs = await postgresPrograms()
  const port = await freePort()
  const home = await mkdtemp(path.join(tmpdir(), 'ai-gateway-'))
  if (isRoot) {
    await chown(home, Number(execFileSync('id', ['-u', 'postgres'])), -1)
    await chmod(home, 0o755)
  }
  const data = path.join(home, 'data')
  const ctl = (...args) => asPostgres(`${programs}pg_ctl`, ['--pgdata', data, ...args])
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off`
  const made = {
    port,
    url,
    start: () => ctl('start', '--wait', '--log', path.join(home, 'log'), '--options', options),
    stop: () => ctl('stop', '--mode', 'immediate'),
    async signal(signal) {
      const postmaster = (await asPostgres('head', ['-n', '1', path.join(data, 'postmaster.pid')])).stdout.trim()
      const children = await run('pgrep', ['-P', postmaster]).catch(() => ({ stdout: '' }))
      for (const pid of [postmaster, ...children.stdout.split('\n').filter(Boolean)])
        await run('kill', [`-${signal}`, pid]).catch(() => {})
    },
    freeze: () => made.signal('STOP'),
    thaw: () => made.signal('CONT'),
    cutConnections: () =>
      run('psql', [
        url,
        '-qc',
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = $$client backend$$',
      ]),
  }
  onTestFinished(async () => {
    await made.stop().catch(() => {})
    await rm(home, { recursive: true, force: true })
  })
  const init = ['--pgdata', data, '--username', 'postgres', '--auth', 'trust', '--encoding', 'UTF8', '--no-sync']
  await asPostgres(`${programs}initdb`, init)
  await made.start()
  return made
}

/**
 * A proxy before a server on this machine. `mood` is `pass`; `swallow`: it takes connections and bytes, and nothing comes of
 * them; `refuse`: it ends connections as soon as they are there; or a number: each answer takes as many milliseconds longer.
 */
export async function proxy(port) {
  let mood = 'pass'
  const sockets = new Set()
  const server = net.createServer((client) => {
    if (mood === 'refuse') return client.destroy()
    const upstream = net.connect({ host: '127.0.0.1', port })
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end).on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    client.on('data', (bytes) => {
      if (mood !== 'swallow') upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (mood === 'swallow') return
      // A later answer does not pass an earlier one that still waits.
      const due = Math.max(client.due ?? 0, performance.now() + (typeof mood === 'number' ? mood : 0))
      client.due = due
      const wait = due - performance.now()
      if (wait <= 0) client.write(bytes)
      else setTimeout(() => client.destroyed || client.write(bytes), wait)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(() => {
    cut()
    return new Promise((resolve) => server.close(resolve))
  })
  return {
    port: server.address().port,
    cut,
    set(next) {
      mood = next
      if (mood === 'refuse') cut()
    },
    /** Bytes that were swallowed are missing: connections begin anew. */
    pass() {
      const anew = mood === 'swallow'
      mood = 'pass'
      if (anew) cut()
    },
  }
}
