// A chat server on plain node:http and the public API of ai-gateway-native. Start it with `npm run demo`.
//
// It needs no key: routes whose providers have none are answered by the built-in mock. Keys come from the environment
// or from a `.env` file; `.env.example` names them.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Gateway, GatewayError, registerModelPricing } from 'ai-gateway-native'
import { answerers, loadUsableConfig } from './config.mjs'
import { loadEnv } from './env.mjs'

const HERE = path.dirname(fileURLToPath(import.meta.url))
const ROOT = path.resolve(HERE, '../..')
const MAX_BODY_BYTES = 10e6
const SHUTDOWN_MS = 5_000
// The page runs only what this server itself serves; nothing inline, nothing from elsewhere.
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

for (const dir of new Set([process.cwd(), ROOT])) loadEnv(path.join(dir, '.env'))

// ── The gateway ─────────────────────────────────────────────────────────────────────────────────────────────────────

const { config, off } = await loadUsableConfig(HERE).catch((error) => fail(error.message))

// The mock costs nothing; a made-up price lets the page and the budgets show something.
for (const { provider, models } of config.providers) {
  if (provider !== 'mock') continue
  for (const model of models) registerModelPricing(model, { inputPer1kTokens: 0.001, outputPer1kTokens: 0.002 })
}

const gateway = new Gateway({ config, onUsageLog: printUsage })

function printUsage(log) {
  const { provider, model, routeRule, inputTokens, outputTokens, estimatedCostUsd = 0, latencyMs } = log
  const figures = [`${inputTokens} + ${outputTokens} tokens`, `$${estimatedCostUsd.toFixed(6)}`, `${latencyMs} ms`]
  if (log.fallbackTriggered) figures.push(`fallback from ${log.fallbackFrom}`)
  console.log(`${log.success ? 'ok' : log.errorCode}: ${routeRule} → ${provider}/${model}, ${figures.join(', ')}`)
}

/** What the gateway is asked: these fields of the body, and `signal`, which fires when the client goes away. */
function toRequest(body, signal) {
  // The gateway itself says what is wrong with a body that is no object.
  if (body === null || typeof body !== 'object' || Array.isArray(body)) return body
  const { messages, model, taskType, feature, userTier, maxTokens, temperature } = body
  return { messages, model, taskType, feature, userTier, maxTokens: maxTokens ?? 1024, temperature, signal }
}

// ── HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const ROUTES = {
  '/': { GET: page('index.html', 'text/html; charset=utf-8') },
  '/page.mjs': { GET: page('page.mjs', 'text/javascript; charset=utf-8') },
  '/words.mjs': { GET: page('words.mjs', 'text/javascript; charset=utf-8') },
  '/page.css': { GET: page('page.css', 'text/css; charset=utf-8') },
  '/health': { GET: (req, res) => sendJson(res, 200, { status: 'ok', providers: gateway.listProviders() }) },
  '/v1/chat': { POST: chat },
  '/v1/chat/stream': { POST: chatStream },
}

async function chat(req, res, signal) {
  const body = await readJson(req)
  sendJson(res, 200, await gateway.chat(toRequest(body, signal)))
}

async function chatStream(req, res, signal) {
  const body = await readJson(req)
  // Up to here a failure is an HTTP error: nothing has been sent, and a fallback may still have answered.
  const { stream, getUsageSummary } = await gateway.chatStream(toRequest(body, signal))
  res.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // Tells proxies such as nginx to pass each event on at once.
    'x-accel-buffering': 'no',
  })
  try {
    for await (const chunk of stream) await sendEvent(res, chunk, signal)
    await sendEvent(res, { type: 'done', usage: await getUsageSummary() }, signal)
  } catch (error) {
    if (signal.aborted) return
    await sendEvent(res, { type: 'error', error: describe(error).body }, signal)
  }
  res.end()
}

async function sendEvent(res, data, signal) {
  // A client that reads slowly slows the upstream down, instead of filling this process's memory.
  if (!res.write(`data: ${JSON.stringify(data)}\n\n`)) await once(res, 'drain', { signal })
}

const running = new Set()

const server = http.createServer(async (req, res) => {
  const client = new AbortController()
  running.add(client)
  res.once('close', () => {
    running.delete(client)
    // The client has left before its answer was complete: the upstream is left too, and stops costing money.
    if (!res.writableFinished) client.abort()
  })
  try {
    await handlerOf(req)(req, res, client.signal)
  } catch (error) {
    if (res.headersSent || res.destroyed) return res.destroy()
    const { status, headers, body } = describe(error)
    if (status === 500) console.error(error)
    else if (!error.provider) console.log(`${status} ${body.code}: ${body.message}`)
    sendJson(res, status, body, headers)
  }
})

