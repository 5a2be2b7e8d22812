import { expect, test } from 'vitest'
import { ask, collect, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { FIRST } from './helpers/first-turn.mjs'
import { openai, sse, status, upstream } from './helpers/upstream.mjs'

const TOOLS = [
  {
    name: 'weather',
    description: 'Weather of a place',
    parameters: { type: 'object', properties: { place: { type: 'string' } } },
  },
  { name: 'clock', parameters: { type: 'object' } },
]
const json = (value) => status(200, JSON.stringify(value))

const of = async (family, ...answers) => {
  const up = await upstream(...answers)
  return { up, ...gatewayOf({ providers: [provider('main', up.url, { provider: family })] }) }
}

test("chunks of the stream are text alone, in the upstream's own words", async () => {
  const { gateway } = await of('anthropic', FIRST.anthropic)
  const chunks = await collect((await gateway.chatStream(ask({ tools: TOOLS }))).stream)
  expect(chunks.map((chunk) => chunk.delta).join('')).toBe('Wait.')
  expect(chunks.at(-1).finishReason).toBe('tool_use')
  expect(chunks.some((chunk) => 'reasoning' in chunk)).toBe(false)
})

test('a web stream gives the same events', async () => {
  const { gateway } = await of('openai', FIRST.openai)
  const seen = []
  for await (const event of (await gateway.chatStream(ask({ tools: TOOLS }))).toReadableStream()) seen.push(event.type)
  expect(seen).toEqual(['reasoning', 'text', 'tool_use', 'tool_use', 'done'])
})

test('a stream that breaks off is never done', async () => {
  const { gateway } = await of('openai', sse([openai.chunk({ content: 'Hi' }), { error: { message: 'overloaded' } }]))
  const { events } = await gateway.chatStream(ask())
  expect(await events.next()).toEqual({ value: { type: 'text', delta: 'Hi' }, done: false })
  await expect(events.next()).rejects.toMatchObject({ kind: 'provider_response' })
  expect(await events.next()).toEqual({ value: undefined, done: true })
})

test('a whole answer has its calls, its reasoning and why it stopped', async () => {
  const message = {
    role: 'assistant',
    content: null,
    reasoning_content: 'Hm.',
    tool_calls: [
      { id: 'a', type: 'function', function: { name: 'clock', arguments: '' } },
      { id: 'b', type: 'function', function: { name: 'weather', arguments: '{"place":' } },
    ],
  }
  const { gateway } = await of('openai', json({ model: 'm', choices: [{ message, finish_reason: 'stop' }] }))
  const answer = await gateway.chat(ask({ tools: TOOLS }))
  expect(answer).toMatchObject({ content: '', reasoning: 'Hm.', finishReason: 'tool_calls' })
  expect(answer.toolCalls).toEqual([
    { id: 'a', name: 'clock', arguments: {} },
    { id: 'b', name: 'weather', arguments: {}, rawArguments: '{"place":' },
  ])
})

test('calls and reasoning are billed too where the provider gives no counts', async () => {
  const call = (args) => [{ id: 'a', type: 'function', function: { name: 'clock', arguments: args } }]
  const message = (args, reasoning_content) => ({
    role: 'assistant',
    content: 'Hi',
    reasoning_content,
    tool_calls: call(args),
  })
  const answers = ['{}', '{"a":"one two three"}', '{}'].map((args, index) =>
    json({
      model: 'm',
      choices: [{ message: message(args, index === 2 ? 'four five six' : ''), finish_reason: 'stop' }],
    }),
  )
  const { gateway } = await of('openai', ...answers)
  const [least, longer, thought] = [await gateway.chat(ask()), await gateway.chat(ask()), await gateway.chat(ask())]
  for (const answer of [longer, thought]) expect(answer.outputTokens).toBeGreaterThan(least.outputTokens)

  const streamed = (delta) => sse([openai.chunk({ content: 'Hi', ...delta }), openai.chunk({}, 'stop'), '[DONE]'])
  const other = (await of('openai', streamed({}), streamed({ tool_calls: call('{"a":1}') }))).gateway
  const counts = []
  for (let i = 0; i < 2; i++) {
    const answer = await other.chatStream(ask())
    counts.push((await collect(answer.events)).at(-1).usage.outputTokens)
  }
  expect(counts[1]).toBeGreaterThan(counts[0])
})

const SCHEMA = { type: 'object', properties: { n: { type: 'number' } } }

test("what few requests set reaches OpenAI in its own words, and the caller's options last", async () => {
  const { up, gateway } = await of('openai', openai.answer('{"n":1}'))
  await gateway.chat(
    ask({
      responseFormat: { jsonSchema: SCHEMA, strict: true },
      topP: 0.5,
      stop: 'END',
      seed: 7,
      presencePenalty: 0.1,
      frequencyPenalty: 0.2,
      reasoningEffort: 'low',
      userId: 'u',
      metadata: { note: 1 },
      providerOptions: { openai: { seed: 8, logprobs: true }, anthropic: { top_k: 3 } },
    }),
  )
  const { body } = up.requests[0]
  expect(body).toMatchObject({
    top_p: 0.5,
    stop: ['END'],
    seed: 8,
    presence_penalty: 0.1,
    frequency_penalty: 0.2,
    reasoning_effort: 'low',
    logprobs: true,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: SCHEMA, strict: true } },
  })
  expect(body).not.toHaveProperty('metadata')
  expect(body).not.toHaveProperty('user')
  expect(body).not.toHaveProperty('top_k')
})

