// Embeddings: texts as vectors, and the nearest of them. Run it with `node examples/embeddings.mjs`.
import { Gateway, loadConfigFromObjects } from 'ai-gateway-native'

// The mock's vectors are made of the words of a text. For a real service write, say:
//   { name: 'main', provider: 'openai', models: ['text-embedding-3-small'], auth: { type: 'apiKey', envVar: 'OPENAI_API_KEY' } }
const gateway = new Gateway({
  config: loadConfigFromObjects({
    providers: [{ name: 'mock', provider: 'mock', models: ['mock-embedding'], auth: { type: 'none' } }],
    routes: { rules: [{ name: 'search', priority: 0, match: { taskType: 'search' }, target: { provider: 'mock' } }] },
    budgets: [],
  }),
  onUsageLog: (log) => console.log(`log: rule "${log.routeRule}", ${log.inputTokens} tokens`),
})

const texts = [
  'A budget refuses calls that would cost too much.',
  'A chain of providers goes on where one of them fails.',
  'The usage log has one entry for each call.',
]
// As many texts as you like: what does not fit into one request of the provider goes out in several.
const { vectors, model, inputTokens } = await gateway.embed({ input: texts, dimensions: 256, taskType: 'search' })
console.log(`${vectors.length} vectors of ${vectors[0].length} numbers from ${model}, ${inputTokens} tokens`)

const cosine = (a, b) => {
  const dot = (x, y) => x.reduce((sum, value, place) => sum + value * y[place], 0)
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}

for (const question of ['Which entry of the log is for my call?', 'What if a provider fails?']) {
  const [asked] = (await gateway.embed({ input: question, dimensions: 256, taskType: 'search' })).vectors
  const ranked = texts
    .map((text, place) => ({ text, score: cosine(asked, vectors[place]) }))
    .sort((a, b) => b.score - a.score)
  console.log(`${question}\n  ${ranked[0].score.toFixed(2)} ${ranked[0].text}`)
}
