// The smallest useful gateway: one provider, one rule, one call. Run it with `node examples/quick-start.mjs`.
import { Gateway, loadConfigFromObjects } from 'ai-gateway-native'

// The built-in mock answers without a network and without a key. For a real service write, say:
//   { name: 'openai', provider: 'openai', models: ['gpt-4o-mini'], auth: { type: 'apiKey', envVar: 'OPENAI_API_KEY' } }
const config = loadConfigFromObjects({
  providers: [{ name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' } }],
  routes: {
    rules: [
      // Of the rules that match, the one of the highest priority is taken; an empty `match` takes every call.
      { name: 'summaries', priority: 10, match: { taskType: 'summary' }, target: { provider: 'mock', model: 'mock' } },
      { name: 'everything', priority: 0, match: {}, target: { provider: 'mock' } },
    ],
  },
  budgets: [],
})

const gateway = new Gateway({
  config,
  // Called once for each call, whether it succeeds or fails. Without it, each entry is printed as JSON.
  onUsageLog: (log) => console.log(`log: rule "${log.routeRule}", ${log.totalTokens} tokens, ${log.latencyMs} ms`),
})
console.log('providers:', gateway.listProviders())

const answer = await gateway.chat({
  messages: [
    { role: 'system', content: 'Answer in one sentence.' },
    { role: 'user', content: 'What does a gateway do?' },
  ],
  taskType: 'summary',
  maxTokens: 200,
})

console.log(`${answer.provider}/${answer.model}: ${answer.content}`)
console.log(`${answer.inputTokens} tokens in, ${answer.outputTokens} out, $${answer.estimatedCostUsd}`)
