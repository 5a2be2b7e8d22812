import { expect, test } from 'vitest'
import { ask, collect, custom, gatewayOf } from './helpers/config.mjs'

const withProvider = (object) =>
  gatewayOf({
    providers: [custom('own')],
    customProviders: { custom: (config) => ({ name: config.name, family: 'custom', ...object }) },
  })

const EVENTS = [
  { type: 'reasoning', delta: 'Two things: ' },
  { type: 'reasoning', delta: 'a call.' },
  { type: 'text', delta: 'Wait.' },
  { type: 'tool_use', id: 'a', name: 'weather', input: { place: 'Rome' } },
  { type: 'tool_use', id: 'b', name: 'clock', input: {}, rawInput: '{"zone":' },
  {
    type: 'done',
    usage: { inputTokens: 9, outputTokens: 7, cacheReadTokens: 4, reasoningTokens: 3 },
    finishReason: 'tool_calls',
  },
]

test('a provider that gives typed events gives all of them on', async () => {
  const { gateway, logs } = withProvider({
    async chatStream() {
      return {
        events: (async function* () {
          yield* EVENTS
        })(),
      }
    },
  })
  const { events, getUsageSummary } = await gateway.chatStream(ask())
  expect(await collect(events)).toEqual([
    ...EVENTS.slice(0, -1),
    {
      type: 'done',
      finishReason: 'tool_calls',
      usage: {
        inputTokens: 9,
        outputTokens: 7,
        totalTokens: 16,
        cacheReadTokens: 4,
        reasoningTokens: 3,
        estimatedCostUsd: 0,
      },
    },
  ])
  expect(await getUsageSummary()).toMatchObject({ content: 'Wait.', reasoning: 'Two things: a call.', inputTokens: 9 })
  expect(logs[0]).toMatchObject({ inputTokens: 9, outputTokens: 7, cacheReadTokens: 4, success: true })
})

test('the text of such a stream is its text alone', async () => {
  const { gateway } = withProvider({ chatStream: async () => ({ events: EVENTS }) })
  const { stream } = await gateway.chatStream(ask())
  expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('Wait.')
})

test('a whole answer may carry everything that an answer has', async () => {
  const details = [{ type: 'thinking', thinking: 'hm', signature: 'c2ln' }]
  const { gateway, logs } = withProvider({
    chat: async () => ({
      content: '',
      model: 'own-1',
      inputTokens: 10,
      outputTokens: 5,
      totalTokens: 15,
      cacheReadTokens: 3,
      cacheWriteTokens: 2,
      reasoningTokens: 1,
      reasoning: 'hm',
      reasoningDetails: details,
      finishReason: 'tool_use',
      toolCalls: [{ id: 'a', name: 'weather', arguments: { place: 'Rome' } }],
    }),
  })
  expect(await gateway.chat(ask())).toMatchObject({
    cacheReadTokens: 3,
    cacheWriteTokens: 2,
    reasoningTokens: 1,
    reasoning: 'hm',
    reasoningDetails: details,
    finishReason: 'tool_calls',
    toolCalls: [{ id: 'a', name: 'weather', arguments: { place: 'Rome' } }],
  })
  expect(logs[0]).toMatchObject({ cacheReadTokens: 3, cacheWriteTokens: 2 })
})

test('a provider sees tools, parts and the rest of the request as the caller wrote them', async () => {
  let seen
  const { gateway } = withProvider({
    chat: async (options) => {
      seen = options
      return { content: 'ok', model: 'own-1', inputTokens: 1, outputTokens: 1, totalTokens: 2 }
    },
  })
  const request = {
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'See', cacheControl: 'ephemeral' },
          { type: 'image', url: 'https://x.test/a.png' },
        ],
      },
      { role: 'assistant', toolCalls: [{ id: 'a', name: 'weather', arguments: { place: 'Rome' } }] },
      { role: 'tool', toolCallId: 'a', content: 'sunny' },
    ],
    tools: [{ name: 'weather', parameters: { type: 'object' }, strict: true }],
    toolChoice: { name: 'weather' },
    responseFormat: { jsonSchema: { type: 'object' } },
    topP: 0.5,
    stop: ['x'],
    seed: 7,
    presencePenalty: 0.1,
    frequencyPenalty: 0.2,
    reasoningEffort: 'low',
    userId: 'u',
    metadata: { trace: 't' },
    providerOptions: { custom: { a: 1 } },
  }
  await gateway.chat(request)
  expect(seen).toEqual({ model: 'model-of-own', maxTokens: undefined, temperature: undefined, ...request })
})

test('typed events that end without `done` are a failure, not an answer', async () => {
  const { gateway, logs } = withProvider({ chatStream: async () => ({ events: EVENTS.slice(0, -1) }) })
  const { events } = await gateway.chatStream(ask())
  await expect(collect(events)).rejects.toMatchObject({
    message: 'Provider "own" ended its events without one of type "done"',
  })
  expect(logs[0]).toMatchObject({ success: false })
})
