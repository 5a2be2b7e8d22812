// Starts the demo server on a free port and asks it for its health and for one streamed answer.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from './addon.mjs'

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

const port = await freePort()
const url = `http://127.0.0.1:${port}`
const server = spawn(process.execPath, ['examples/demo-server/server.mjs'], {
  cwd: root,
  env: { ...process.env, PORT: String(port) },
  stdio: ['ignore', 'inherit', 'inherit'],
})
const gone = once(server, 'exit').then(([code]) => {
  throw new Error(`the demo server ended with code ${code}`)
})
gone.catch(() => {})

async function health() {
  for (let tries = 0; ; tries++) {
    try {
      return await fetch(`${url}/health`)
    } catch (error) {
      if (tries === 100) throw error
      await sleep(100)
    }
  }
}

async function check() {
  assert.equal((await health()).status, 200)

  const answer = await fetch(`${url}/v1/chat/stream`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Say hello.' }], taskType: 'chat' }),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/)
  const deltas = [...text.matchAll(/^data: ?(\{.*\})$/gm)].map(([, json]) => JSON.parse(json).delta ?? '')
  assert.notEqual(deltas.join(''), '', `no text in the stream:\n${text}`)
  console.log(`The demo server is healthy and streamed: ${deltas.join('').trim()}`)
}

try {
  await Promise.race([check(), gone])
} finally {
  server.kill()
}
