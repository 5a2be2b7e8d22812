'use strict'

// The gateway's answer in the SDK's words.

/** Why the model stopped, where the SDK has another word for it than the gateway. */
const REASONS = { tool_calls: 'tool-calls', content_filter: 'content-filter' }
const SAME = new Set(['stop', 'length', 'error'])

/** What metadata tell of an answer. */
const FACTS = [
  'provider',
  'model',
  'requestId',
  'estimatedCostUsd',
  'latencyMs',
  'fallbackTriggered',
  'fallbackFrom',
  'attempts',
  'cached',
  'degraded',
  'usageSource',
  'reasoningDetails',
  'warnings',
]

// An answer that does not say why it ended has simply ended.
function toFinishReason(word) {
  const known = word ?? 'stop'
  return { unified: SAME.has(known) ? known : (REASONS[known] ?? 'other'), raw: word ?? undefined }
}

function toUsage({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens }) {
  return {
    inputTokens: {
      total: inputTokens,
      noCache: inputTokens - (cacheReadTokens ?? 0) - (cacheWriteTokens ?? 0),
      cacheRead: cacheReadTokens,
      cacheWrite: cacheWriteTokens,
    },
    outputTokens: { total: outputTokens, text: outputTokens - (reasoningTokens ?? 0), reasoning: reasoningTokens },
  }
}

function toMetadata(answer) {
  const facts = FACTS.filter((field) => answer[field] !== undefined).map((field) => [field, answer[field]])
  return { gateway: Object.fromEntries(facts) }
}

/** The settings that the provider left out or changed, as warnings of the SDK. */
function toWarnings({ warnings = [] }) {
  return warnings.map(({ field, reason, provider }) => ({
    type: 'unsupported',
    feature: field,
    details: `${provider}: ${reason}`,
  }))
}

/** The `providerMetadata` of a part that carries marks of the vendor's; nothing where there are none. */
function carrying({ reasoningDetails, signature }) {
  const gateway = {}
  if (reasoningDetails?.length > 0) gateway.reasoningDetails = reasoningDetails
  if (signature !== undefined) gateway.signature = signature
  return Object.keys(gateway).length > 0 ? { providerMetadata: { gateway } } : {}
}

/** A call of a tool; `reasoningDetails` are put on it where no other part has them. */
function toToolCall({ id, name, arguments: input, rawArguments, signature }, reasoningDetails) {
  return {
    type: 'tool-call',
    toolCallId: id,
    toolName: name,
    input: rawArguments ?? JSON.stringify(input),
    ...carrying({ signature, reasoningDetails }),
  }
}

/** The parts of a whole answer. */
function toContent({ content, reasoning = '', reasoningDetails, toolCalls = [] }) {
  const parts = []
  if (reasoning !== '' || reasoningDetails?.length > 0) {
    parts.push({ type: 'reasoning', text: reasoning, ...carrying({ reasoningDetails }) })
  }
  if (content !== '') parts.push({ type: 'text', text: content })
  return [...parts, ...toolCalls.map((call) => toToolCall(call))]
}

module.exports = { carrying, toContent, toFinishReason, toMetadata, toToolCall, toUsage, toWarnings }
