import {
  APICallError,
  createProviderRegistry,
  customProvider,
  extractReasoningMiddleware,
  generateObject,
  generateText,
  jsonSchema,
  NoSuchModelError,
  Output,
  stepCountIs,
  tool,
  wrapLanguageModel,
} from 'ai'
import { expect, test } from 'vitest'
import { createGatewayProvider } from '../../lib/ai-sdk/index.mjs'
import { GatewayError } from '../../index.mjs'
import {
  budget,
  chain,
  consoleLines,
  custom,
  failureOf,
  gatewayOf,
  provider,
  result,
  rule,
} from '../helpers/config.mjs'
import { never, openai, status, upstream } from '../helpers/upstream.mjs'
import { blocks, completion, openaiCall, over, overMock } from './helpers.mjs'

globalThis.AI_SDK_LOG_WARNINGS = false

const weather = tool({
  description: 'The weather of a place',
  inputSchema: jsonSchema({
    type: 'object',
    properties: { place: { type: 'string' } },
    required: ['place'],
    additionalProperties: false,
  }),
  execute: async ({ place }) => ({ place, sky: 'clear' }),
})

test('a text through the mock', async () => {
  const { ai, logs } = overMock()
  const { text, finishReason, usage, response, providerMetadata, warnings } = await generateText({
    model: ai('mock'),
    prompt: 'Hello',
  })
  expect(text).toBe('This is the mock provider; no model was asked. You said: Hello')
  expect(finishReason).toBe('stop')
  expect(usage).toMatchObject({
    inputTokens: logs[0].inputTokens,
    outputTokens: logs[0].outputTokens,
    totalTokens: logs[0].totalTokens,
  })
  expect(response).toMatchObject({ id: logs[0].requestId, modelId: 'mock' })
  expect(response.timestamp).toBeInstanceOf(Date)
  expect(providerMetadata).toEqual({
    gateway: {
      provider: 'mock',
      model: 'mock',
      requestId: logs[0].requestId,
      estimatedCostUsd: 0,
      latencyMs: logs[0].latencyMs,
      fallbackTriggered: false,
    },
  })
  expect(warnings).toEqual([])
})

test('each setting reaches the wire', async () => {
  const { ai, up } = await over([openai.answer()])
  const { warnings } = await generateText({
    model: ai('gpt-4o'),
    system: 'Be brief.',
    prompt: 'Hi',
    maxOutputTokens: 50,
    temperature: 0.5,
    topP: 0.9,
    topK: 40,
    stopSequences: ['END'],
    seed: 7,
    presencePenalty: 0.1,
    frequencyPenalty: 0.2,
    headers: { 'x-team': 'a' },
    providerOptions: { openai: { logprobs: true }, gateway: { reasoningEffort: 'low', userId: 'u1', colour: 'red' } },
  })
  expect(up.last().body).toEqual({
    model: 'gpt-4o',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ],
    max_tokens: 50,
    temperature: 0.5,
    top_p: 0.9,
    stop: ['END'],
    seed: 7,
    presence_penalty: 0.1,
    frequency_penalty: 0.2,
    logprobs: true,
    reasoning_effort: 'low',
  })
  expect(warnings.map((warning) => [warning.type, warning.feature])).toEqual([
    ['unsupported', 'headers'],
    ['unsupported', 'providerOptions.gateway.colour'],
    ['unsupported', 'topK'],
  ])
})

