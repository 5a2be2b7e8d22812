// A program as users of ai-gateway-lite wrote it: it must compile unchanged. Nothing here is run.
import {
  BudgetGuard,
  BudgetTracker,
  Gateway,
  GatewayError,
  OpenAIProvider,
  ProviderRegistry,
  Router,
  UsageLogger,
  estimateCostUsd,
  getModelPricing,
  loadConfig,
  loadConfigFromObjects,
  registerModelPricing,
  validateConfig,
} from 'ai-gateway-native'
import type {
  BudgetPolicy,
  ChatMessage,
  FallbackChain,
  GatewayConfig,
  GatewayOptions,
  GatewayRequest,
  GatewayResponse,
  GatewayStreamChunk,
  GatewayStreamResponse,
  Provider,
  ProviderConfig,
  ProviderFactory,
  ProviderRequestOptions,
  ProviderResult,
  RouteRule,
  StreamChunk,
  StreamResult,
  UsageLog,
} from 'ai-gateway-native'

const provider: ProviderConfig = {
  name: 'openai-main',
  provider: 'openai',
  baseUrl: 'https://api.openai.com/v1',
  enabled: true,
  defaultModel: 'gpt-4o-mini',
  models: ['gpt-4o-mini'],
  timeoutMs: 30_000,
  retry: { maxAttempts: 2, backoffMs: 500 },
  auth: { type: 'bearer', envVar: 'OPENAI_API_KEY' },
  headers: { 'x-team': 'search' },
}
const rule: RouteRule = {
  name: 'chat',
  priority: 10,
  match: { taskType: 'chat', userTier: 'pro', sensitivity: 'low', feature: 'search' },
  target: { provider: 'openai-main', model: 'gpt-4o-mini', fallbackChain: 'default' },
  constraints: { maxCostUsd: 0.1, maxInputTokens: 8000, maxLatencyMs: 5000 },
}
const chain: FallbackChain = {
  name: 'default',
  steps: [
    { provider: 'openai-main' },
    { provider: 'echo', model: 'echo-1', when: ['timeout', 'rate_limit'], timeoutMs: 1000 },
  ],
}
const budget: BudgetPolicy = {
  name: 'daily',
  scope: { type: 'feature', key: 'search' },
  window: 'day',
  limits: { maxInputTokens: 1, maxOutputTokens: 1, maxTotalTokens: 1, maxCostUsd: 1, warnAt: 0.8 },
  enforcement: 'hard',
}

/** A provider of the user's own: `content` is read as a string. */
class EchoProvider implements Provider {
  readonly name: string
  readonly family = 'echo'

  constructor(config: ProviderConfig) {
    this.name = config.name
  }

  async chat(options: ProviderRequestOptions): Promise<ProviderResult> {
    const last: ChatMessage | undefined = options.messages[options.messages.length - 1]
    const content: string = last?.content.toUpperCase() ?? ''
    return { content, model: options.model, inputTokens: 1, outputTokens: 1, totalTokens: 2 }
  }

  async chatStream(options: ProviderRequestOptions): Promise<StreamResult> {
    const result = await this.chat(options)
    async function* stream(): AsyncGenerator<StreamChunk> {
      yield { delta: result.content }
      yield { delta: '', model: result.model, finishReason: null }
    }
    return { stream: stream(), getUsage: async () => result }
  }
}

/** A compatible service, by subclass and by factory. */
class DeepSeekProvider extends OpenAIProvider {
  override readonly family = 'deepseek'
  override async chat(options: ProviderRequestOptions): Promise<ProviderResult> {
    return super.chat({ ...options, temperature: 0 })
  }
}
const qwen: ProviderFactory = (config) => new OpenAIProvider({ ...config, baseUrl: 'https://qwen.example/v1' })

