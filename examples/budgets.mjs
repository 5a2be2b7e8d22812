// Budgets: soft ones warn, hard ones refuse, strict ones are never passed. Run it with `node examples/budgets.mjs`.
import { Gateway, GatewayError, loadConfigFromObjects, registerModelPricing } from 'ai-gateway-native'

// A price for a model that the built-in table does not know; here it makes the mock cost something.
registerModelPricing('mock', { inputPer1kTokens: 0.01, outputPer1kTokens: 0.02 })

const config = loadConfigFromObjects({
  providers: [{ name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' } }],
  routes: { rules: [{ name: 'all', priority: 0, match: {}, target: { provider: 'mock' } }] },
  budgets: [
    // Warns on the console from 50% on, and refuses nothing. Without its `key`, each feature had a count of its own.
    {
      name: 'watch-cost',
      scope: { type: 'feature', key: 'search' },
      window: 'day',
      limits: { maxCostUsd: 0.001, warnAt: 0.5 },
      enforcement: 'soft',
    },
    // Refuses once the limit is used up, other calls in flight included. The call that reaches it may pass it.
    {
      name: 'free-tier',
      scope: { type: 'user', key: 'free' },
      window: 'hour',
      limits: { maxTotalTokens: 60 },
      enforcement: 'hard',
    },
    // Refuses what might pass the limit: the prompt and the longest answer allowed must fit before anything is sent.
    {
      name: 'trial-tier',
      scope: { type: 'user', key: 'trial' },
      window: 'hour',
      limits: { maxTotalTokens: 120 },
      enforcement: 'strict',
    },
    // Looks at each call alone.
    {
      name: 'short-prompts',
      scope: { type: 'global' },
      window: 'request',
      limits: { maxInputTokens: 200 },
      enforcement: 'hard',
    },
  ],
})
const gateway = new Gateway({ config, onUsageLog: () => {} })

async function ask(what, request) {
  try {
    const answer = await gateway.chat({ messages: [{ role: 'user', content: 'Tell me more.' }], ...request })
    console.log(`${what}: ${answer.totalTokens} tokens, $${answer.estimatedCostUsd.toFixed(6)}`)
  } catch (error) {
    if (!(error instanceof GatewayError) || error.kind !== 'budget_exceeded') throw error
    console.log(`${what}: refused by "${error.details.policy}", status ${error.httpStatus}`)
  }
}

for (const turn of [1, 2, 3, 4]) await ask(`soft, call ${turn}`, { feature: 'search' })
for (const turn of [1, 2, 3, 4]) await ask(`hard, call ${turn}`, { userTier: 'free' })

// 100 tokens of answer and the prompt fit once; of two calls at the same moment only one is let in.
await Promise.all(['a', 'b'].map((name) => ask(`strict, at once ${name}`, { userTier: 'trial', maxTokens: 100 })))
await ask('strict, small enough', { userTier: 'trial', maxTokens: 20 })

await ask('request window', { messages: [{ role: 'user', content: 'word '.repeat(300) }] })
