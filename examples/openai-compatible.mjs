// A service that speaks OpenAI's API, as most do. Run it with `node examples/openai-compatible.mjs`; the service is a
// small server of this file's own, so that nothing leaves your machine.
import { once } from 'node:events'
import http from 'node:http'
import { Gateway, OpenAIProvider, loadConfigFromObjects } from 'ai-gateway-native'

const service = http.createServer(async (req, res) => {
  let body = ''
  for await (const chunk of req) body += chunk
  const { model, messages } = JSON.parse(body)
  console.log(`service: ${req.method} ${req.url}, ${req.headers.authorization}, ${model}`)
  res.setHeader('content-type', 'application/json')
  const message = { role: 'assistant', content: `You said: ${messages.at(-1).content}` }
  const usage = { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 }
  res.end(JSON.stringify({ model, choices: [{ message, finish_reason: 'stop' }], usage }))
})
service.listen(0, '127.0.0.1')
await once(service, 'listening')
const baseUrl = `http://127.0.0.1:${service.address().port}/v1`

// Keys come from the environment alone; this one is for the server above.
process.env.DEEPSEEK_API_KEY = 'sk-example'

const gateway = new Gateway({
  config: loadConfigFromObjects({
    providers: [
      // Where the entry names the address itself, the family `openai` is all it takes.
      { name: 'direct', provider: 'openai', baseUrl, models: ['some-model'], auth: { type: 'none' } },
      // A family of your own keeps addresses out of the configuration; the factory below knows it.
      {
        name: 'deepseek',
        provider: 'deepseek',
        models: ['deepseek-chat'],
        auth: { type: 'apiKey', envVar: 'DEEPSEEK_API_KEY' },
      },
    ],
    routes: {
      rules: [
        { name: 'direct', priority: 1, match: { taskType: 'direct' }, target: { provider: 'direct' } },
        { name: 'rest', priority: 0, match: {}, target: { provider: 'deepseek' } },
      ],
    },
    budgets: [],
  }),
  // In earnest: baseUrl: 'https://api.deepseek.com/v1'. The provider stays a native one.
  customProviders: { deepseek: (config) => new OpenAIProvider({ ...config, baseUrl }) },
  onUsageLog: (log) => console.log(`log: ${log.provider}/${log.model}, ${log.totalTokens} tokens`),
})

const messages = [{ role: 'user', content: 'Hello' }]
console.log((await gateway.chat({ messages, taskType: 'direct' })).content)
console.log((await gateway.chat({ messages })).content)

service.close()
service.closeIdleConnections?.()
