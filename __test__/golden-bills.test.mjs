// What calls cost, worked out by hand: tokens and dollars of each vendor's real usage, whole and streamed.
import { expect, test } from 'vitest'
import { registerModelPricing } from '../index.mjs'
import { ask, collect, gatewayOf, provider } from './helpers/config.mjs'
import { unnamed } from './helpers/first-turn.mjs'
import { openai, sse, upstream } from './helpers/upstream.mjs'

// Dollars per million tokens:
//
// | vendor    | model                    | input | cache read | write, 5 min | write, 1 h | output |
// |-----------|--------------------------|-------|------------|--------------|------------|--------|
// | openai    | o3-mini                  |  1.10 |       0.55 |     as input |          – |   4.40 |
// | anthropic | claude-sonnet-4-20250514 |  3.00 |       0.30 |         3.75 |       6.00 |  15.00 |
// | gemini    | gemini-2.5-flash         |  0.30 |       0.03 |     as input |          – |   2.50 |
// | deepseek  | deepseek-chat            |  0.27 |       0.07 |     as input |          – |   1.10 |
const MODELS = {
  openai: 'o3-mini',
  anthropic: 'claude-sonnet-4-20250514',
  gemini: 'gemini-2.5-flash',
  deepseek: 'deepseek-chat',
}
// The catalogue's price of this one changes with the time of day; cached tokens are 7/27 of it at any time.
registerModelPricing('deepseek-chat', { inputPer1kTokens: 0.00027, outputPer1kTokens: 0.0011 })

const o3 = (prompt, completion, cached = 0, reasoning = 0) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: reasoning,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
})
const claude = (input, output, { read = 0, short = 0, hour = 0, thinking } = {}) => ({
  input_tokens: input,
  cache_creation_input_tokens: short + hour,
  cache_read_input_tokens: read,
  cache_creation: { ephemeral_5m_input_tokens: short, ephemeral_1h_input_tokens: hour },
  output_tokens: output,
  ...(thinking && { output_tokens_details: { thinking_tokens: thinking } }),
  service_tier: 'standard',
})
const gemini = (prompt, candidates, { cached, thoughts } = {}) => ({
  promptTokenCount: prompt,
  candidatesTokenCount: candidates,
  totalTokenCount: prompt + candidates + (thoughts ?? 0),
  ...(cached && { cachedContentTokenCount: cached, cacheTokensDetails: [{ modality: 'TEXT', tokenCount: cached }] }),
  promptTokensDetails: [{ modality: 'TEXT', tokenCount: prompt }],
  ...(thoughts && { thoughtsTokenCount: thoughts }),
})
const deepseek = (prompt, completion, hit = 0, reasoning) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: hit },
  ...(reasoning && { completion_tokens_details: { reasoning_tokens: reasoning } }),
  prompt_cache_hit_tokens: hit,
  prompt_cache_miss_tokens: prompt - hit,
})

