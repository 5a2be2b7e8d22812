// A loopback upstream and what it answers.
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export { sleep }

/**
 * A server on loopback; the first part of a path names the handler: `(res, body, req)`. Counts requests, answers under
 * way and open sockets.
 */
export async function serve(handlers) {
  const upstream = { requests: 0, open: 0, closedEarly: 0, sockets: new Set() }
  const server = createServer((req, res) => {
    upstream.requests++
    upstream.open++
    res.on('close', () => {
      upstream.open--
      if (!res.writableFinished) upstream.closedEarly++
    })
    res.on('error', () => {})
    const parts = []
    req.on('data', (part) => parts.push(part))
    req.on('end', () => handlers[req.url.split('/')[1]](res, JSON.parse(Buffer.concat(parts)), req))
  })
  server.on('connection', (socket) => {
    socket.setNoDelay(true)
    upstream.sockets.add(socket)
    socket.on('close', () => upstream.sockets.delete(socket))
    socket.on('error', () => {})
  })
  server.keepAliveTimeout = 60_000
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  upstream.url = `http://127.0.0.1:${server.address().port}`
  upstream.unref = () => {
    server.unref()
    for (const socket of upstream.sockets) socket.unref()
    server.on('connection', (socket) => socket.unref())
  }
  upstream.close = () => {
    server.close()
    server.closeAllConnections()
  }
  return upstream
}

// Handlers.

export function answer(res, body) {
  if (body.stream) {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(chunk('Hello'))
    res.write(chunk(' there'))
    return res.end(FINISH)
  }
  res.writeHead(200, { 'content-type': 'application/json' })
  const message = { role: 'assistant', content: 'Hello there' }
  const usage = { prompt_tokens: 8, completion_tokens: 2, total_tokens: 10 }
  res.end(JSON.stringify({ model: 'gpt-4o-mini', choices: [{ index: 0, message, finish_reason: 'stop' }], usage }))
}

export function fail(res) {
  res.writeHead(500, { 'content-type': 'application/json' })
  res.end('{"error":{"message":"The server had an error","type":"server_error"}}')
}

/** Takes the request and never answers. */
export function stall() {}

/** One chunk, then silence. */
export function begin(res) {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.write(chunk('once'))
}

/** A chunk every few milliseconds, until the reader leaves. */
export function trickle(res) {
  begin(res)
  const timer = setInterval(() => res.write(chunk('more')), 3)
  res.on('close', () => clearInterval(timer))
}

export function chunk(content) {
  const choices = [{ index: 0, delta: { content }, finish_reason: null }]
  return `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'gpt-4o-mini', choices })}\n\n`
}

export const FINISH =
  'data: {"model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n' +
  'data: {"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}\n\n' +
  'data: [DONE]\n\n'