function handlerOf(req) {
  const methods = ROUTES[req.url.split('?')[0]]
  if (methods === undefined) throw new HttpError(404, 'NOT_FOUND', 'There is nothing at this path')
  const handler = methods[req.method === 'HEAD' ? 'GET' : req.method]
  const allow = Object.keys(methods).join(', ')
  if (handler === undefined) throw new HttpError(405, 'METHOD_NOT_ALLOWED', `Use ${allow}`, { allow })
  // Browsers name the site a call comes from: other people's pages must not spend your keys.
  if (['cross-site', 'same-site'].includes(req.headers['sec-fetch-site']) && req.method === 'POST') {
    throw new HttpError(403, 'FORBIDDEN', 'Calls from other sites are refused')
  }
  return handler
}

async function readJson(req) {
  const chunks = []
  let size = 0
  for await (const chunk of req) {
    size += chunk.length
    // What is too long is read to its end without being kept: a client that is still sending would not see the answer.
    if (size <= MAX_BODY_BYTES) chunks.push(chunk)
    else chunks.length = 0
  }
  if (size > MAX_BODY_BYTES) throw new HttpError(413, 'BODY_TOO_LARGE', `The body is over ${MAX_BODY_BYTES / 1e6} MB`)
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new HttpError(400, 'INVALID_JSON', 'The body is not valid JSON')
  }
}

class HttpError extends Error {
  constructor(status, code, message, headers = {}) {
    super(message)
    Object.assign(this, { status, code, headers })
  }
}

function describe(error) {
  if (error instanceof GatewayError) return { status: error.httpStatus, body: error.toJSON() }
  const message = String(error?.message ?? error)
  if (!(error instanceof HttpError)) return { status: 500, body: { code: 'INTERNAL', message } }
  const { status, headers, code } = error
  return { status, headers, body: { code, message } }
}

function sendJson(res, status, body, headers) {
  const text = JSON.stringify(body)
  res.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...headers,
  })
  res.end(text)
}

function page(file, type) {
  const body = readFileSync(path.join(HERE, 'page', file))
  return (req, res) => {
    res.writeHead(200, {
      'content-type': type,
      'content-length': body.length,
      'cache-control': 'no-cache',
      'content-security-policy': CONTENT_SECURITY_POLICY,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    })
    res.end(body)
  }
}

// ── Start and stop ──────────────────────────────────────────────────────────────────────────────────────────────────

const port = portOf(process.env.PORT)
// Only this machine may call, since calls spend your keys; `HOST=0.0.0.0` opens the server to others.
const host = process.env.HOST || '127.0.0.1'

server.on('error', (error) => {
  const advice = 'Choose another one, or 0 for any free one: PORT=3171 npm run demo, or a line PORT=3171 in .env.'
  if (error.code === 'EADDRINUSE') fail(`Port ${port} is in use by another program. ${advice}`)
  if (error.code === 'EACCES') fail(`This user may not open port ${port}. ${advice}`)
  fail(`Cannot listen on ${host}, port ${port}: ${error.message}`)
})

server.listen(port, host, () => {
  const address = server.address()
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
  console.log(`\nai-gateway-native demo: http://${name}:${address.port}\n`)
  const routes = answerers(config)
  const width = Math.max(...routes.map(({ rule }) => rule.length))
  for (const { rule, providers } of routes) console.log(`  ${rule.padEnd(width)}  ${providers.join(', then ')}`)
  console.log()
  for (const { name, missing } of off) console.log(`  ${name} is off: ${missing} is not set`)
  console.log(`${off.length > 0 ? '\n' : ''}Ctrl-C stops the server.\n`)
})

function portOf(text) {
  if (!text) return 3170
  const number = Number(text)
  if (Number.isInteger(number) && number >= 0 && number <= 65535) return number
  return fail(`PORT must be a whole number from 0 to 65535, not "${text}".`)
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop)

let stopping

/** Takes no more calls and lets the running ones finish, for a while. A second Ctrl-C ends the process at once. */
function stop() {
  // npm hands on the Ctrl-C that the terminal has sent to this process as well: one key press is two signals.
  if (stopping !== undefined && performance.now() - stopping > 500) process.exit(130)
  if (stopping !== undefined) return
  stopping = performance.now()

  if (running.size > 0) console.log(`\nWaiting for ${running.size} running call(s). Ctrl-C again stops them.`)
  server.close(() => {
    console.log('\nStopped.')
    process.exit()
  })
  server.closeIdleConnections?.()
  setTimeout(() => {
    for (const client of running) client.abort()
    server.closeAllConnections?.()
  }, SHUTDOWN_MS).unref()
}

function fail(message) {
  console.error(`\n${message}\n`)
  process.exit(1)
}
