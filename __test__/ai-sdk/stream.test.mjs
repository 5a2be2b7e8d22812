import { APICallError, jsonSchema, Output, simulateReadableStream, stepCountIs, streamText, tool } from 'ai'
import { expect, test } from 'vitest'
import { createGatewayProvider } from '../../lib/ai-sdk/index.mjs'
import { GatewayError } from '../../index.mjs'
import { budget, collect, consoleLines, custom, failureOf, gatewayOf, result } from '../helpers/config.mjs'
import { live, openai, sse, status } from '../helpers/upstream.mjs'
import { blockStream, deltas, over, overMock, overStub } from './helpers.mjs'

globalThis.AI_SDK_LOG_WARNINGS = false

const weather = tool({
  inputSchema: jsonSchema({ type: 'object', properties: { place: { type: 'string' } } }),
  execute: async ({ place }) => `${place}: clear`,
})
const prompt = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }]

/** The parts of a model's stream, without what runs of text and calls repeat. */
const partsOf = async (model, call = {}) => collect((await model.doStream({ prompt, ...call })).stream)
const types = (parts) => parts.map((part) => part.type)

test('a text as it comes', async () => {
  const { ai, logs } = overMock()
  const stream = streamText({ model: ai('mock'), prompt: 'Hello' })
  const pieces = await collect(stream.textStream)
  expect(pieces.length).toBeGreaterThan(5)
  expect(pieces.join('')).toBe('This is the mock provider; no model was asked. You said: Hello')
  expect(await stream.finishReason).toBe('stop')
  expect(await stream.usage).toMatchObject({ inputTokens: logs[0].inputTokens, outputTokens: logs[0].outputTokens })
  expect(await stream.response).toMatchObject({ id: logs[0].requestId, modelId: 'mock' })
  expect((await stream.providerMetadata).gateway).toMatchObject({
    provider: 'mock',
    requestId: logs[0].requestId,
    fallbackTriggered: false,
  })
})

test('parts come in order, with reasoning, text and calls', async () => {
  const call = { index: 0, id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"place":' } }
  const list = [
    { role: 'assistant', content: '' },
    { reasoning_content: 'I ' },
    { reasoning_content: 'look.' },
    { content: 'Wa' },
    { content: 'it.' },
    { tool_calls: [call] },
    { tool_calls: [{ index: 0, function: { arguments: '"Rome"}' } }] },
  ]
  const { ai } = await over([deltas(list, 'tool_calls')])
  const parts = await partsOf(ai('gpt-4o-mini'), {
    topK: 3,
    tools: [{ type: 'function', name: 'weather', inputSchema: { type: 'object' } }],
  })
  const [start, metadata] = parts
  expect(start).toEqual({
    type: 'stream-start',
    warnings: [{ type: 'unsupported', feature: 'topK', details: expect.stringContaining('main') }],
  })
  expect(metadata).toMatchObject({ type: 'response-metadata', modelId: 'gpt-4o-mini' })
  expect(metadata.timestamp).toBeInstanceOf(Date)
  const text = (type, id, pieces) => [
    { type: `${type}-start`, id },
    ...pieces.map((delta) => ({ type: `${type}-delta`, id, delta })),
    { type: `${type}-end`, id },
  ]
  expect(parts.slice(2, -2)).toEqual([
    ...text('reasoning', '0', ['I ', 'look.']),
    ...text('text', '1', ['Wa', 'it.']),
    { type: 'tool-input-start', id: 'c1', toolName: 'weather' },
    { type: 'tool-input-delta', id: 'c1', delta: '{"place":"Rome"}' },
    { type: 'tool-input-end', id: 'c1' },
    { type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: '{"place":"Rome"}' },
  ])
  expect(parts.at(-1)).toMatchObject({
    type: 'finish',
    finishReason: { unified: 'tool-calls', raw: 'tool_calls' },
    usage: { inputTokens: { total: 12, noCache: 12 }, outputTokens: { total: 5, text: 5 } },
    providerMetadata: { gateway: { provider: 'main', requestId: metadata.id } },
  })
})

const SIGNED = { type: 'thinking', thinking: 'I must look.', signature: 'c2lnbmVk==' }
const USE = { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { place: 'Rome' } }
const WAIT = { type: 'text', text: 'Wait a moment.' }
const HIDDEN = { type: 'redacted_thinking', data: 'aGlkZGVu' }

test.each([
  ['a text', [SIGNED, WAIT, USE]],
  ['the reasoning itself', [SIGNED, USE]],
  ['a call', [HIDDEN, USE]],
])('signatures survive a loop of tools, on %s', async (_, content) => {
  const { ai, up } = await over([blockStream(content, 'tool_use'), blockStream([{ type: 'text', text: 'Clear.' }])], {
    family: 'anthropic',
  })
  const stream = streamText({
    model: ai('claude-sonnet-4-5'),
    prompt: 'Rome?',
    tools: { weather },
    stopWhen: stepCountIs(2),
  })
  const parts = await collect(stream.fullStream)
  expect(types(parts).filter((type) => /^tool-(call|result)$|step$/.test(type))).toEqual([
    'start-step',
    'tool-call',
    'tool-result',
    'finish-step',
    'start-step',
    'finish-step',
  ])
  expect(await stream.text).toBe('Clear.')
  expect(up.requests[1].body.messages.slice(1)).toEqual([
    { role: 'assistant', content },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'Rome: clear' }] },
  ])
})

