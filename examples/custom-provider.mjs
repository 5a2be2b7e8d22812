// A provider of your own, written in JavaScript: for a service with another API, a local model, or a test double.
// Run it with `node examples/custom-provider.mjs`.
import { setTimeout as sleep } from 'node:timers/promises'
import { Gateway, loadConfigFromObjects } from 'ai-gateway-native'

class EchoProvider {
  family = 'echo'
  #calls = 0

  // A factory is given its entry of the configuration, fields of your own included.
  constructor(config) {
    this.name = config.name
    this.prefix = config.prefix ?? ''
  }

  // `options`: model, messages, maxTokens, temperature. It is called as a method, so that `this` is this object.
  async chat({ model, messages }) {
    const content = this.#answer(messages)
    return { content, model, ...this.#count(messages, content) }
  }

  // Without this method the gateway cannot stream from the provider, and a chain goes on to its next step.
  async chatStream({ model, messages }) {
    const content = this.#answer(messages)
    return {
      stream: this.#words(content, model),
      // Asked once the stream has ended.
      getUsage: async () => ({ content, model, ...this.#count(messages, content) }),
    }
  }

  async *#words(content, model) {
    try {
      for (const word of content.split(/(?<= )/)) {
        await sleep(20)
        yield { delta: word, model }
      }
      yield { delta: '', model, finishReason: 'stop' }
    } finally {
      // Reached in every case: at the end, when the reader leaves early, and when the call is cancelled.
      console.log('  (the provider has cleaned up)')
    }
  }

  #answer(messages) {
    return `${this.prefix}${messages.at(-1).content} (call ${++this.#calls})`
  }

  #count(messages, content) {
    const words = (text) => text.split(/\s+/).filter(Boolean).length
    const inputTokens = messages.reduce((sum, message) => sum + words(message.content), 0)
    const outputTokens = words(content)
    return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens }
  }
}

const gateway = new Gateway({
  config: loadConfigFromObjects({
    providers: [{ name: 'parrot', provider: 'echo', models: ['echo-1'], auth: { type: 'none' }, prefix: 'You said: ' }],
    routes: { rules: [{ name: 'all', priority: 0, match: {}, target: { provider: 'parrot' } }] },
    budgets: [],
  }),
  customProviders: { echo: (config) => new EchoProvider(config) },
  onUsageLog: (log) => console.log(`  log: ${log.provider}/${log.model}, ${log.totalTokens} tokens`),
})

const messages = [{ role: 'user', content: 'hello from the other side' }]
console.log((await gateway.chat({ messages })).content)

async function read(words) {
  const { stream } = await gateway.chatStream({ messages })
  let text = ''
  for await (const { delta } of stream) {
    text += delta
    if (--words === 0) break
  }
  console.log(text)
}
await read(Infinity)
await read(3)
