// A stand-in for OpenAI's chat completions, in a process of its own on a free loopback port. Plain sockets and bytes
// prepared in advance: what it costs should not be what is measured.
//
// The path says what is streamed, `/chunks-500-delay-10/v1/chat/completions`: 500 chunks of text, 10 ms apart.
import net from 'node:net'
import * as payloads from './payloads.mjs'

/** The request that every target sends, as bytes of its body. Anything else is answered with 400. */
const BODY_BYTES = { least: 550, most: 650 }
const MAX_CHUNKS = 100_000
/** HTTP chunks in one write when nothing paces the stream, about what a fast upstream leaves in one read. */
const BATCH = 16

const whole = (status, body) => {
  const headers = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}`
  return Buffer.from(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${body}`)
}
const refusal = (message) =>
  whole('400 Bad Request', JSON.stringify({ error: { message, type: 'invalid_request_error', code: null } }))

const event = (data) => `${(data.length + 8).toString(16)}\r\ndata: ${data}\n\n\r\n`
const ANSWER = whole('200 OK', payloads.answer)
const OPENING = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n' +
    event(payloads.opening),
)
const CHUNK = Buffer.from(event(payloads.chunk))
const CHUNKS = Buffer.concat(Array(BATCH).fill(CHUNK))
const closing = (chunks) => Buffer.from(`${payloads.closing(chunks).map(event).join('')}0\r\n\r\n`)

let streams = 0

function stream(socket, chunks, delay) {
  let left = chunks
  const send = (count) => {
    left -= count
    const flowing = socket.write(count === BATCH ? CHUNKS : CHUNKS.subarray(0, count * CHUNK.length))
    if (left === 0) socket.write(closing(chunks))
    return flowing
  }
  socket.write(OPENING)
  if (delay === 0) {
    const next = () => {
      if (socket.destroyed) return
      const flowing = send(Math.min(BATCH, left))
      if (left === 0) return
      if (flowing) setImmediate(next)
      else socket.once('drain', next)
    }
    next()
  } else {
    // Staggered, so that many streams do not beat as one.
    const offset = streams++ % delay
    setTimeout(() => {
      const timer = setInterval(() => {
        if (!socket.destroyed) send(1)
        if (socket.destroyed || left === 0) clearInterval(timer)
      }, delay)
    }, offset)
  }
}

function answer(socket, head, body) {
  const [, path = ''] = head.match(/^POST (\S+) HTTP\/1\.1\r\n/) ?? []
  if (!path.endsWith('/v1/chat/completions')) socket.write(refusal('unknown path'))
  else if (body.length < BODY_BYTES.least || body.length > BODY_BYTES.most) {
    socket.write(refusal(`a body of ${body.length} bytes`))
  } else if (!/"stream": ?true/.test(body)) {
    socket.write(ANSWER)
  } else {
    const [, chunks = '20', delay = '0'] = path.match(/^\/chunks-(\d+)(?:-delay-(\d+))?\//) ?? []
    stream(socket, Math.min(Math.max(Number(chunks), 1), MAX_CHUNKS), Number(delay))
  }
}

function serve(socket) {
  let bytes = Buffer.alloc(0)
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.on('data', (data) => {
    bytes = bytes.length ? Buffer.concat([bytes, data]) : data
    for (;;) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end === -1) return
      const head = bytes.latin1Slice(0, end + 2)
      const length = Number(head.match(/\r\ncontent-length: *(\d+)/i)?.[1])
      if (Number.isNaN(length)) return socket.end(refusal('no content-length'))
      const all = end + 4 + length
      if (bytes.length < all) return
      const body = bytes.latin1Slice(end + 4, all)
      bytes = bytes.subarray(all)
      answer(socket, head, body)
    }
  })
}

// Ends when the process that started it does.
process.on('disconnect', () => process.exit())
const server = net.createServer(serve).listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
