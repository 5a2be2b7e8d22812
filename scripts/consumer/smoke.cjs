// Run in a project that has installed the packed tarballs: requires the package and makes one call and one stream
// against a provider that this file plays itself.
const assert = require('node:assert/strict')
const http = require('node:http')
const { once } = require('node:events')

const usage = { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 }

async function startProvider() {
  const server = http.createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { model, stream } = JSON.parse(body)
    if (!stream) {
      const choices = [{ index: 0, message: { role: 'assistant', content: 'pong' }, finish_reason: 'stop' }]
      response.setHeader('content-type', 'application/json')
      return response.end(JSON.stringify({ id: '1', model, choices, usage }))
    }
    response.setHeader('content-type', 'text/event-stream')
    for (const event of [
      { model, choices: [{ index: 0, delta: { content: 'po' } }] },
      { model, choices: [{ index: 0, delta: { content: 'ng' }, finish_reason: 'stop' }] },
      { model, choices: [], usage },
    ]) {
      response.write(`data: ${JSON.stringify(event)}\n\n`)
    }
    response.end('data: [DONE]\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function exercise({ Gateway, GatewayError, loadConfigFromObjects }) {
  const server = await startProvider()
  try {
    const gateway = new Gateway({
      config: loadConfigFromObjects({
        providers: [
          {
            name: 'local',
            provider: 'openai',
            baseUrl: `http://127.0.0.1:${server.address().port}/v1`,
            models: ['test-model'],
            auth: { type: 'none' },
          },
        ],
        routes: { rules: [{ name: 'all', priority: 1, match: {}, target: { provider: 'local' } }] },
        budgets: [],
      }),
      onUsageLog: () => {},
    })
    const request = { messages: [{ role: 'user', content: 'ping' }] }

    const answer = await gateway.chat(request)
    assert.equal(answer.content, 'pong')
    assert.equal(answer.totalTokens, 4)

    const { stream } = await gateway.chatStream(request)
    let text = ''
    for await (const { delta } of stream) text += delta
    assert.equal(text, 'pong')

    const nowhere = new Gateway({ config: { providers: [], routes: [], fallbackChains: [], budgets: [] } })
    await assert.rejects(nowhere.chat(request), (error) => error instanceof GatewayError)
  } finally {
    server.closeAllConnections?.()
    server.close()
  }
}

module.exports = { exercise }

if (require.main === module) {
  exercise(require('ai-gateway-native')).then(() => console.log(`required and called under Node ${process.version}`))
}
