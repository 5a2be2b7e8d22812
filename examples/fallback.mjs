// Fallback chains: what happens when a provider fails. Run it with `node examples/fallback.mjs`.
import { Gateway, loadConfigFromObjects } from 'ai-gateway-native'

const mock = (name, more) => ({ name, provider: 'mock', models: ['mock'], auth: { type: 'none' }, ...more })
const chained = (taskType) => ({
  name: taskType,
  priority: 1,
  match: { taskType },
  target: { provider: 'primary', fallbackChain: taskType },
})

const config = loadConfigFromObjects({
  providers: [mock('primary', { retry: { maxAttempts: 2, backoffMs: 50 } }), mock('second'), mock('third')],
  routes: {
    rules: [chained('broken'), chained('slow'), chained('limited')],
    fallbackChains: [
      // The mock fails as its model's name says. A step without `when` is taken after any failure.
      { name: 'broken', steps: [{ provider: 'primary', model: 'mock-500' }, { provider: 'second' }] },
      // `timeoutMs` of a step goes before the provider's own: a slow answer is given up after 200 ms.
      { name: 'slow', steps: [{ provider: 'primary', model: 'mock-timeout', timeoutMs: 200 }, { provider: 'second' }] },
      // The second step is for timeouts only, so that a rate limit ends the chain there.
      {
        name: 'limited',
        steps: [
          { provider: 'primary', model: 'mock-429' },
          { provider: 'second', when: ['timeout'] },
          { provider: 'third', when: ['rate_limit', 'provider_error'] },
        ],
      },
    ],
  },
  budgets: [],
})
const gateway = new Gateway({ config, onUsageLog: () => {} })

for (const taskType of ['broken', 'slow', 'limited']) {
  const messages = [{ role: 'user', content: 'Hello?' }]
  try {
    const answer = await gateway.chat({ messages, taskType })
    console.log(`${taskType}: ${answer.provider} answered after ${answer.latencyMs} ms`)
    console.log(`  fallbackTriggered ${answer.fallbackTriggered}, fallbackFrom ${answer.fallbackFrom}`)
  } catch (error) {
    // When no step is left, or the next one is not meant for this failure, the last error is thrown.
    console.log(`${taskType}: ${error.code}, ${error.message}`)
  }
}

// Streams fall back too, as long as nothing has been said: a reader never sees half of one answer and half of another.
const { stream, getUsageSummary } = await gateway.chatStream({
  messages: [{ role: 'user', content: 'And a stream?' }],
  taskType: 'broken',
})
let text = ''
for await (const { delta } of stream) text += delta
console.log(`stream: ${(await getUsageSummary()).provider} said "${text}"`)