test('reasoning without a word has a part of its own where no other can carry it', async () => {
  const { ai } = await over([blockStream([HIDDEN])], { family: 'anthropic' })
  const parts = await partsOf(ai('claude-sonnet-4-5'))
  expect(parts.slice(2, 4)).toEqual([
    { type: 'reasoning-start', id: '0' },
    { type: 'reasoning-end', id: '0', providerMetadata: { gateway: { reasoningDetails: [HIDDEN] } } },
  ])
})

test('an object as it is written', async () => {
  const { ai, up } = await over([openai.stream(['{"dish":', '"soup"', '}'])])
  const schema = jsonSchema({ type: 'object', properties: { dish: { type: 'string' } } })
  const stream = streamText({ model: ai('gpt-4o-mini'), output: Output.object({ schema }), prompt: 'Cook' })
  expect((await collect(stream.partialOutputStream)).at(-1)).toEqual({ dish: 'soup' })
  expect(up.last().body).toMatchObject({ stream: true, response_format: { type: 'json_schema' } })
})

test('a failure before the first content rejects, and the SDK tries again', async () => {
  const { ai, up } = await over([status(503), openai.stream(['Hi'])])
  const error = await failureOf(ai('gpt-4o-mini').doStream({ prompt }))
  expect(APICallError.isInstance(error)).toBe(true)
  expect(error).toMatchObject({ statusCode: 503, isRetryable: true })
  const again = await over([status(503), openai.stream(['Hi'])])
  expect(await streamText({ model: again.ai('gpt-4o-mini'), prompt: 'Hi', maxRetries: 1 }).text).toBe('Hi')
  expect([up.requests.length, again.up.requests.length]).toEqual([1, 2])
})

test('a budget refuses with a GatewayError', async () => {
  consoleLines('warn')
  const { ai } = overMock({ budgets: [budget('tiny', { maxTotalTokens: 1 }, { enforcement: 'strict' })] })
  const errors = []
  const stream = streamText({ model: ai('mock'), prompt: 'Hi', onError: ({ error }) => void errors.push(error) })
  await stream.consumeStream()
  expect(errors).toHaveLength(1)
  expect(errors[0]).toBeInstanceOf(GatewayError)
  expect(errors[0]).toMatchObject({ kind: 'budget_exceeded' })
})

test('an error in the middle is a part, and what had come is told', async () => {
  const { ai, logs } = await over([sse([openai.chunk({ content: 'Half' }), { error: { message: 'overloaded' } }])])
  const parts = await partsOf(ai('gpt-4o-mini'))
  expect(types(parts).slice(2)).toEqual([
    'text-start',
    'text-delta',
    'error',
    'text-end',
    'response-metadata',
    'finish',
  ])
  const { error } = parts.find((part) => part.type === 'error')
  expect(APICallError.isInstance(error)).toBe(true)
  expect(error.cause).toMatchObject({ kind: 'provider_response' })
  expect(parts.at(-1)).toMatchObject({
    finishReason: { unified: 'error' },
    usage: { outputTokens: { total: logs[0].outputTokens } },
  })

  const { ai: mock } = overMock()
  const errors = []
  const stream = streamText({
    model: mock('mock-midstream-error'),
    prompt: 'Hi',
    onError: ({ error }) => void errors.push(error),
  })
  expect(await collect(stream.textStream)).not.toEqual([])
  expect(errors).toHaveLength(1)
  expect(await stream.finishReason).toBe('error')
})

