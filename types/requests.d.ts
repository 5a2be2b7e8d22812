/** What a caller asks, and what comes back. */

import type { GatewaySettings, RouteMatch } from './config.js'
import type { GatewayError } from './errors.js'
import type { ChatMessage, RichMessage } from './messages.js'

/** What a caller asks. `null` counts as unset. */
export interface GatewayRequest extends GenerationOptions {
  messages: ChatMessage[]
  /** In place of the model of the rule that matches. */
  model?: string
  /** Matched against {@link RouteMatch.taskType}. */
  taskType?: string
  /** Matched against {@link RouteMatch.feature}; the key of budgets of scope `feature`. */
  feature?: string
  /** Matched against {@link RouteMatch.userTier}; the key of budgets of scope `user`. */
  userTier?: string
  /** Without effect: `chat` answers whole, `chatStream` streams. */
  stream?: boolean
  /** Upper bound of the answer, in tokens. Default: the provider's own; 4,096 for Anthropic, which requires one. */
  maxTokens?: number
  /** Default: the provider's own. */
  temperature?: number
  /**
   * Cancels the call: it rejects with `signal.reason`, by default a `DOMException` named `AbortError`. The upstream
   * request is closed at once; a signal that has already fired sends nothing. The usage log says `ABORTED`.
   */
  signal?: AbortSignal
  /** Matched against {@link RouteMatch.sensitivity}. */
  sensitivity?: 'low' | 'medium' | 'high' | (string & {})
  /** Milliseconds for the whole call, retries and fallbacks included. Default: no bound but the providers' own. */
  timeoutMs?: number
  /**
   * `true`: an answer that is kept for an identical call is taken, and this one is kept; `false`: neither, and the call is
   * not shared. `ttlMs`: milliseconds that this answer is kept. Default: as {@link GatewaySettings.cache} says.
   */
  cache?: boolean | { ttlMs?: number }
}

/** What is asked of the model beside the messages; providers of your own see it as the caller wrote it. */
export interface GenerationOptions {
  /** Functions that the model may call. */
  tools?: Tool[]
  /** `required`: some tool; `{name}`: this one. Default: `auto`. */
  toolChoice?: 'auto' | 'none' | 'required' | { name: string }
  /**
   * The form of the answer's text. Where a provider has no field for it (Anthropic, Bedrock), the model is asked in words,
   * and an answer that is not JSON is a `provider_response` error. Default: `text`.
   */
  responseFormat?: ResponseFormat
  /** Nucleus sampling, 0 to 1. */
  topP?: number
  /** Texts at which the model stops. */
  stop?: string | string[]
  /** Makes sampling repeatable, where the provider can. */
  seed?: number
  presencePenalty?: number
  frequencyPenalty?: number
  /** How much a reasoning model is to think. For Anthropic: a budget of 1,024, 4,096 or 16,384 tokens. */
  reasoningEffort?: 'none' | 'minimal' | 'low' | 'medium' | 'high' | (string & {})
  /** The caller's user; providers are told it. */
  userId?: string
  /** Notes of the caller's own. Sent to Amazon Bedrock and OpenAI's Responses API, which keep such notes; to nobody else. */
  metadata?: Record<string, unknown>
  /** Fields for the wire body as they are, by family: `{openai: {logprobs: true}}`. They have the last word. */
  providerOptions?: Record<string, Record<string, unknown>>
}

/** A function that a model may call. */
export interface Tool {
  name: string
  description?: string
  /** JSON Schema of the arguments: an object. */
  parameters: Record<string, unknown>
  /** The arguments must follow the schema to the letter, where the provider can see to it. */
  strict?: boolean
}

export type ResponseFormat =
  | 'text'
  | 'json'
  | {
      jsonSchema: Record<string, unknown>
      /** Default: `answer`. */
      name?: string
      strict?: boolean
    }

/** A call of a tool. It goes back in the assistant message that the tool's result answers. */
export interface ToolCall {
  id: string
  name: string
  /** `{}` where the model wrote no JSON object: see `rawArguments`. */
  arguments: Record<string, unknown>
  /** The model's own text, where it is no JSON object. */
  rawArguments?: string
  /** The vendor's mark on the call; goes back unchanged. */
  signature?: string
}

/** A {@link GatewayRequest} whose messages may have any form in {@link RichMessage}. */
export interface RichGatewayRequest extends Omit<GatewayRequest, 'messages'> {
  messages: RichMessage[]
}

