// What the upstreams answer, as JSON text: made in advance, the same over TCP and over TLS.
import { ANSWER_CHARS, CHUNK_CHARS } from './scenarios.mjs'

const about = (object) => ({
  id: 'chatcmpl-B0aXk3mQ7vN2pR9sT4uW6yZ8cD1eF',
  object,
  created: 1735689600,
  model: 'gpt-4o-mini-2024-07-18',
  service_tier: 'default',
  system_fingerprint: 'fp_0a1b2c3d4e',
})
const usage = (tokens) => ({
  prompt_tokens: 101,
  completion_tokens: tokens,
  total_tokens: 101 + tokens,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
})
const prose = 'A gateway takes each request, picks a provider by its rules and counts what it costs. '
const text = prose.repeat(Math.ceil(ANSWER_CHARS / prose.length)).slice(0, ANSWER_CHARS)

const part = (choices, tokens = null) =>
  JSON.stringify({ ...about('chat.completion.chunk'), choices, usage: tokens && usage(tokens) })
const choice = (delta, finish_reason = null) => [{ index: 0, delta, logprobs: null, finish_reason }]
const message = { role: 'assistant', content: text, refusal: null, annotations: [] }
const choices = [{ index: 0, message, logprobs: null, finish_reason: 'stop' }]

/** A whole answer. */
export const answer = JSON.stringify({ ...about('chat.completion'), choices, usage: usage(128) })
/** The data of a stream's events. */
export const opening = part(choice({ role: 'assistant', content: '', refusal: null }))
export const chunk = part(choice({ content: text.slice(0, CHUNK_CHARS) }))
export const closing = (chunks) => [part(choice({}, 'stop')), part([], chunks), '[DONE]']
