// One conversation with tools, in two streamed turns, through four wire formats: callers cannot tell them apart.
import { expect, test } from 'vitest'
import { ask, collect, gatewayOf, provider } from './helpers/config.mjs'
import { FIRST, SECOND, SIGNATURE } from './helpers/first-turn.mjs'
import { crc32 } from './helpers/aws-frames.mjs'
import { upstream } from './helpers/upstream.mjs'

const TOOLS = [
  {
    name: 'weather',
    description: 'Weather of a place',
    parameters: { type: 'object', properties: { place: { type: 'string' } } },
  },
  { name: 'clock', parameters: { type: 'object', properties: {} } },
]

const MODELS = {
  openai: 'gpt-5-mini',
  anthropic: 'claude-sonnet-4-20250514',
  gemini: 'gemini-3.8-flash',
  bedrock: 'us.anthropic.claude-sonnet-4-20250514-v1:0',
}

/** Text and reasoning joined, since where a stream is cut is the vendor's business, as are marks, prices, and whether reasoning is counted apart. */
function told(events) {
  const all = []
  for (const { signature, usage, ...event } of events) {
    if (event.delta !== undefined && all.at(-1)?.type === event.type) all.at(-1).delta += event.delta
    else if (usage) all.push({ ...event, tokens: [usage.inputTokens, usage.outputTokens, usage.totalTokens] })
    else all.push(event)
  }
  return all
}

// What goes out in the second turn: the tools, the assistant's turn as it came, and the results of both calls.
const SENT = {
  openai: ({ tools, messages }) => {
    expect(tools).toEqual(TOOLS.map((tool) => ({ type: 'function', function: tool })))
    expect(messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: 'Wait.',
        tool_calls: [
          { id: 'a', type: 'function', function: { name: 'weather', arguments: '{"place":"Rom"}' } },
          { id: 'b', type: 'function', function: { name: 'clock', arguments: '{}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'a', content: 'result a' },
      { role: 'tool', tool_call_id: 'b', content: 'result b' },
    ])
  },
  anthropic: ({ tools, messages }) => {
    expect(tools).toEqual(TOOLS.map(({ parameters, ...tool }) => ({ ...tool, input_schema: parameters })))
    expect(messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Two calls.', signature: SIGNATURE.anthropic },
          { type: 'text', text: 'Wait.' },
          { type: 'tool_use', id: 'a', name: 'weather', input: { place: 'Rom' } },
          { type: 'tool_use', id: 'b', name: 'clock', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'a', content: 'result a' },
          { type: 'tool_result', tool_use_id: 'b', content: 'result b' },
        ],
      },
    ])
  },
  gemini: ({ tools, contents }) => {
    const functionDeclarations = TOOLS.map(({ parameters, ...tool }) => ({ ...tool, parametersJsonSchema: parameters }))
    expect(tools).toEqual([{ functionDeclarations }])
    expect(contents.slice(1)).toEqual([
      {
        role: 'model',
        parts: [
          { text: 'Wait.' },
          { functionCall: { id: 'a', name: 'weather', args: { place: 'Rom' } }, thoughtSignature: SIGNATURE.gemini },
          { functionCall: { id: 'b', name: 'clock', args: {} } },
        ],
      },
      {
        role: 'user',
        parts: [
          { functionResponse: { id: 'a', name: 'weather', response: { result: 'result a' } } },
          { functionResponse: { id: 'b', name: 'clock', response: { result: 'result b' } } },
        ],
      },
    ])
  },
  bedrock: ({ toolConfig, messages }) => {
    const specs = TOOLS.map(({ parameters, ...tool }) => ({ toolSpec: { ...tool, inputSchema: { json: parameters } } }))
    expect(toolConfig).toEqual({ tools: specs, toolChoice: { auto: {} } })
    expect(messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: [
          { reasoningContent: { reasoningText: { text: 'Two calls.', signature: SIGNATURE.bedrock } } },
          { text: 'Wait.' },
          { toolUse: { toolUseId: 'a', name: 'weather', input: { place: 'Rom' } } },
          { toolUse: { toolUseId: 'b', name: 'clock', input: {} } },
        ],
      },
      {
        role: 'user',
        content: [
          { toolResult: { toolUseId: 'a', content: [{ text: 'result a' }] } },
          { toolResult: { toolUseId: 'b', content: [{ text: 'result b' }] } },
        ],
      },
    ])
  },
}

test.each(Object.keys(MODELS))('a conversation with tools through %s', async (family) => {
  const up = await upstream(FIRST[family], SECOND[family])
  const auth = { type: 'bearer', envVar: 'AI_GATEWAY_TEST_KEY' }
  const { gateway, logs } = gatewayOf({
    providers: [provider('main', up.url, { provider: family, models: [MODELS[family]], auth })],
  })
  const request = ask({ tools: TOOLS, toolChoice: 'auto' })

  const first = await gateway.chatStream(request)
  expect(told(await collect(first.events))).toEqual([
    { type: 'reasoning', delta: 'Two calls.' },
    { type: 'text', delta: 'Wait.' },
    { type: 'tool_use', id: 'a', name: 'weather', input: { place: 'Rom' } },
    { type: 'tool_use', id: 'b', name: 'clock', input: {} },
    { type: 'done', finishReason: 'tool_calls', tokens: [10, 20, 30] },
  ])

  const { content, toolCalls, reasoning, reasoningDetails, finishReason } = await first.getUsageSummary()
  expect({ content, reasoning, finishReason }).toEqual({
    content: 'Wait.',
    reasoning: 'Two calls.',
    finishReason: 'tool_calls',
  })
  // Kept as JSON in between, as programs do.
  const turn = JSON.parse(JSON.stringify({ role: 'assistant', content, toolCalls, reasoningDetails }))
  const results = toolCalls.map(({ id }) => ({ role: 'tool', toolCallId: id, content: `result ${id}` }))
  const second = await gateway.chatStream({ ...request, messages: [...request.messages, turn, ...results] })
  expect(told(await collect(second.events))).toEqual([
    { type: 'text', delta: 'It is warm.' },
    { type: 'done', finishReason: 'stop', tokens: [40, 6, 46] },
  ])
  SENT[family](up.requests[1].body)
  expect(logs.map(({ success, totalTokens }) => [success, totalTokens])).toEqual([
    [true, 30],
    [true, 46],
  ])
})

test('the checksum of frames is that of IEEE 802.3', () => {
  expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926)
})
