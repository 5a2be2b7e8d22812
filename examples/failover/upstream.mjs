// A server that answers as OpenAI's chat completions do, and that can die and come back on the same port.
import http from 'node:http'

export async function startUpstream({ latencyMs }) {
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => setTimeout(answer, latencyMs * (0.8 + 0.4 * Math.random()), response))
  })
  const listen = (port) =>
    new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
  await listen(0)
  const { port } = server.address()
  return {
    url: `http://127.0.0.1:${port}/v1`,
    get isUp() {
      return server.listening
    },
    /** Cuts what is under way, and refuses what comes. */
    die() {
      return new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
    },
    comeBack: () => listen(port),
  }
}

function answer(response) {
  const message = { role: 'assistant', content: 'Here.' }
  const completion = {
    id: 'chatcmpl-demo',
    object: 'chat.completion',
    created: Math.floor(Date.now() / 1000),
    model: 'demo',
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 },
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(completion))
}