test('a loop of two steps with a tool', async () => {
  const call = openaiCall('call_1', 'weather', '{"place":"Rome"}')
  const { ai, up } = await over([
    completion({ role: 'assistant', content: null, tool_calls: [call] }, 'tool_calls'),
    openai.answer('No umbrella.'),
  ])
  const { text, steps, totalUsage } = await generateText({
    model: ai('gpt-4o-mini'),
    prompt: 'Umbrella in Rome?',
    tools: { weather },
    stopWhen: stepCountIs(3),
  })
  expect(text).toBe('No umbrella.')
  expect(steps.map((step) => step.finishReason)).toEqual(['tool-calls', 'stop'])
  expect(steps[0].toolCalls[0]).toMatchObject({ toolCallId: 'call_1', toolName: 'weather', input: { place: 'Rome' } })
  expect(totalUsage).toMatchObject({ inputTokens: 24, outputTokens: 10 })
  expect(up.requests[0].body.tools).toEqual([
    {
      type: 'function',
      function: { name: 'weather', description: 'The weather of a place', parameters: weather.inputSchema.jsonSchema },
    },
  ])
  expect(up.requests[1].body.messages.slice(1)).toEqual([
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'call_1', content: '{"place":"Rome","sky":"clear"}' },
  ])
})

test('arguments that are no JSON object reach the SDK as the model wrote them, and its complaint the model', async () => {
  const call = openaiCall('call_1', 'weather', '{"place":')
  const { ai, up } = await over([
    completion({ role: 'assistant', content: null, tool_calls: [call] }, 'tool_calls'),
    openai.answer('Sorry.'),
  ])
  const { text, steps } = await generateText({
    model: ai('gpt-4o-mini'),
    prompt: 'Rome?',
    tools: { weather },
    stopWhen: stepCountIs(2),
  })
  expect(text).toBe('Sorry.')
  expect(steps[0].toolCalls[0]).toMatchObject({ invalid: true, input: '{"place":' })
  const [, turn, complaint] = up.requests[1].body.messages
  // The SDK itself gives an empty object back.
  expect(turn.tool_calls).toEqual([openaiCall('call_1', 'weather', '{}')])
  expect(complaint).toMatchObject({ role: 'tool', tool_call_id: 'call_1' })
  expect(complaint.content).toContain('Invalid input for tool weather')
})

test('reasoning and its signatures survive a loop of tools', async () => {
  const thought = { type: 'thinking', thinking: 'I must look.', signature: 'c2lnbmVk==' }
  const hidden = { type: 'redacted_thinking', data: 'aGlkZGVu' }
  const use = { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { place: 'Rome' } }
  const { ai, up } = await over(
    [
      blocks([thought, hidden, { type: 'text', text: 'Wait.' }, use], 'tool_use'),
      blocks([{ type: 'text', text: 'Clear.' }]),
    ],
    {
      family: 'anthropic',
    },
  )
  const { steps, text } = await generateText({
    model: ai('claude-sonnet-4-5'),
    prompt: 'Rome?',
    tools: { weather },
    stopWhen: stepCountIs(2),
    providerOptions: { gateway: { reasoningEffort: 'low' } },
  })
  expect(text).toBe('Clear.')
  expect(steps[0].reasoningText).toBe('I must look.')
  expect(steps[0].reasoning[0].providerMetadata).toEqual({ gateway: { reasoningDetails: [thought, hidden] } })
  expect(up.requests[0].body.thinking).toEqual({ type: 'enabled', budget_tokens: 1024 })
  expect(up.requests[1].body.messages[1]).toEqual({
    role: 'assistant',
    content: [thought, hidden, { type: 'text', text: 'Wait.' }, use],
  })
})

test('usage tells what the cache gave and what reasoning took', async () => {
  const usage = { input_tokens: 12, output_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 30 }
  const anthropic = await over([blocks([{ type: 'text', text: 'Hi' }], 'end_turn', usage)], { family: 'anthropic' })
  const cached = await generateText({ model: anthropic.ai('claude-sonnet-4-5'), prompt: 'Hi' })
  expect(cached.usage).toMatchObject({
    inputTokens: 142,
    inputTokenDetails: { noCacheTokens: 12, cacheReadTokens: 100, cacheWriteTokens: 30 },
    outputTokens: 5,
    totalTokens: 147,
  })
  const counts = { ...openai.usage(10, 20), completion_tokens_details: { reasoning_tokens: 15 } }
  const thinking = await over([completion({ role: 'assistant', content: 'Hi' }, 'stop', counts)])
  const thought = await generateText({ model: thinking.ai('o4-mini'), prompt: 'Hi' })
  expect(thought.usage).toMatchObject({ outputTokens: 20, outputTokenDetails: { textTokens: 5, reasoningTokens: 15 } })
})

