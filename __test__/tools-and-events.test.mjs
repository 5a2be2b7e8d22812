import { expect, test } from 'vitest'
import { ask, collect, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { openai, sse, status, upstream } from './helpers/upstream.mjs'

const TOOLS = [
  { name: 'weather', description: 'Weather of a place', parameters: { type: 'object', properties: { place: { type: 'string' } } } },
  { name: 'clock', parameters: { type: 'object' } },
]
const json = (value) => status(200, JSON.stringify(value))
const SIGNED = { type: 'thinking', thinking: 'Two calls.', signature: 'c2lnbmVk==' }

// What the model says in its first turn: it thinks, says a word, and wants two calls at once.
const FIRST = {
  openai: sse([
    openai.chunk({ role: 'assistant', reasoning_content: 'Two calls.' }),
    openai.chunk({ content: 'Wait.' }),
    openai.chunk({ tool_calls: [{ index: 1, id: 'a', type: 'function', function: { name: 'weather', arguments: '' } }] }),
    openai.chunk({ tool_calls: [{ index: 2, id: 'b', type: 'function', function: { name: 'clock', arguments: '' } }] }),
    openai.chunk({ tool_calls: [{ index: 1, function: { arguments: '{"place":' } }] }),
    openai.chunk({ tool_calls: [{ index: 1, function: { arguments: '"Rom"}' } }] }),
    openai.chunk({}, 'tool_calls'),
    { ...openai.chunk({}), choices: [], usage: { prompt_tokens: 10, completion_tokens: 20, completion_tokens_details: { reasoning_tokens: 5 } } },
    '[DONE]',
  ]),
  anthropic: sse(
    [
      { type: 'message_start', message: { model: 'mock-model', usage: { input_tokens: 10, output_tokens: 1 } } },
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Two ' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'calls.' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: SIGNED.signature } },
      { type: 'content_block_stop', index: 0 },
      { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'Wait.' } },
      { type: 'content_block_stop', index: 1 },
      { type: 'content_block_start', index: 2, content_block: { type: 'tool_use', id: 'a', name: 'weather', input: {} } },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '{"place":' } },
      { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: '"Rom"}' } },
      { type: 'content_block_stop', index: 2 },
      { type: 'content_block_start', index: 3, content_block: { type: 'tool_use', id: 'b', name: 'clock', input: {} } },
      { type: 'content_block_stop', index: 3 },
      { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 20 } },
      { type: 'message_stop' },
    ].map((event) => JSON.stringify(event)),
  ),
}

const of = async (family, ...answers) => {
  const up = await upstream(...answers)
  return { up, ...gatewayOf({ providers: [provider('main', up.url, { provider: family })] }) }
}

/** Text and reasoning joined: where a stream is cut is the vendor's business. */
function joined(events) {
  const all = []
  for (const event of events) {
    if (event.delta !== undefined && all.at(-1)?.type === event.type) all.at(-1).delta += event.delta
    else all.push({ ...event })
  }
  return all
}

test.each(['openai', 'anthropic'])('a conversation with tools gives the same events through %s', async (family) => {
  const { up, gateway } = await of(family, FIRST[family], FIRST[family])
  const request = ask({ tools: TOOLS, toolChoice: 'auto' })
  const first = await gateway.chatStream(request)
  const events = joined(await collect(first.events))
  const told = (type) => events.filter((event) => event.type === type)
  expect(events.map((event) => event.type)).toEqual(['reasoning', 'text', 'tool_use', 'tool_use', 'done'])
  expect(told('reasoning')).toEqual([{ type: 'reasoning', delta: 'Two calls.' }])
  expect(told('text')).toEqual([{ type: 'text', delta: 'Wait.' }])
  expect(told('tool_use')).toEqual([
    { type: 'tool_use', id: 'a', name: 'weather', input: { place: 'Rom' } },
    { type: 'tool_use', id: 'b', name: 'clock', input: {} },
  ])
  expect(told('done')[0]).toMatchObject({ finishReason: 'tool_calls', usage: { inputTokens: 10, outputTokens: 20, totalTokens: 30 } })

  const { content, toolCalls, reasoningDetails } = await first.getUsageSummary()
  const turn = { role: 'assistant', content, toolCalls, reasoningDetails }
  const results = toolCalls.map(({ id }) => ({ role: 'tool', toolCallId: id, content: `result ${id}` }))
  await collect((await gateway.chatStream({ ...request, messages: [...request.messages, turn, ...results] })).events)
  const { messages, tools } = up.requests[1].body
  if (family === 'openai') {
    expect(tools[0]).toEqual({ type: 'function', function: TOOLS[0] })
    expect(messages.at(-3).tool_calls.map((call) => [call.id, call.function.name, call.function.arguments])).toEqual([
      ['a', 'weather', '{"place":"Rom"}'],
      ['b', 'clock', '{}'],
    ])
    expect(messages.slice(-2)).toEqual([
      { role: 'tool', tool_call_id: 'a', content: 'result a' },
      { role: 'tool', tool_call_id: 'b', content: 'result b' },
    ])
  } else {
    expect(tools[0]).toEqual({ name: 'weather', description: 'Weather of a place', input_schema: TOOLS[0].parameters })
    expect(messages.at(-2).content[0]).toEqual(SIGNED)
    expect(messages.at(-2).content.slice(2)).toEqual([
      { type: 'tool_use', id: 'a', name: 'weather', input: { place: 'Rom' } },
      { type: 'tool_use', id: 'b', name: 'clock', input: {} },
    ])
    expect(messages.at(-1).content.map((block) => block.tool_use_id)).toEqual(['a', 'b'])
  }
})

