// Answers as data: JSON of any form, and JSON that follows a schema. Run it with `node examples/structured.mjs`.
import { Gateway, GatewayError, loadConfigFromObjects } from 'ai-gateway-native'

const gateway = new Gateway({
  config: loadConfigFromObjects({
    providers: [
      { name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' } },
      { name: 'chatty', provider: 'chatty', models: ['chatty-1'], auth: { type: 'none' } },
    ],
    routes: {
      rules: [
        {
          name: 'chatty',
          priority: 1,
          match: { taskType: 'chatty' },
          target: { provider: 'chatty', fallbackChain: 'checked' },
        },
        { name: 'all', priority: 0, match: {}, target: { provider: 'mock' } },
      ],
      fallbackChains: [{ name: 'checked', steps: [{ provider: 'chatty' }, { provider: 'mock', model: 'mock' }] }],
    },
    budgets: [],
  }),
  // A provider of your own that is asked for JSON and may fail to give it.
  customProviders: {
    chatty: ({ name }) => ({
      name,
      family: 'chatty',
      async chat({ responseFormat }) {
        const content = 'Sure! Here is your JSON: {'
        if (responseFormat) throw GatewayError.providerResponse(name, 200, `no JSON: ${content}`)
        return { content, model: 'chatty-1', inputTokens: 1, outputTokens: 1, totalTokens: 2 }
      },
    }),
  },
  onUsageLog: () => {},
})

const messages = [{ role: 'user', content: 'Ada, 36, knows mathematics.' }]
const jsonSchema = {
  type: 'object',
  properties: {
    name: { type: 'string', examples: ['Ada'] },
    age: { type: 'integer', minimum: 0 },
    skills: { type: 'array', items: { type: 'string', enum: ['mathematics', 'music'] } },
  },
  required: ['name', 'age', 'skills'],
  additionalProperties: false,
}

console.log('JSON of any form:')
console.log(JSON.parse((await gateway.chat({ messages, responseFormat: 'json' })).content))

console.log('JSON that follows a schema:')
const request = { messages, responseFormat: { jsonSchema, name: 'person', strict: true } }
console.log(JSON.parse((await gateway.chat(request)).content))

console.log('In a stream, the JSON is whole when the stream is:')
const { stream } = await gateway.chatStream(request)
let text = ''
for await (const { delta } of stream) text += delta
console.log(JSON.parse(text))

console.log('A provider that gives no JSON has failed, and the chain goes on:')
const answer = await gateway.chat({ ...request, taskType: 'chatty' })
console.log(JSON.parse(answer.content), `from ${answer.provider} in place of ${answer.fallbackFrom}`)