/** Present where the provider gave no token counts and the gateway counted the text itself. */
export type UsageSource = 'estimated'

/** The answer to one call. */
export interface GatewayResponse {
  /** UUID v4; the same in the usage log's entry of this call. */
  requestId: string
  /** The provider that answered. */
  provider: string
  /** The model as the upstream reports it. */
  model: string
  /** The answer's text; empty when there is none. */
  content: string
  /** Tokens of the prompt, cache reads and writes included. */
  inputTokens: number
  /** Tokens of the answer, reasoning included. */
  outputTokens: number
  /** Usually `inputTokens + outputTokens`. */
  totalTokens: number
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd: number
  /** Whole milliseconds from the call's start to its end, retries and fallbacks included. */
  latencyMs: number
  /** Whether another than the first provider answered. */
  fallbackTriggered: boolean
  /** Name of the first provider tried, when a fallback answered. */
  fallbackFrom?: string
  /** Why the model stopped, in the same words for every family; `tool_calls` whenever there is a call. */
  finishReason?: 'stop' | 'length' | 'tool_calls' | 'content_filter' | (string & {})
  /** The calls of tools that the model wants. */
  toolCalls?: ToolCall[]
  /** Text of the model's reasoning. */
  reasoning?: string
  /** The reasoning in its vendor's own blocks; goes back unchanged as `reasoningDetails` of the assistant message. */
  reasoningDetails?: Record<string, unknown>[]
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. */
  cacheReadTokens?: number
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. */
  cacheWriteTokens?: number
  /** Tokens of reasoning; part of `outputTokens`. */
  reasoningTokens?: number
  /** Absent when the provider reported the counts. */
  usageSource?: UsageSource
  /** Present where the answer is another call's, from the cache or shared: no tokens were used, and nothing is to be paid. */
  cached?: true
  /** Present where nobody answered, and this is the chain's `degradedReply`. */
  degraded?: true
  /** Each attempt, in order, where there was more than one; the last one answered. */
  attempts?: CallAttempt[]
}

/** One attempt of a call. */
export interface CallAttempt {
  provider: string
  /** The model that was asked for. */
  model: string
  /** Absent where it answered. */
  errorCode?: string
  /** Whole milliseconds; of a stream, to its first content. */
  latencyMs: number
}

/** One piece of a streamed answer. */
export interface GatewayStreamChunk {
  requestId: string
  /** The provider that answers. */
  provider: string
  /** The text that is new; may be empty. */
  delta: string
  model?: string
  /** The upstream's own word for why the answer ended. */
  finishReason?: string | null
}

/** A streamed answer, once its first content is there. */
export interface GatewayStreamResponse {
  requestId: string
  /**
   * Can be read once. Leaving it early (`break`, `return()`) closes the upstream request at once and bills what has
   * come so far. A failure throws a {@link GatewayError}; an aborted signal throws `signal.reason`.
   */
  stream: AsyncIterable<GatewayStreamChunk>
  /** The figures of the whole answer or, before the stream has ended, those so far. Writes no usage log of its own. */
  getUsageSummary: () => Promise<GatewayResponse>
}

/** What `chatStream` resolves to. Only one of `stream`, `events` and `toReadableStream()` is consumed. */
export interface GatewayEventStreamResponse extends GatewayStreamResponse {
  /** The answer as typed events: text and reasoning as they come, then each call of a tool, last one `done`. */
  readonly events: AsyncIterableIterator<GatewayStreamEvent>
  /** The same events as a web stream. */
  toReadableStream(): ReadableStream<GatewayStreamEvent>
}

export type GatewayStreamEvent =
  | { type: 'text'; delta: string }
  | { type: 'reasoning'; delta: string }
  | {
      type: 'tool_use'
      id: string
      name: string
      input: Record<string, unknown>
      /** The model's own text, where it is no JSON object. */
      rawInput?: string
      /** The vendor's mark on the call; goes back unchanged. */
      signature?: string
    }
  | { type: 'done'; usage: StreamUsage; finishReason: string }

/** Counts of a whole answer, as in {@link GatewayResponse}. */
export interface StreamUsage {
  inputTokens: number
  outputTokens: number
  totalTokens: number
  cacheReadTokens?: number
  cacheWriteTokens?: number
  reasoningTokens?: number
  /** US dollars. */
  estimatedCostUsd: number
}