test('chunks of the stream are text alone, in the upstream\'s own words', async () => {
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
  const message = (args, reasoning_content) => ({ role: 'assistant', content: 'Hi', reasoning_content, tool_calls: call(args) })
  const answers = ['{}', '{"a":"one two three"}', '{}'].map((args, index) =>
    json({ model: 'm', choices: [{ message: message(args, index === 2 ? 'four five six' : ''), finish_reason: 'stop' }] }),
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

test('what few requests set reaches OpenAI in its own words, and the caller\'s options last', async () => {
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
    user: 'u',
    logprobs: true,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: SCHEMA, strict: true } },
  })
  expect(body).not.toHaveProperty('metadata')
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

test('parts and cache marks reach Anthropic unchanged; an identical request is identical bytes', async () => {
  const { up, gateway } = await of('anthropic', claudes('a'), claudes('b'))
  const content = [
    { type: 'text', text: 't', cacheControl: 'ephemeral' },
    { type: 'image', data: 'AA==', mimeType: 'image/png', cacheControl: 'ephemeral' },
    { type: 'file', data: 'BB==', mimeType: 'application/pdf', name: 'a.pdf' },
  ]
  const request = { messages: [{ role: 'user', content }], tools: TOOLS }
  await gateway.chat(request)
  await gateway.chat(structuredClone(request))
  const cache_control = { type: 'ephemeral' }
  expect(up.requests[0].body.messages[0].content).toEqual([
    { type: 'text', text: 't', cache_control },
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' }, cache_control },
    { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'BB==' }, title: 'a.pdf' },
  ])
  expect(up.requests[0].text).toBe(up.requests[1].text)
})

test('a feature that the provider cannot do is refused by name, and nothing is sent', async () => {
  const { up, gateway } = await of('anthropic', claudes('a'))
  const audio = { type: 'audio', data: 'AA==', mimeType: 'audio/wav' }
  const error = await failureOf(gateway.chat({ messages: [{ role: 'user', content: [audio] }] }))
  expect(error).toMatchObject({ kind: 'invalid_request', provider: 'main', httpStatus: 400 })
  expect(error.message).toContain('"main" does not take audio')
  expect(up.requests).toHaveLength(0)
})

test('a custom provider sees tools and may return calls, reasoning and why it stopped', async () => {
  let seen
  const custom = {
    name: 'own',
    family: 'own',
    async chat(options) {
      seen = options
      return { content: '', model: 'm', inputTokens: 1, outputTokens: 1, totalTokens: 2, reasoning: 'Hm.', toolCalls: [{ id: '1', name: 'clock', arguments: { a: 1 } }] }
    },
  }
  const { gateway } = gatewayOf({
    providers: [{ name: 'own', provider: 'own', models: ['m'], auth: { type: 'none' } }],
    customProviders: { own: () => custom },
  })
  const answer = await gateway.chat(ask({ tools: TOOLS, topP: 0.3 }))
  expect(seen).toMatchObject({ tools: TOOLS, topP: 0.3 })
  expect(answer).toMatchObject({ reasoning: 'Hm.', finishReason: 'tool_calls', toolCalls: [{ id: '1', name: 'clock', arguments: { a: 1 } }] })
})