test.each([
  ['length', 'length'],
  ['content_filter', 'content-filter'],
  ['something_new', 'other'],
])('an answer that ends with %s', async (word, finishReason) => {
  const { ai } = await over([completion({ role: 'assistant', content: 'Hi' }, word)])
  expect(await generateText({ model: ai('gpt-4o-mini'), prompt: 'Hi' })).toMatchObject({
    finishReason,
    rawFinishReason: word,
  })
})

const recipe = jsonSchema({
  type: 'object',
  properties: { dish: { type: 'string' } },
  required: ['dish'],
  additionalProperties: false,
})

test('an object by its schema', async () => {
  const { ai, up } = await over([completion({ role: 'assistant', content: '{"dish":"soup"}' })])
  const { object } = await generateObject({
    model: ai('gpt-4o-mini'),
    schema: recipe,
    schemaName: 'recipe',
    schemaDescription: 'A dish',
    prompt: 'Cook',
    providerOptions: { gateway: { strictJsonSchema: true } },
  })
  expect(object).toEqual({ dish: 'soup' })
  expect(up.last().body.response_format).toEqual({
    type: 'json_schema',
    json_schema: { name: 'recipe', strict: true, schema: { description: 'A dish', ...recipe.jsonSchema } },
  })
  const { output } = await generateText({
    model: ai('gpt-4o-mini'),
    output: Output.object({ schema: recipe }),
    prompt: 'Cook',
  })
  expect(output).toEqual({ dish: 'soup' })
  await generateObject({ model: ai('gpt-4o-mini'), output: 'no-schema', prompt: 'Cook, in JSON' })
  expect(up.last().body.response_format).toEqual({ type: 'json_object' })
})

test('an object from a vendor that must be asked in words', async () => {
  const { ai } = await over([blocks([{ type: 'text', text: '```json\n{"dish":"soup"}\n```' }])], {
    family: 'anthropic',
  })
  expect((await generateObject({ model: ai('claude-sonnet-4-5'), schema: recipe, prompt: 'Cook' })).object).toEqual({
    dish: 'soup',
  })
})

test('ids are task types where a rule matches them, else models', async () => {
  const rules = [
    rule('mock', {
      name: 'vision',
      priority: 3,
      match: { taskType: 'vision' },
      target: { provider: 'mock', model: 'vision-model' },
    }),
    rule('mock', { name: 'off', priority: 2, enabled: false, match: { taskType: 'off' } }),
    rule('mock', {
      name: 'paid',
      priority: 1,
      match: { feature: 'search', userTier: 'pro' },
      target: { provider: 'mock', model: 'paid-model' },
    }),
    rule('mock', { name: 'rest' }),
  ]
  const { ai, gateway, logs } = overMock({ rules })
  const routed = async (model, providerOptions) => {
    const { response } = await generateText({ model, prompt: 'Hi', providerOptions })
    return [logs.at(-1).routeRule, response.modelId]
  }
  expect(await routed(ai('vision'))).toEqual(['vision', 'vision-model'])
  expect(await routed(ai.languageModel('off'))).toEqual(['rest', 'off'])
  expect(await routed(ai.chat('gpt-5'))).toEqual(['rest', 'gpt-5'])
  expect(await routed(ai('auto'))).toEqual(['rest', 'mock'])
  expect(await routed(ai())).toEqual(['rest', 'mock'])
  expect(await routed(ai({ taskType: 'vision', model: 'other' }))).toEqual(['vision', 'other'])
  expect(await routed(ai({ feature: 'search', userTier: 'pro' }))).toEqual(['paid', 'paid-model'])
  expect(await routed(ai('auto'), { gateway: { taskType: 'vision' } })).toEqual(['vision', 'vision-model'])

  const own = createGatewayProvider(gateway, {
    taskTypes: ['search'],
    request: { feature: 'search', userTier: 'pro' },
    name: 'ours',
  })
  expect(await routed(own('search'))).toEqual(['paid', 'paid-model'])
  expect(await routed(own('vision'))).toEqual(['paid', 'vision'])
  expect(own('vision')).toMatchObject({ provider: 'ours.chat', modelId: 'vision', specificationVersion: 'v3' })
  expect(logs.at(-1)).toMatchObject({ feature: 'search', userTier: 'pro' })
})