test('aborting closes the upstream and errors the stream with the reason', async () => {
  const feed = live()
  const { ai, logs } = await over([feed])
  const controller = new AbortController()
  const asked = ai('gpt-4o-mini').doStream({ prompt, abortSignal: controller.signal })
  await feed.opened
  feed.send(openai.chunk({ content: 'One' }))
  const reader = (await asked).stream.getReader()
  for (let part; part?.type !== 'text-delta'; ) part = (await reader.read()).value
  const pending = failureOf(reader.read())
  controller.abort()
  expect(await pending).toBe(controller.signal.reason)
  await feed.closed
  expect(logs).toMatchObject([{ success: false, errorCode: 'ABORTED' }])
})

test('streamText tells of an abort', async () => {
  const feed = live()
  const { ai } = await over([feed])
  const controller = new AbortController()
  const stream = streamText({
    model: ai('gpt-4o-mini'),
    prompt: 'Hi',
    abortSignal: controller.signal,
    onError: () => {},
  })
  const parts = []
  const read = (async () => {
    for await (const part of stream.fullStream) {
      parts.push(part)
      if (part.type === 'text-delta') controller.abort()
    }
  })()
  await feed.opened
  feed.send(openai.chunk({ content: 'One' }))
  await read
  expect(parts.at(-1).type).toBe('abort')
  expect(types(parts)).not.toContain('error')
  await feed.closed
})

test('cancelling closes the upstream at once, beside a read that waits', async () => {
  const feed = live()
  const { ai, logs } = await over([feed])
  const asked = ai('gpt-4o-mini').doStream({ prompt })
  await feed.opened
  feed.send(openai.chunk({ content: 'One' }))
  const reader = (await asked).stream.getReader()
  for (let part; part?.type !== 'text-delta'; ) part = (await reader.read()).value
  const pending = reader.read()
  await reader.cancel()
  await feed.closed
  expect(await pending).toEqual({ value: undefined, done: true })
  expect(logs).toMatchObject([{ success: true }])
})

test('a signal that has already fired sends nothing', async () => {
  const { ai, up } = await over([openai.stream(['Hi'])])
  const reason = new Error('not now')
  expect(await failureOf(ai('gpt-4o-mini').doStream({ prompt, abortSignal: AbortSignal.abort(reason) }))).toBe(reason)
  expect(up.requests).toEqual([])
})

test('providers written in JavaScript stream reasoning, text and calls', async () => {
  const toolCalls = [{ id: 'c1', name: 'weather', arguments: { place: 'Rome' }, signature: 's1' }]
  const factory = () => ({
    name: 'own',
    family: 'custom',
    chat: async () => result('never'),
    chatStream: async () => ({
      stream: simulateReadableStream({
        chunks: [{ delta: '', reasoning: 'Hm.' }, { delta: 'Wait.' }, { delta: '', toolCalls }],
      }),
      getUsage: async () => result('Wait.', { toolCalls }),
    }),
  })
  const { gateway } = gatewayOf({ providers: [custom('own')], customProviders: { custom: factory } })
  const parts = await partsOf(createGatewayProvider(gateway)())
  expect(types(parts).slice(2, -2)).toEqual([
    'reasoning-start',
    'reasoning-delta',
    'reasoning-end',
    'text-start',
    'text-delta',
    'text-end',
    'tool-input-start',
    'tool-input-delta',
    'tool-input-end',
    'tool-call',
  ])
  expect(parts.find((part) => part.type === 'tool-call')).toMatchObject({
    toolCallId: 'c1',
    providerMetadata: { gateway: { signature: 's1' } },
  })
})

test('a reader that is slow is waited for', async () => {
  let pulled = 0
  const events = {
    async next() {
      return ++pulled <= 50 ? { value: { type: 'text', delta: 'x' }, done: false } : { value: undefined, done: true }
    },
    return: async () => ({ value: undefined, done: true }),
  }
  const { ai } = overStub({ chatStream: { requestId: 'r', stream: {}, events, getUsageSummary: async () => ({}) } })
  const { stream } = await ai('m').doStream({ prompt })
  const reader = stream.getReader()
  for (let at = 0; at < 5; at++) await reader.read()
  expect(pulled).toBeLessThan(6)
  await reader.cancel()
})
