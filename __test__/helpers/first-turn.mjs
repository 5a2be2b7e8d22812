// One and the same turn as four vendors stream it: the model thinks, says a word, and wants two calls at once.
import { converseStream } from './aws-frames.mjs'
import { openai, sse } from './upstream.mjs'

/** Marks of the vendors on what was thought; they go back byte for byte. */
export const SIGNATURE = {
  anthropic: 'ErUBCkYIBBgCIkDq+c2lnbmVk/x/w==',
  bedrock: 'EqQBCkgIBBABGAIiQL2UoU0b1Ohi+ZyBqJ8Lw0xHgm/9Qw==',
  gemini: 'EqoCCqcCAb4+9vvK0Wk1Zy5uXqg7d0oJ3hT/2rL8nS4PbQ6mVxYwCz1aFeHtKuDiRjGsNpMlOoBv==',
}

/** Objects as events of a stream without names. */
export const unnamed = (events) => sse(events.map((event) => JSON.stringify(event)))

const geminiChunk = (parts, usageMetadata, finishReason) => ({
  candidates: [{ content: { parts, role: 'model' }, ...(finishReason && { finishReason }), index: 0 }],
  usageMetadata: {
    ...usageMetadata,
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: usageMetadata.promptTokenCount }],
  },
  modelVersion: 'gemini-3.8-flash',
  responseId: 'kF3xaP_7Ffa9nsEPmZ3D0Qc',
})
const thought = { promptTokenCount: 10, thoughtsTokenCount: 5, totalTokenCount: 15 }
const spoken = { promptTokenCount: 10, candidatesTokenCount: 15, thoughtsTokenCount: 5, totalTokenCount: 30 }
const half = Math.floor(SIGNATURE.bedrock.length / 2)
const delta = (contentBlockIndex, content) => ['contentBlockDelta', { contentBlockIndex, delta: content }]
const stop = (contentBlockIndex) => ['contentBlockStop', { contentBlockIndex }]
const started = (contentBlockIndex, toolUseId, name) => [
  'contentBlockStart',
  { contentBlockIndex, start: { toolUse: { toolUseId, name } } },
]

export const FIRST = {
  openai: sse([
    openai.chunk({ role: 'assistant', reasoning_content: 'Two calls.' }),
    openai.chunk({ content: 'Wait.' }),
    openai.chunk({
      tool_calls: [{ index: 1, id: 'a', type: 'function', function: { name: 'weather', arguments: '' } }],
    }),
    openai.chunk({ tool_calls: [{ index: 2, id: 'b', type: 'function', function: { name: 'clock', arguments: '' } }] }),
    openai.chunk({ tool_calls: [{ index: 1, function: { arguments: '{"place":' } }] }),
    openai.chunk({ tool_calls: [{ index: 1, function: { arguments: '"Rom"}' } }] }),
    openai.chunk({}, 'tool_calls'),
    {
      ...openai.chunk({}),
      choices: [],
      usage: { prompt_tokens: 10, completion_tokens: 20, completion_tokens_details: { reasoning_tokens: 5 } },
    },
    '[DONE]',
  ]),
  anthropic: unnamed([
    {
      type: 'message_start',
      message: { model: 'claude-sonnet-4-20250514', usage: { input_tokens: 10, output_tokens: 1 } },
    },
    { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Two ' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'calls.' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: SIGNATURE.anthropic } },
    { type: 'content_block_stop', index: 0 },
    { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
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
  ]),
  gemini: unnamed([
    geminiChunk([{ text: 'Two ', thought: true }], thought),
    geminiChunk([{ text: 'calls.', thought: true }], thought),
    geminiChunk([{ text: 'Wait.' }], spoken),
    // Of calls at once the first alone has the mark.
    geminiChunk(
      [
        { functionCall: { id: 'a', name: 'weather', args: { place: 'Rom' } }, thoughtSignature: SIGNATURE.gemini },
        { functionCall: { id: 'b', name: 'clock', args: {} } },
      ],
      spoken,
    ),
    geminiChunk([{ text: '' }], spoken, 'STOP'),
  ]),
  bedrock: converseStream(
    ['messageStart', { role: 'assistant' }],
    delta(0, { reasoningContent: { text: 'Two ' } }),
    delta(0, { reasoningContent: { text: 'calls.' } }),
    delta(0, { reasoningContent: { signature: SIGNATURE.bedrock.slice(0, half) } }),
    delta(0, { reasoningContent: { signature: SIGNATURE.bedrock.slice(half) } }),
    stop(0),
    delta(1, { text: 'Wait.' }),
    stop(1),
    started(2, 'a', 'weather'),
    delta(2, { toolUse: { input: '{"place":' } }),
    delta(2, { toolUse: { input: '"Rom"}' } }),
    stop(2),
    started(3, 'b', 'clock'),
    delta(3, { toolUse: { input: '' } }),
    stop(3),
    ['messageStop', { stopReason: 'tool_use' }],
    ['metadata', { metrics: { latencyMs: 430 }, usage: { inputTokens: 10, outputTokens: 20, totalTokens: 30 } }],
  ),
}

/** The turn after it: a few words, and the end. */
export const SECOND = {
  openai: openai.stream(['It is ', 'warm.'], { usage: [40, 6] }),
  anthropic: unnamed([
    {
      type: 'message_start',
      message: { model: 'claude-sonnet-4-20250514', usage: { input_tokens: 40, output_tokens: 1 } },
    },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'It is ' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'warm.' } },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 6 } },
    { type: 'message_stop' },
  ]),
  gemini: unnamed([
    geminiChunk([{ text: 'It is ' }], { promptTokenCount: 40, totalTokenCount: 40 }),
    geminiChunk([{ text: 'warm.' }], { promptTokenCount: 40, candidatesTokenCount: 6, totalTokenCount: 46 }, 'STOP'),
  ]),
  bedrock: converseStream(
    ['messageStart', { role: 'assistant' }],
    delta(0, { text: 'It is ' }),
    delta(0, { text: 'warm.' }),
    stop(0),
    ['messageStop', { stopReason: 'end_turn' }],
    ['metadata', { metrics: { latencyMs: 210 }, usage: { inputTokens: 40, outputTokens: 6, totalTokens: 46 } }],
  ),
}