test('a fallback is told in the metadata', async () => {
  const bad = await upstream(status(503))
  const good = await upstream(openai.answer('From B.'))
  const { gateway } = gatewayOf({
    providers: [provider('a', bad.url), provider('b', good.url)],
    chains: [chain('both', 'a', 'b')],
  })
  const { text, providerMetadata } = await generateText({
    model: createGatewayProvider(gateway)('gpt-4o-mini'),
    prompt: 'Hi',
  })
  expect(text).toBe('From B.')
  expect(providerMetadata.gateway).toMatchObject({ provider: 'b', fallbackTriggered: true, fallbackFrom: 'a' })
  expect(providerMetadata.gateway.estimatedCostUsd).toBeGreaterThan(0)
})

test.each([
  [status(500), 500, 'provider_response', true],
  [status(418), 418, 'provider_response', false],
  [status(401), 401, 'provider_auth', false],
  [status(429), 429, 'provider_rate_limit', true],
  [{ body: '<html>' }, 502, 'provider_response', false],
])("a failed upstream is the SDK's APICallError (%#)", async (answer, statusCode, kind, isRetryable) => {
  const { ai } = await over([answer])
  const error = await failureOf(generateText({ model: ai('gpt-4o-mini'), prompt: 'Hi', maxRetries: 0 }))
  expect(APICallError.isInstance(error)).toBe(true)
  expect(error).toMatchObject({ name: 'AI_APICallError', statusCode, isRetryable, url: '' })
  expect(error.requestBodyValues).toMatchObject({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] })
  expect(error.cause).toBeInstanceOf(GatewayError)
  expect(error.cause).toMatchObject({ kind, message: error.message })
  expect(error.stack).toMatch(/^AI_APICallError: /)
})

test('a lost connection is an APICallError without a status', async () => {
  const { ai } = overMock()
  const error = await failureOf(generateText({ model: ai('mock-network'), prompt: 'Hi', maxRetries: 0 }))
  expect(APICallError.isInstance(error)).toBe(true)
  expect(error).toMatchObject({ statusCode: undefined, isRetryable: true })
})

test('the SDK tries again what may succeed later', async () => {
  const { ai, up } = await over([status(503), openai.answer('At last.')])
  expect((await generateText({ model: ai('gpt-4o-mini'), prompt: 'Hi', maxRetries: 1 })).text).toBe('At last.')
  expect(up.requests.length).toBe(2)
})

test('refusals of the gateway itself are GatewayErrors, and are not tried again', async () => {
  consoleLines('warn')
  const { ai, logs } = overMock({ budgets: [budget('tiny', { maxTotalTokens: 1 }, { enforcement: 'strict' })] })
  const over = await failureOf(generateText({ model: ai('mock'), prompt: 'Hello, world' }))
  expect(over).toBeInstanceOf(GatewayError)
  expect(over).toMatchObject({ kind: 'budget_exceeded', httpStatus: 429, details: { policy: 'tiny' } })
  const unrouted = overMock({ rules: [rule('mock', { match: { feature: 'x' } })] })
  expect(await failureOf(generateText({ model: unrouted.ai('mock'), prompt: 'Hi' }))).toMatchObject({
    kind: 'route_not_found',
  })
  expect(await failureOf(generateText({ model: unrouted.ai({ userTier: 7 }), prompt: 'Hi' }))).toMatchObject({
    kind: 'invalid_request',
  })
  expect(logs).toEqual([])
})

