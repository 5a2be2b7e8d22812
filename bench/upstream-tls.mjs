// The upstream over TLS: HTTP/2 and HTTP/1.1 on one port, in a process of its own. Its certificate is made anew, with
// `openssl`. It tells how many handshakes it has seen whenever it is asked.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { answer, chunk, closing, opening } from './payloads.mjs'

/** What common servers allow. */
const STREAMS = 128
const KEEP_ALIVE_MS = 65_000

const dir = mkdtempSync(path.join(tmpdir(), 'gateway-bench-'))
process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
const [key, authority] = ['key.pem', 'authority.pem'].map((name) => path.join(dir, name))
const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1'
const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
const about = ['-days', '2', '-subj', '/CN=localhost', '-addext', names]
execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', authority, ...about], { stdio: 'pipe' })

let streams = 0

function stream(res, chunks, delay) {
  const write = (data) => res.write(`data: ${data}\n\n`)
  res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  write(opening)
  let left = chunks
  // Staggered, so that many streams do not beat as one.
  setTimeout(() => {
    const timer = setInterval(() => {
      if (res.destroyed) return clearInterval(timer)
      write(chunk)
      left -= 1
      if (left > 0) return
      clearInterval(timer)
      for (const data of closing(chunks)) write(data)
      res.end()
    }, delay)
  }, streams++ % delay)
}

const options = {
  key: readFileSync(key),
  cert: readFileSync(authority),
  allowHTTP1: true,
  settings: { maxConcurrentStreams: STREAMS },
}
const server = http2.createSecureServer(options, async (req, res) => {
  let body = ''
  for await (const piece of req.setEncoding('utf8')) body += piece
  const [, chunks, delay] = req.url.match(/^\/chunks-(\d+)-delay-(\d+)\//) ?? []
  if (/"stream": ?true/.test(body)) stream(res, Number(chunks), Math.max(Number(delay), 1))
  else res.writeHead(200, { 'content-type': 'application/json' }).end(answer)
})
server.keepAliveTimeout = KEEP_ALIVE_MS

let handshakes = 0
server.on('secureConnection', () => {
  handshakes += 1
})
process.on('message', () => process.send({ handshakes }))
// Ends when the process that started it does.
process.on('disconnect', () => process.exit())
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port, authority }))
