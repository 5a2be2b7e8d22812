// Upstreams on loopback that answer, stall, break off and lie, as each test asks.
import http from 'node:http'
import net from 'node:net'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished } from 'vitest'

/**
 * An HTTP server. `answer(exchange, number)` is called with each whole request, the first being number 1.
 * `requests` are the exchanges so far, `connections` the sockets.
 */
export async function upstream(answer, { tls } = {}) {
  const requests = []
  const connections = []
  const listener = async (req, res) => {
    const connection = connections.find(({ socket }) => socket === req.socket)
    let body = ''
    req.setEncoding('utf8')
    try {
      for await (const piece of req) body += piece
    } catch {
      return
    }
    const exchange = new Exchange(req, res, body, connection)
    requests.push(exchange)
    for (const wake of waiting.splice(0)) wake()
    await answer(exchange, requests.length)
  }
  const server = tls ? (await import('node:https')).createServer(tls, listener) : http.createServer(listener)
  server.keepAliveTimeout = 0
  server.on(tls ? 'secureConnection' : 'connection', (socket) => connections.push(watch(socket)))
  const { port } = await listen(server)
  const waiting = []
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    server,
    requests,
    connections,
    /** Resolves to the exchange with this number once it has come. */
    async request(number = 1) {
      while (requests.length < number) await new Promise((wake) => waiting.push(wake))
      return requests[number - 1]
    },
  }
}

/** A plain TCP server; `talk(socket, number)` gets each connection. */
export async function tcp(talk = () => {}) {
  const connections = []
  const server = net.createServer((socket) => {
    connections.push(watch(socket.resume()))
    talk(socket, connections.length)
  })
  const { port } = await listen(server)
  return { url: `http://127.0.0.1:${port}`, port, connections }
}

/** A port on which nobody listens. */
export async function closedPort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

async function listen(server) {
  const sockets = new Set()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return server.address()
}

/** `closed` resolves, and `closedAt` is set, when the client's side of the connection goes away. */
function watch(socket) {
  const connection = { socket, openedAt: performance.now(), closedAt: undefined }
  connection.closed = new Promise((resolve) => {
    const gone = () => {
      connection.closedAt ??= performance.now()
      resolve(connection.closedAt)
    }
    socket.on('end', gone)
    socket.on('error', gone)
    socket.on('close', gone)
  })
  return connection
}

class Exchange {
  constructor(req, res, body, connection) {
    this.method = req.method
    this.path = req.url
    this.headers = req.headers
    this.body = body
    this.res = res
    this.connection = connection
    /** Resolves to the moment at which the client's connection went away. */
    this.closed = connection.closed
    res.on('error', () => {})
  }

  get json() {
    return JSON.parse(this.body)
  }

  /** A whole answer; `body` is text or a value for JSON. */
  reply(body, { status = 200, headers = {} } = {}) {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    this.res.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      ...headers,
    })
    this.res.end(text)
  }

  /** The head alone; a body may follow with `write`. */
  head(headers = {}, status = 200) {
    this.res.writeHead(status, { 'content-type': 'application/json', ...headers })
    this.res.flushHeaders()
    return this
  }

  /** Begins a stream of events. */
  events() {
    return this.head({ 'content-type': 'text/event-stream' })
  }

  write(...texts) {
    for (const text of texts) this.res.write(text)
    return this
  }

  end(...texts) {
    this.write(...texts)
    this.res.end()
  }

  /** Writes with a pause before each piece. */
  async trickle(ms, texts) {
    for (const text of texts) {
      await sleep(ms)
      if (this.res.destroyed || this.connection.closedAt !== undefined) return this
      this.res.write(text)
    }
    return this
  }

  /** Bytes on the connection, whatever HTTP says. */
  raw(text) {
    this.res.socket.write(text)
    return this
  }

  /** Ends the connection as if all were well (FIN). */
  hangUp() {
    this.res.socket.end()
  }

  /** Breaks the connection (RST), once what was written has left. */
  async reset() {
    const { socket } = this.res
    await new Promise((resolve) => socket.write('', resolve))
    await sleep(20)
    socket.resetAndDestroy()
  }
}