// OpenAI, Gemini and DeepSeek neither tell nor bill what they write to their caches: it is plain input.
const BILLS = [
  // [vendor, what, its usage, input, output, {read, write, reasoning}, dollars]
  ['openai', 'uncached', o3(1200, 300), 1200, 300, {}, 0.00264], //                       1200×1.1 + 300×4.4
  ['openai', 'cache write', o3(2048, 100), 2048, 100, {}, 0.0026928], //                  2048×1.1 + 100×4.4
  ['openai', 'cache read', o3(2006, 300, 1920), 2006, 300, { read: 1920 }, 0.0024706], // 86×1.1 + 1920×0.55 + 300×4.4
  ['openai', 'reasoning', o3(75, 1186, 0, 1024), 75, 1186, { reasoning: 1024 }, 0.0053009], // 75×1.1 + 1186×4.4

  // Anthropic's input_tokens leaves cached ones out.
  ['anthropic', 'uncached', claude(1200, 300), 1200, 300, {}, 0.0081], //                 1200×3 + 300×15
  // 21×3 + 188086×3.75 + 393×15
  ['anthropic', 'cache write', claude(21, 393, { short: 188_086 }), 188_107, 393, { write: 188_086 }, 0.7112805],
  // 10×3 + 1000×6 + 200×15
  ['anthropic', 'cache write for an hour', claude(10, 200, { hour: 1000 }), 1010, 200, { write: 1000 }, 0.00903],
  // 10×3 + 500×3.75 + 1000×6 + 200×15
  [
    'anthropic',
    'cache writes of both kinds',
    claude(10, 200, { short: 500, hour: 1000 }),
    1510,
    200,
    { write: 1500 },
    0.010905,
  ],
  // 21×3 + 188086×0.3 + 393×15
  ['anthropic', 'cache read', claude(21, 393, { read: 188_086 }), 188_107, 393, { read: 188_086 }, 0.0623838],
  // 50×3 + 2000×0.3 + 300×3.75 + 100×15
  [
    'anthropic',
    'cache read and write',
    claude(50, 100, { read: 2000, short: 300 }),
    2350,
    100,
    { read: 2000, write: 300 },
    0.003375,
  ],
  ['anthropic', 'reasoning', claude(60, 900, { thinking: 640 }), 60, 900, { reasoning: 640 }, 0.01368], // 60×3 + 900×15

  ['gemini', 'uncached', gemini(1200, 300), 1200, 300, {}, 0.00111], //                   1200×0.3 + 300×2.5
  ['gemini', 'cache write', gemini(4096, 20), 4096, 20, {}, 0.0012788], //                4096×0.3 + 20×2.5
  ['gemini', 'cache read', gemini(5209, 2, { cached: 4082 }), 5209, 2, { read: 4082 }, 0.00046556], // 1127×0.3 + 4082×0.03 + 2×2.5
  // Thoughts come beside the answer's tokens: 10×0.3 + (40 + 600)×2.5
  ['gemini', 'reasoning', gemini(10, 40, { thoughts: 600 }), 10, 640, { reasoning: 600 }, 0.001603],

  ['deepseek', 'uncached', deepseek(1200, 300), 1200, 300, {}, 0.000654], //              1200×0.27 + 300×1.1
  ['deepseek', 'cache write', deepseek(2048, 100), 2048, 100, {}, 0.00066296], //         2048×0.27 + 100×1.1
  ['deepseek', 'cache read', deepseek(2006, 300, 1920), 2006, 300, { read: 1920 }, 0.00048762], // 86×0.27 + 1920×0.07 + 300×1.1
  ['deepseek', 'reasoning', deepseek(75, 1186, 0, 1024), 75, 1186, { reasoning: 1024 }, 0.00132485], // 75×0.27 + 1186×1.1
]

