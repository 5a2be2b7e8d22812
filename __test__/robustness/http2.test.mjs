// Entries that speak HTTP/2, over real TLS.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import https from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { openai, stream } from './helpers/formats.mjs'
import { NETWORK, TIMEOUT, ask, eventually, failure, gatewayOf, readAll } from './helpers/gateway.mjs'

let dir
let tls
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'gateway-http2-'))
  const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1'
  const made = ['-newkey', 'rsa:2048', '-nodes', '-keyout', 'own.key', '-out', 'own.pem', '-days', '2']
  const args = ['req', '-x509', ...made, '-subj', '/CN=localhost', '-addext', names]
  execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
  tls = { key: readFileSync(path.join(dir, 'own.key')), cert: readFileSync(path.join(dir, 'own.pem')) }
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeEach(() => vi.stubEnv('NODE_EXTRA_CA_CERTS', path.join(dir, 'own.pem')))
afterEach(() => vi.unstubAllEnvs())

/** A server; `answer(stream)` gets each whole request. `streams` and `sessions` are those so far. */
async function secure(answer) {
  const server = http2.createSecureServer({ ...tls, settings: { maxConcurrentStreams: 100 } })
  const sessions = []
  const streams = []
  server.on('session', (session) => sessions.push(session))
  server.on('stream', async (one, headers) => {
    one.on('error', () => {})
    streams.push({ stream: one, headers })
    for await (const piece of one) void piece
    answer(one)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return { url: `https://localhost:${server.address().port}`, sessions, streams }
}

const json = (one, value) => {
  one.respond({ ':status': 200, 'content-type': 'application/json' })
  one.end(JSON.stringify(value))
}
const events = (one, text, end = true) => {
  one.respond({ ':status': 200, 'content-type': 'text/event-stream' })
  one.write(text)
  if (end) one.end()
}
const over = (url, more) => gatewayOf({ providers: [openai.entry(url, { http2: true, ...more })] }).gateway

test('whole answers and streams share a connection', async () => {
  const server = await secure((one) => {
    if (server.streams.length === 2) events(one, stream(openai))
    else json(one, openai.whole())
  })
  const gateway = over(server.url)
  expect((await gateway.chat(ask())).content).toBe('Hello')
  expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Hello')
  expect((await gateway.chat(ask())).content).toBe('Hello')
  expect(server.sessions).toHaveLength(1)
  const { headers } = server.streams[0]
  expect(headers).toMatchObject({ ':method': 'POST', ':path': '/v1/chat/completions' })
  expect(headers[':authority']).toBe(new URL(server.url).host)
  expect(headers.host).toBeUndefined()
  expect(Number(headers['content-length'])).toBeGreaterThan(0)
})

test('256 streams at once take three connections of 100 streams', async () => {
  const open = []
  const server = await secure((one) => {
    events(one, openai.start + openai.delta('Hel'), false)
    if (open.push(one) < 256) return
    for (const stream of open) stream.end(openai.delta('lo') + openai.finish + openai.done)
  })
  const gateway = over(server.url)
  const read = async () => (await readAll((await gateway.chatStream(ask())).stream)).text
  const texts = await Promise.all(Array.from({ length: 256 }, read))
  expect(new Set(texts)).toEqual(new Set(['Hello']))
  expect(server.sessions).toHaveLength(3)
})

test('a stream that its reader leaves is reset at once, and the others go on', async () => {
  const server = await secure((one) => events(one, openai.start + openai.delta('Hel'), false))
  const gateway = over(server.url)
  const opened = await Promise.all([gateway.chatStream(ask()), gateway.chatStream(ask())])
  const [left, stays] = opened.map(({ stream }) => stream[Symbol.asyncIterator]())
  const [, first] = await Promise.all([left.next(), stays.next()])
  await left.return()
  await eventually(() => server.streams.some(({ stream }) => stream.closed))
  const [gone, open] = [true, false].map((is) => server.streams.filter(({ stream }) => stream.closed === is))
  expect(gone.map(({ stream }) => stream.rstCode)).toEqual([http2.constants.NGHTTP2_CANCEL])
  open[0].stream.end(openai.delta('lo') + openai.finish + openai.done)
  let text = first.value.delta ?? ''
  for (let next = await stays.next(); !next.done; next = await stays.next()) text += next.value.delta ?? ''
  expect(text).toBe('Hello')
  expect(server.sessions).toHaveLength(1)
})

test('a call whose time is up, or whose caller is gone, is reset', async () => {
  const server = await secure(() => {})
  const gateway = over(server.url, { timeoutMs: 300 })
  expect(await failure(gateway.chat(ask()))).toMatchObject(TIMEOUT)
  const caller = new AbortController()
  const call = failure(gateway.chat(ask({ signal: caller.signal })))
  await eventually(() => server.streams.length === 2)
  caller.abort()
  await call
  await eventually(() => server.streams.every(({ stream }) => stream.closed))
  const codes = server.streams.map(({ stream }) => stream.rstCode)
  expect(codes).toEqual([http2.constants.NGHTTP2_CANCEL, http2.constants.NGHTTP2_CANCEL])
  expect(server.sessions).toHaveLength(1)
})

test('a stream that the server resets is a failure of the network, and is retried', async () => {
  const server = await secure((one) => {
    if (server.streams.length === 1) one.close(http2.constants.NGHTTP2_INTERNAL_ERROR)
    else json(one, openai.whole())
  })
  expect(await failure(over(server.url).chat(ask()))).toMatchObject(NETWORK)
  server.streams.length = 0
  const gateway = over(server.url, { retry: { maxAttempts: 2, backoffMs: 1 } })
  expect((await gateway.chat(ask())).content).toBe('Hello')
})

test('a server without HTTP/2 is spoken to over HTTP/1.1', async () => {
  const versions = []
  const server = https.createServer(tls, (req, res) => {
    versions.push(req.httpVersion)
    res.end(JSON.stringify(openai.whole()))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const gateway = over(`https://localhost:${server.address().port}`)
  expect((await gateway.chat(ask())).content).toBe('Hello')
  expect(versions).toEqual(['1.1'])
})

test('http2 is true or false', () => {
  const entry = openai.entry('https://localhost', { http2: 'yes' })
  expect(() => gatewayOf({ providers: [entry] })).toThrow('http2')
})
