import { Gateway } from '../../../index.mjs'

/** Asks the mock provider of a new gateway; resolves to its answer's text. */
export async function answerOnce() {
  const providers = [{ name: 'mock', provider: 'mock', models: ['gpt-4o-mini'], auth: { type: 'none' } }]
  const routes = [{ name: 'all', priority: 1, match: {}, target: { provider: 'mock' } }]
  const config = { providers, routes, fallbackChains: [], budgets: [] }
  const gateway = new Gateway({ config, onUsageLog: () => {} })
  const { content } = await gateway.chat({ messages: [{ role: 'user', content: 'Hello' }] })
  return content
}