test('an abort rejects with its reason and closes the upstream', async () => {
  let closed
  const gone = new Promise((resolve) => (closed = resolve))
  const { ai, up, logs } = await over([(req, res) => void res.on('close', closed)])
  const controller = new AbortController()
  const asked = failureOf(generateText({ model: ai('gpt-4o-mini'), prompt: 'Hi', abortSignal: controller.signal }))
  while (up.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  controller.abort()
  expect(await asked).toBe(controller.signal.reason)
  await gone
  expect(logs).toMatchObject([{ success: false, errorCode: 'ABORTED' }])
  const before = await over([never])
  expect(
    await failureOf(generateText({ model: before.ai('m'), prompt: 'Hi', abortSignal: AbortSignal.abort('no') })),
  ).toBe('no')
  expect(before.up.requests.length).toBe(0)
})

test('providers written in JavaScript are asked, and their errors arrive as they are', async () => {
  const asked = []
  const boom = new Error('boom')
  const factory = () => ({
    name: 'own',
    family: 'custom',
    async chat(options) {
      asked.push(options)
      if (asked.length > 1) throw boom
      return result('', {
        reasoning: 'Hm.',
        toolCalls: [{ id: 'c1', name: 'weather', arguments: { place: 'Rome' }, signature: 's1' }],
      })
    },
  })
  const { gateway } = gatewayOf({ providers: [custom('own')], customProviders: { custom: factory } })
  const error = await failureOf(
    generateText({
      model: createGatewayProvider(gateway)(),
      prompt: 'Hi',
      tools: { weather },
      stopWhen: stepCountIs(2),
      maxRetries: 0,
    }),
  )
  expect(error).toBe(boom)
  expect(asked[0].messages).toEqual([{ role: 'user', content: 'Hi' }])
  expect(asked[1].messages[1].toolCalls).toEqual([
    { id: 'c1', name: 'weather', arguments: { place: 'Rome' }, signature: 's1' },
  ])
})

test('registries, custom providers and middleware of the SDK take it', async () => {
  const { ai } = overMock()
  const registry = createProviderRegistry({ gateway: ai })
  expect((await generateText({ model: registry.languageModel('gateway:mock'), prompt: 'A' })).text).toContain(
    'You said: A',
  )
  const named = customProvider({ languageModels: { fast: ai('mock') }, fallbackProvider: ai })
  expect((await generateText({ model: named.languageModel('fast'), prompt: 'B' })).text).toContain('You said: B')
  expect((await generateText({ model: named.languageModel('mock'), prompt: 'C' })).text).toContain('You said: C')
  const wrapped = wrapLanguageModel({ model: ai('mock'), middleware: extractReasoningMiddleware({ tagName: 'think' }) })
  expect(await generateText({ model: wrapped, prompt: '<think>hm</think>' })).toMatchObject({ reasoningText: 'hm' })
  expect(registry.embeddingModel('gateway:e')).toMatchObject({ provider: 'gateway.embedding', modelId: 'e' })
  const none = await failureOf(() => ai.imageModel('dall-e-3'))
  expect(NoSuchModelError.isInstance(none)).toBe(true)
  expect(none).toMatchObject({ modelId: 'dall-e-3', modelType: 'imageModel' })
})

test('middleware of the gateway is passed through', async () => {
  const { ai, gateway } = overMock()
  gateway.use(async (request, next) => ({ ...(await next(request)), content: 'changed' }))
  expect((await generateText({ model: ai('mock'), prompt: 'A' })).text).toBe('changed')
})

test('what is no gateway is refused', () => {
  expect(() => createGatewayProvider()).toThrow(TypeError)
  expect(() => createGatewayProvider(overMock().gateway, { specificationVersion: 'v1' })).toThrow('v3, v2')
})