const chunk = (model, delta, finish) => openai.chunk(delta, finish, model)
const openaiLike = (family) => ({
  whole: (usage) => {
    const message = { role: 'assistant', content: 'Hello', refusal: null, annotations: [] }
    return {
      body: {
        ...openai.answer('', { model: MODELS[family] }).body,
        choices: [{ index: 0, message, finish_reason: 'stop' }],
        usage,
      },
    }
  },
  streamed: (usage) => {
    const model = MODELS[family]
    const texts = ['Hel', 'lo'].map((content) => chunk(model, { content }))
    const last = chunk(model, {}, 'stop')
    // OpenAI counts in a chunk of its own, DeepSeek in the one that ends the answer.
    const end = family === 'openai' ? [last, { ...last, choices: [], usage }] : [{ ...last, usage }]
    return sse([chunk(model, { role: 'assistant', content: '' }), ...texts, ...end, '[DONE]'])
  },
})
const FORMS = {
  openai: openaiLike('openai'),
  deepseek: openaiLike('deepseek'),
  anthropic: {
    whole: (usage) => ({
      body: {
        id: 'msg_013Zva2CMHLNnXjNJJKqJ2EF',
        type: 'message',
        role: 'assistant',
        model: MODELS.anthropic,
        content: [{ type: 'text', text: 'Hello' }],
        stop_reason: 'end_turn',
        stop_sequence: null,
        usage,
      },
    }),
    // The start has the input's counts and a first token; the end has the output's.
    streamed: ({ output_tokens, output_tokens_details, ...input }) =>
      sse([
        {
          type: 'message_start',
          message: {
            id: 'msg_1',
            type: 'message',
            role: 'assistant',
            model: MODELS.anthropic,
            content: [],
            stop_reason: null,
            usage: { ...input, output_tokens: 1 },
          },
        },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hel' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'lo' } },
        { type: 'content_block_stop', index: 0 },
        {
          type: 'message_delta',
          delta: { stop_reason: 'end_turn', stop_sequence: null },
          usage: { output_tokens, ...(output_tokens_details && { output_tokens_details }) },
        },
        { type: 'message_stop' },
      ]),
  },
  gemini: {
    whole: (usageMetadata) => ({ body: geminiAnswer('Hello', usageMetadata, 'STOP') }),
    // Each chunk has the counts so far; the last one's are those of the answer.
    streamed: (usageMetadata) =>
      unnamed([
        geminiAnswer('Hel', {
          promptTokenCount: usageMetadata.promptTokenCount,
          candidatesTokenCount: 1,
          totalTokenCount: usageMetadata.promptTokenCount + 1,
        }),
        geminiAnswer('lo', usageMetadata, 'STOP'),
      ]),
  },
}
function geminiAnswer(text, usageMetadata, finishReason) {
  const candidate = { content: { parts: [{ text }], role: 'model' }, ...(finishReason && { finishReason }), index: 0 }
  return { candidates: [candidate], usageMetadata, modelVersion: MODELS.gemini, responseId: 'hV3xaJ6KLZ-BkdUPqcXU4AU' }
}

/** The figures of an answer, a `done` event or an entry of the log. */
const figures = ({ inputTokens, outputTokens, totalTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens }) => ({
  inputTokens,
  outputTokens,
  totalTokens,
  cacheReadTokens,
  cacheWriteTokens,
  reasoningTokens,
})

test.each(BILLS)('%s, %s', async (family, _, usage, input, output, { read, write, reasoning }, dollars) => {
  const up = await upstream(FORMS[family].whole(usage), FORMS[family].streamed(usage))
  const { gateway, logs } = gatewayOf({
    providers: [provider('main', up.url, { provider: family, models: [MODELS[family]] })],
  })
  const whole = await gateway.chat(ask())
  const { events, getUsageSummary } = await gateway.chatStream(ask())
  const done = (await collect(events)).at(-1)
  const streamed = await getUsageSummary()

  const expected = {
    inputTokens: input,
    outputTokens: output,
    totalTokens: input + output,
    cacheReadTokens: read,
    cacheWriteTokens: write,
    reasoningTokens: reasoning,
  }
  for (const told of [whole, streamed, done.usage]) {
    expect(figures(told)).toEqual(expected)
    expect(Math.abs(told.estimatedCostUsd - dollars)).toBeLessThan(1e-9)
  }
  for (const answer of [whole, streamed]) {
    expect(answer).toMatchObject({ content: 'Hello', model: MODELS[family], finishReason: 'stop' })
    expect(answer).not.toHaveProperty('usageSource')
  }
  // The log says the same of both. It does not tell reasoning apart.
  expect(logs).toHaveLength(2)
  for (const log of logs) {
    expect(figures(log)).toEqual({ ...expected, reasoningTokens: undefined })
    expect(log.estimatedCostUsd).toBe(whole.estimatedCostUsd)
    expect(log).toMatchObject({ success: true, model: MODELS[family] })
  }
  expect(streamed.estimatedCostUsd).toBe(whole.estimatedCostUsd)
})