const claudes = (text) => json({ model: 'm', content: [{ type: 'text', text }], stop_reason: 'end_turn' })

test('Anthropic is asked for JSON in words, and its answer is checked', async () => {
  const { up, gateway } = await of('anthropic', claudes('```json\n{"n":1}\n```'), claudes('Sure!'))
  const request = ask({ responseFormat: { jsonSchema: SCHEMA }, reasoningEffort: 'low' })
  expect((await gateway.chat(request)).content).toBe('{"n":1}')
  const { body } = up.requests[0]
  expect(body.system).toContain(JSON.stringify(SCHEMA))
  expect(body.thinking).toEqual({ type: 'enabled', budget_tokens: 1024 })
  expect(body.max_tokens).toBeGreaterThan(1024)
  expect(await failureOf(gateway.chat(request))).toMatchObject({ kind: 'provider_response' })
})

test('a custom provider sees tools and may return calls, reasoning and why it stopped', async () => {
  let seen
  const custom = {
    name: 'own',
    family: 'own',
    async chat(options) {
      seen = options
      return {
        content: '',
        model: 'm',
        inputTokens: 1,
        outputTokens: 1,
        totalTokens: 2,
        reasoning: 'Hm.',
        toolCalls: [{ id: '1', name: 'clock', arguments: { a: 1 } }],
      }
    },
  }
  const { gateway } = gatewayOf({
    providers: [{ name: 'own', provider: 'own', models: ['m'], auth: { type: 'none' } }],
    customProviders: { own: () => custom },
  })
  const answer = await gateway.chat(ask({ tools: TOOLS, topP: 0.3 }))
  expect(seen).toMatchObject({ tools: TOOLS, topP: 0.3 })
  expect(answer).toMatchObject({
    reasoning: 'Hm.',
    finishReason: 'tool_calls',
    toolCalls: [{ id: '1', name: 'clock', arguments: { a: 1 } }],
  })
})

test('overlapping calls of next give each event once, in order', async () => {
  const { gateway } = await of('openai', FIRST.openai)
  const { events } = await gateway.chatStream(ask({ tools: TOOLS }))
  const asked = await Promise.all(Array.from({ length: 8 }, () => events.next()))
  const types = asked.map(({ value, done }) => (done ? 'end' : value.type))
  expect(types).toEqual(['reasoning', 'text', 'tool_use', 'tool_use', 'done', 'end', 'end', 'end'])
  expect(await events.next()).toEqual({ value: undefined, done: true })
})

test('an answer may be taken apart before it is read', async () => {
  const { gateway } = await of('openai', FIRST.openai, FIRST.openai)
  const first = await gateway.chatStream(ask({ tools: TOOLS }))
  const { stream, events } = first
  expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('Wait.')
  await expect(events.next()).rejects.toMatchObject({ kind: 'invalid_request' })
  const second = await gateway.chatStream(ask({ tools: TOOLS }))
  second.toReadableStream()
  expect((await collect(second.events)).map(({ type }) => type)).toEqual([
    'reasoning',
    'text',
    'tool_use',
    'tool_use',
    'done',
  ])
})

test('a second reader of another kind is told so, and takes nothing from the first', async () => {
  const { gateway } = await of('openai', FIRST.openai)
  const { stream, events } = await gateway.chatStream(ask({ tools: TOOLS }))
  const first = await events.next()
  const error = await failureOf(stream[Symbol.asyncIterator]().next())
  expect(error).toMatchObject({
    kind: 'invalid_request',
    message: 'Invalid request: stream: cannot be read: the answer is being read as `events`, and can be read once',
  })
  const rest = await collect(events)
  expect([first.value, ...rest].map(({ type }) => type)).toEqual(['reasoning', 'text', 'tool_use', 'tool_use', 'done'])
})
