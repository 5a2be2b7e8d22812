// Providers of the SDK over gateways of the tests, and what vendors answer.
import { createGatewayProvider } from '../../lib/ai-sdk/index.mjs'
import { gatewayOf, provider } from '../helpers/config.mjs'
import { openai, status, sse, upstream } from '../helpers/upstream.mjs'

/** A gateway before a server that plays `answers`, and a provider over it. */
export async function over(answers, { family = 'openai', entry = {}, options, ...fields } = {}) {
  const up = await upstream(...answers)
  const made = gatewayOf({ providers: [provider('main', up.url, { provider: family, ...entry })], ...fields })
  return { up, ...made, ai: createGatewayProvider(made.gateway, options) }
}

/** A gateway before the mock, and a provider over it. */
export function overMock({ entry = {}, options, ...fields } = {}) {
  const mock = { name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' }, ...entry }
  const made = gatewayOf({ providers: [mock], ...fields })
  return { ...made, ai: createGatewayProvider(made.gateway, options) }
}

/** A provider over a gateway that is not one: `answers` by method. What it is asked is kept. */
export function overStub(answers, options) {
  const asked = []
  const method = (answer) => async (request) => {
    asked.push(request)
    return typeof answer === 'function' ? answer(request) : answer
  }
  const gateway = { chat: method({ content: '' }) }
  for (const [name, answer] of Object.entries(answers)) gateway[name] = method(answer)
  return { asked, ai: createGatewayProvider(gateway, options) }
}

/** A whole answer, as the gateway gives it. */
export const answer = (fields = {}) => ({
  requestId: 'req-1',
  provider: 'main',
  model: 'gpt-4o-mini-2024-07-18',
  content: 'Hello!',
  inputTokens: 12,
  outputTokens: 5,
  totalTokens: 17,
  estimatedCostUsd: 0.001,
  latencyMs: 8,
  fallbackTriggered: false,
  finishReason: 'stop',
  ...fields,
})

const json = (value) => status(200, JSON.stringify(value))

/** An answer of OpenAI's with this message. */
export const completion = (message, finish_reason = 'stop', usage = openai.usage(12, 5)) =>
  json({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1,
    model: 'gpt-4o-mini',
    choices: [{ index: 0, message, finish_reason }],
    usage,
  })

export const openaiCall = (id, name, args) => ({ id, type: 'function', function: { name, arguments: args } })

/** A stream of OpenAI's of these deltas. */
export const deltas = (list, finish, usage = [12, 5]) =>
  sse([...list.map((delta) => openai.chunk(delta)), openai.chunk({}, finish), openai.usageChunk(...usage), '[DONE]'])

/** A message of Anthropic's with these blocks. */
export const blocks = (content, stop_reason = 'end_turn', usage = { input_tokens: 12, output_tokens: 5 }) =>
  json({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-5',
    content,
    stop_reason,
    stop_sequence: null,
    usage,
  })

/** The same as a stream. */
export function blockStream(content, stop_reason = 'end_turn', usage = { input_tokens: 12, output_tokens: 5 }) {
  const start = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-5',
    content: [],
    stop_reason: null,
    usage: { ...usage, output_tokens: 1 },
  }
  return sse([
    { type: 'message_start', message: start },
    ...content.flatMap((block, index) => [
      { type: 'content_block_start', index, content_block: empty(block) },
      ...pieces(block).map((delta) => ({ type: 'content_block_delta', index, delta })),
      { type: 'content_block_stop', index },
    ]),
    {
      type: 'message_delta',
      delta: { stop_reason, stop_sequence: null },
      usage: { output_tokens: usage.output_tokens },
    },
    { type: 'message_stop' },
  ])
}

function empty(block) {
  if (block.type === 'text') return { type: 'text', text: '' }
  if (block.type === 'thinking') return { type: 'thinking', thinking: '', signature: '' }
  return block.type === 'tool_use' ? { ...block, input: {} } : block
}

function pieces(block) {
  if (block.type === 'text') return block.text.split(/(?= )/).map((text) => ({ type: 'text_delta', text }))
  if (block.type === 'tool_use') return [{ type: 'input_json_delta', partial_json: JSON.stringify(block.input) }]
  if (block.type !== 'thinking') return []
  return [
    { type: 'thinking_delta', thinking: block.thinking },
    { type: 'signature_delta', signature: block.signature },
  ]
}
