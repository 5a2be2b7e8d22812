'use strict'

// Generated from src/protocol.rs by scripts/generate-protocol.mjs, which the build runs. Do not edit.

// Chunks of a stream that are more than text; text alone is a plain string.
/** `[CHUNK_TEXT, delta, model]`: Text that names the model, without a `finishReason`. */
const CHUNK_TEXT = 0
/** `[CHUNK_FINISH, delta, model, finishReason]`: Text with a `finishReason`, which may be null. */
const CHUNK_FINISH = 1
/** `[CHUNK_REASONING, delta]`: Text of the model's reasoning, which only readers of `events` are given. */
const CHUNK_REASONING = 2

// Methods of custom providers.
const CHAT = 'chat'
const CHAT_STREAM = 'chatStream'
const EMBED = 'embed'
const CUSTOM_METHODS = [CHAT, CHAT_STREAM, EMBED]

// Chunks that a custom provider may be ahead of its reader before its iterator waits.
const CUSTOM_CHUNKS_AHEAD = 256

// Fields of requests that custom providers are given as the caller wrote them.
const CUSTOM_CHAT_FIELDS = [
  'tools',
  'toolChoice',
  'topP',
  'topK',
  'stop',
  'seed',
  'presencePenalty',
  'frequencyPenalty',
  'reasoningEffort',
  'responseFormat',
  'userId',
  'metadata',
  'providerOptions',
]
const CUSTOM_EMBED_FIELDS = ['dimensions', 'userId', 'metadata', 'providerOptions']

/** Gives a message to the handler of its kind. */
function dispatch(message, handlers) {
  switch (message[0]) {
    // A call has its answer. `log` is its log entry, or what the entry has beyond the answer.
    // [0, call, value, log]
    case 0:
      return handlers.answer(message[1], message[2], message[3])
    // A call has failed, at any time in its life.
    // [1, call, error, log]
    case 1:
      return handlers.failure(message[1], message[2], message[3])
    // A stream begins to answer.
    // [2, call, head]
    case 2:
      return handlers.streamOpen(message[1], message[2])
    // What a stream gave since. Plain strings in `chunks` have a `finishReason` of null, or none at all.
    // [3, call, nullFinish, chunks]
    case 3:
      return handlers.streamChunks(message[1], message[2], message[3])
    // A stream's last message.
    // [4, call, figures, error, log]
    case 4:
      return handlers.streamEnd(message[1], message[2], message[3], message[4])
    // The figures so far that a stream's reader has requested.
    // [5, call, figures]
    case 5:
      return handlers.streamUsage(message[1], message[2])
    // A provider that is an object of JavaScript is to be called.
    // [6, call, callback, provider, model, maxTokens, method]
    case 6:
      return handlers.customCall(message[1], message[2], message[3], message[4], message[5], message[6])
    // Nobody waits for a custom call any more.
    // [7, callback]
    case 7:
      return handlers.customCancel(message[1])
    // This many chunks more of a custom stream have been read.
    // [8, callback, chunks]
    case 8:
      return handlers.customResume(message[1], message[2])
    // A budget warns: a line for the console, and the same for the program.
    // [9, logger, line, warning]
    case 9:
      return handlers.budgetWarning(message[1], message[2], message[3])
    // A log entry that does not come with its call's end.
    // [10, logger, entry]
    case 10:
      return handlers.log(message[1], message[2])
    // Nothing refers any more to what a custom provider threw.
    // [11, id]
    case 11:
      return handlers.forgetThrown(message[1])
    // A line for the operator, on the console.
    // [12, line]
    case 12:
      return handlers.line(message[1])
    // A function of the program's is to give the key of an entry.
    // [13, logger, callback, entry]
    case 13:
      return handlers.keyWanted(message[1], message[2], message[3])
    default:
      return handlers.unknown(message[0])
  }
}

/** The log entry of a success: `log` is what the answer has not, which therefore crosses only once. */
function logEntryOf(answer, log) {
  const entry = {
    timestamp: log.timestamp,
    requestId: answer.requestId,
    provider: answer.provider,
    model: answer.model,
    routeRule: log.routeRule,
    feature: log.feature,
    userTier: log.userTier,
    success: log.success,
    inputTokens: answer.inputTokens,
    outputTokens: answer.outputTokens,
    totalTokens: answer.totalTokens,
    estimatedCostUsd: answer.estimatedCostUsd,
    latencyMs: answer.latencyMs,
    fallbackTriggered: answer.fallbackTriggered,
    fallbackFrom: answer.fallbackFrom,
  }
  if (answer.cacheReadTokens !== undefined) entry.cacheReadTokens = answer.cacheReadTokens
  if (answer.cacheWriteTokens !== undefined) entry.cacheWriteTokens = answer.cacheWriteTokens
  if (answer.usageSource !== undefined) entry.usageSource = answer.usageSource
  if (answer.cached !== undefined) entry.cached = answer.cached
  if (answer.degraded !== undefined) entry.degraded = answer.degraded
  if (answer.attempts !== undefined) entry.attempts = answer.attempts
  if (log.userId !== undefined) entry.userId = log.userId
  if (log.metadata !== undefined) entry.metadata = log.metadata
  if (log.savedUsd !== undefined) entry.savedUsd = log.savedUsd
  return entry
}

module.exports = {
  CHAT,
  CHAT_STREAM,
  CHUNK_FINISH,
  CHUNK_REASONING,
  CHUNK_TEXT,
  CUSTOM_CHAT_FIELDS,
  CUSTOM_CHUNKS_AHEAD,
  CUSTOM_EMBED_FIELDS,
  CUSTOM_METHODS,
  EMBED,
  dispatch,
  logEntryOf,
}
