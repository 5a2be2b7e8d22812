// The types, in strict mode. Run it with `npx tsx examples/typescript.mts`, or with Node.js 22.18 or newer as
// `node examples/typescript.mts`; older ones do not run TypeScript by themselves. (`.mts`, since `import` and `await`
// at the top need an ES module, and this repository's package.json does not say `"type": "module"`.)
import {
  Gateway,
  GatewayError,
  type ChatMessage,
  type GatewayConfig,
  type GatewayErrorKind,
  type GatewayRequest,
  type Provider,
  type ProviderRequestOptions,
  type ProviderResult,
  type UsageLog,
} from 'ai-gateway-native'

class ReverseProvider implements Provider {
  readonly family = 'reverse'
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  async chat({ model, messages }: ProviderRequestOptions): Promise<ProviderResult> {
    const asked = messages.at(-1)?.content ?? ''
    const content = [...asked].reverse().join('')
    return { content, model, inputTokens: asked.length, outputTokens: content.length, totalTokens: asked.length * 2 }
  }
}

// Typed as the whole configuration, a misspelt field or trigger is an error in the editor.
const config: GatewayConfig = {
  providers: [
    { name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' } },
    { name: 'mirror', provider: 'reverse', models: ['reverse-1'], auth: { type: 'none' } },
  ],
  routes: [
    { name: 'safe', priority: 1, match: { feature: 'safe' }, target: { provider: 'mock', fallbackChain: 'safe' } },
    { name: 'rest', priority: 0, match: {}, target: { provider: 'mock' } },
  ],
  fallbackChains: [
    {
      name: 'safe',
      steps: [
        { provider: 'mock', model: 'mock-500' },
        { provider: 'mirror', when: ['provider_error'] },
      ],
    },
  ],
  budgets: [],
}

const logs: UsageLog[] = []
const gateway = new Gateway({
  config,
  customProviders: { reverse: ({ name }) => new ReverseProvider(name) },
  onUsageLog: (log) => void logs.push(log),
})

const messages: ChatMessage[] = [{ role: 'user', content: 'stressed' }]
const request: GatewayRequest = { messages, feature: 'safe' }
const { content, provider, fallbackFrom } = await gateway.chat(request)
console.log(`${provider} answered in place of ${fallbackFrom}: ${content}`)

const { stream } = await gateway.chatStream({ messages })
let text = ''
for await (const { delta } of stream) text += delta
console.log(text)

const advice: Partial<Record<GatewayErrorKind, string>> = {
  provider_rate_limit: 'wait and try again',
  provider_auth: 'check the key',
}
try {
  await gateway.chat({ messages, model: 'mock-429' })
} catch (error) {
  if (!(error instanceof GatewayError)) throw error
  console.log(`${error.code}: ${advice[error.kind] ?? 'give up'}`)
}
console.log(logs.map(({ provider, success, totalTokens }) => ({ provider, success, totalTokens })))