/** A subclass, and helpers that take and give the old types. */
class LoggedGateway extends Gateway {
  override async chat(request: GatewayRequest): Promise<GatewayResponse> {
    return super.chat({ ...request, feature: firstWord(request) })
  }
}
function firstWord(request: GatewayRequest): string {
  return request.messages[0]?.content.split(' ')[0] ?? ''
}
const fake: Pick<Gateway, 'chat' | 'listProviders'> = {
  chat: async (request: GatewayRequest): Promise<GatewayResponse> => ({
    requestId: '1',
    provider: 'fake',
    model: request.model ?? 'fake',
    content: firstWord(request),
    inputTokens: 0,
    outputTokens: 0,
    totalTokens: 0,
    estimatedCostUsd: 0,
    latencyMs: 0,
    fallbackTriggered: false,
  }),
  listProviders: () => ['fake'],
}

export async function main(): Promise<void> {
  const config: GatewayConfig = await loadConfig('./config', { providers: 'providers.json' })
  validateConfig(config)
  const same: GatewayConfig = loadConfigFromObjects({
    providers: [provider],
    routes: { rules: [rule], fallbackChains: [chain] },
    budgets: [budget],
  })
  const options: GatewayOptions = {
    config: same,
    onUsageLog: async (log: UsageLog) => console.log(log.requestId, log.errorCode?.toLowerCase()),
    customProviders: {
      echo: (entry) => new EchoProvider(entry),
      deepseek: (entry) => new DeepSeekProvider(entry),
      qwen,
    },
  }
  const gateway: Gateway = new LoggedGateway(options)
  const request: GatewayRequest = {
    messages: [{ role: 'user', content: 'Hello' }],
    model: 'gpt-4o',
    taskType: 'chat',
    feature: 'search',
    userTier: 'pro',
    stream: false,
    maxTokens: 100,
    temperature: 0.2,
  }

  try {
    const response: GatewayResponse = await gateway.chat(request)
    console.log(response.content.length, response.estimatedCostUsd.toFixed(4), response.fallbackFrom ?? 'none')
    const answer: GatewayStreamResponse = await gateway.chatStream({ messages: [{ role: 'user', content: 'Hello' }] })
    for await (const chunk of answer.stream) {
      const { delta, finishReason }: GatewayStreamChunk = chunk
      console.log(delta, finishReason)
    }
    console.log((await answer.getUsageSummary()).totalTokens, gateway.listProviders().join(), fake.listProviders())
  } catch (error) {
    if (error instanceof GatewayError && error.kind === 'provider_timeout' && error.retryable) {
      console.log(
        error.code,
        error.httpStatus,
        error.provider,
        error.requestId,
        error.details?.['policy'],
        error.toJSON(),
      )
    }
    throw GatewayError.routeNotFound()
  }

  const registry = new ProviderRegistry()
  registry.registerFactory('echo', (entry) => new EchoProvider(entry))
  registry.load([provider])
  console.log(registry.get('echo')?.family, registry.require('echo').name, registry.list())

  const router = new Router([rule], [chain], registry)
  const decision = router.resolve(request)
  const result = await router.execute(request, decision)
  console.log(result.actualProvider, result.providerResult.content, decision.rule.name, decision.provider.chatStream)
  for await (const { delta } of (await router.executeStream(request, decision)).streamResult.stream) console.log(delta)

  const usage = { inputTokens: 1, outputTokens: 1, costUsd: 0.01 }
  const guard = new BudgetGuard([budget])
  guard.enforce(request, usage, 'id')
  guard.record(request, usage)
  console.log(guard.check(request, usage).warnings.join())
  const tracker = new BudgetTracker()
  tracker.record(budget, 'search', usage)
  console.log(tracker.check(budget, 'search', usage).reason)

  const logger = new UsageLogger((log) => console.log(log.success))
  logger.addHandler(async () => {})
  await logger.log({
    timestamp: new Date().toISOString(),
    requestId: '1',
    provider: 'echo',
    model: 'echo-1',
    success: true,
    inputTokens: 1,
    outputTokens: 1,
    totalTokens: 2,
    latencyMs: 3,
    fallbackTriggered: false,
  })

  registerModelPricing('echo-1', { inputPer1kTokens: 0.001, outputPer1kTokens: 0.002 })
  console.log(estimateCostUsd('echo-1', 1, 1), getModelPricing('echo-1')?.inputPer1kTokens)
}
