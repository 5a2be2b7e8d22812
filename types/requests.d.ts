/** Requests and answers. */

import type { CacheSettings, FallbackChain, GatewaySettings, RouteMatch } from './config.js'
import type { GatewayError } from './errors.js'
import type { ProviderFamily } from './families.js'
import type { Gateway } from './gateway.js'
import type { AssistantMessage, ChatMessage, RichMessage } from './messages.js'

/** A request. `null` counts as not set; fields that are not set are not sent to the provider. */
export interface GatewayRequest extends GenerationOptions {
  /** The conversation so far, at least one message. {@link RichGatewayRequest} also takes parts, tool calls and results. */
  messages: ChatMessage[]
  /** Model to ask for. Default: that of the rule's target, then the provider's default. */
  model?: string
  /** Compared with {@link RouteMatch.taskType}. Default: none. */
  taskType?: string
  /** Compared with {@link RouteMatch.feature}; the key of budgets with scope `feature`. Default: none. */
  feature?: string
  /** Compared with {@link RouteMatch.userTier}; the key of budgets with scope `user`. Default: none. */
  userTier?: string
  /** No effect: `chat` gives a whole answer and `chatStream` a stream. Default: none. */
  stream?: boolean
  /** Most output tokens, a whole number of 1 or more. Default: the provider's own; 4,096 for Anthropic, which requires one. */
  maxTokens?: number
  /** Randomness of the answer, usually 0 to 1 or 2. Default: the provider's own. */
  temperature?: number
  /**
   * Cancels the call: it rejects with `signal.reason`, by default a `DOMException` named `AbortError`. The upstream request is
   * closed at once, and a signal that has already fired sends nothing. The usage log says `ABORTED`. Default: none.
   */
  signal?: AbortSignal
  /** Compared with {@link RouteMatch.sensitivity}. Default: none. */
  sensitivity?: 'low' | 'medium' | 'high' | (string & {})
  /**
   * Milliseconds for the whole call, retries and fallbacks included, 1 or more; then `provider_timeout`. Default: no limit
   * beyond those of rule and providers.
   */
  timeoutMs?: number
  /**
   * `true`, or an object: take a cached answer to an identical call if there is one, else cache this one. `false`: neither, and
   * do not share this call (see {@link GatewaySettings.dedupe}). Default: {@link CacheSettings.enabled}.
   */
  cache?: boolean | CacheOptions
}

/** The `cache` of a request that sets how long its answer is kept. */
export interface CacheOptions {
  /** Milliseconds that this answer is cached, 1 or more. Default: {@link CacheSettings.ttlMs}. */
  ttlMs?: number
}

/**
 * What a request asks of the model, besides the messages. Settings that the answering provider does not have are left out, and
 * reported in {@link GatewayResponse.warnings}. Providers of your own receive these fields as you wrote them.
 */
export interface GenerationOptions {
  /** Functions that the model may call. Default: none. */
  tools?: Tool[]
  /** `auto`: the model decides; `none`: no tool; `required`: at least one; `{name}`: this one. Default: `auto`. */
  toolChoice?: 'auto' | 'none' | 'required' | NamedToolChoice
  /**
   * Format of the answer's text. Models without a field for it (older Claudes, most on Bedrock) are asked in the system text, and
   * an answer that is not JSON is a `provider_response` error. Default: `text`.
   */
  responseFormat?: ResponseFormat
  /** Nucleus sampling: only the most likely tokens with this total probability, 0 to 1. Default: the provider's own. */
  topP?: number
  /**
   * Top-k sampling: only the K most likely tokens, a whole number of 1 or more. For `anthropic`, `gemini`, Anthropic and Nova
   * models on `bedrock`, `workers-ai`, and OpenAI-like services that have it (`vllm`, `openrouter`, `together`, `fireworks`,
   * `qwen`, …). Default: the provider's own.
   */
  topK?: number
  /** Texts at which the model stops. Default: none. */
  stop?: string | string[]
  /** A whole number that makes sampling repeatable, as far as the provider can. Default: none. */
  seed?: number
  /** Penalty for tokens that have occurred at all, usually -2 to 2. Default: the provider's own. */
  presencePenalty?: number
  /** Penalty for tokens by how often they have occurred, usually -2 to 2. Default: the provider's own. */
  frequencyPenalty?: number
  /**
   * How much a reasoning model thinks. For Anthropic models with a thinking budget, `low`, `medium` and `high` are 1,024, 4,096
   * and 16,384 tokens. Default: the provider's own.
   */
  reasoningEffort?: 'none' | 'minimal' | 'low' | 'medium' | 'high' | (string & {})
  /**
   * Id of your user. Limits per user count it, the cache keeps users apart by it, and `consistent_hash` picks by it. Vendors
   * see it where their entry says `sendUserId`. Default: none.
   */
  userId?: string
  /** Notes of your own. Sent to Amazon Bedrock and OpenAI's Responses API, which store such notes, and to no other. Default: none. */
  metadata?: Record<string, unknown>
  /** As {@link GatewayRequest.maxTokens}, in OpenAI's words. Default: none. */
  max_tokens?: number
  /** As {@link GatewayRequest.maxTokens}, in OpenAI's words. Default: none. */
  max_completion_tokens?: number
  /** As {@link GatewayRequest.topP}, in OpenAI's words. Default: none. */
  top_p?: number
  /** As {@link GatewayRequest.presencePenalty}, in OpenAI's words. Default: none. */
  presence_penalty?: number
  /** As {@link GatewayRequest.frequencyPenalty}, in OpenAI's words. Default: none. */
  frequency_penalty?: number
  /** As {@link GatewayRequest.reasoningEffort}, in OpenAI's words. Default: none. */
  reasoning_effort?: string
  /** As {@link GatewayRequest.toolChoice}, in OpenAI's words and form. Default: none. */
  tool_choice?: 'auto' | 'none' | 'required' | OpenAIToolChoice
  /** As {@link GatewayRequest.responseFormat}, in OpenAI's words and form. Default: none. */
  response_format?: OpenAIResponseFormat
  /**
   * Extra fields for the body sent to a provider, by family: `{openai: {logprobs: true}}`. They override all others. Default:
   * none. Not to be confused with the `options` of a provider entry.
   */
  providerOptions?: ProviderOptionsByFamily
}

/** The tool that must be called, in OpenAI's form. */
export interface OpenAIToolChoice {
  /** The kind of tool. */
  type: 'function'
  /** The tool. */
  function: {
    /** Its name. */
    name: string
  }
}

/** The format of the answer's text, in OpenAI's form. */
export interface OpenAIResponseFormat {
  /** Text, JSON of any form, or JSON that follows `json_schema`. */
  type: 'text' | 'json_object' | 'json_schema'
  /** The schema; required for the type `json_schema`. Default: none. */
  json_schema?: {
    /** A name for it. Default: `answer`. */
    name?: string
    /** JSON Schema of the answer. */
    schema: Record<string, unknown>
    /** As {@link JsonSchemaFormat.strict}. Default: the provider's own. */
    strict?: boolean | null
  }
}

/** Extra fields for the body sent to a provider, by family. */
export type ProviderOptionsByFamily = { [Family in ProviderFamily]?: Record<string, unknown> } & Record<
  string,
  Record<string, unknown>
>

/** A function that a model may call. */
export interface Tool {
  /** Name of the function; different for each tool of a request. */
  name: string
  /** What it does, for the model. Default: none. */
  description?: string
  /** JSON Schema of its arguments, an object. */
  parameters: Record<string, unknown>
  /** `true`: the arguments must follow the schema exactly, where the provider supports it. Default: the provider's own. */
  strict?: boolean
}

/** Tells the model which tool to call. */
export interface NamedToolChoice {
  /** Name of one of the request's tools. */
  name: string
}

/** JSON that follows a schema, as the format of an answer. */
export interface JsonSchemaFormat {
  /** JSON Schema of the answer, an object. */
  jsonSchema: Record<string, unknown>
  /** Name of the schema, for providers that want one. Default: `answer`. */
  name?: string
  /** `true`: the answer must follow the schema exactly, where the provider supports it. Default: the provider's own. */
  strict?: boolean
}

/** Format of an answer's text: anything, any JSON object, or JSON that follows a schema. */
export type ResponseFormat = 'text' | 'json' | JsonSchemaFormat

/** A tool call by the model. Give it back in the assistant message that precedes the tool's result. */
export interface ToolCall {
  /** Id of the call, which the tool's message refers to as `toolCallId`. */
  id: string
  /** Name of the tool. */
  name: string
  /** The arguments; `{}` if the model wrote no JSON object (see `rawArguments`). Numbers are JavaScript's. */
  arguments: Record<string, unknown>
  /** The model's own text, if it is not a JSON object. */
  rawArguments?: string
  /** The vendor's signature of the call (Gemini); give it back unchanged. Absent for other vendors. */
  signature?: string
}

/**
 * A {@link GatewayRequest} whose messages may have any form in {@link RichMessage}. It is a type of its own because code
 * written against ai-gateway-lite's `GatewayRequest`, which reads `content` as a string, must keep compiling.
 */
export interface RichGatewayRequest extends Omit<GatewayRequest, 'messages'> {
  /** The conversation so far, at least one message. */
  messages: RichMessage[]
}

/** `estimated`: the provider gave no token counts (or its stream broke off), and the gateway counted the text itself. */
export type UsageSource = 'estimated'

/** Why a model stopped, in the same words for every family; other reasons keep the vendor's word. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'error' | (string & {})

/** A setting of the request that the answering provider did not receive as you wrote it. */
export interface GatewayWarning {
  /** Path of the request's field: `topK`, `tools[0].strict`, … */
  field: string
  /** What was done instead, and why; a sentence for people. */
  reason: string
  /** Name of the provider that answered. */
  provider: string
}

/** The answer to one call. */
export interface GatewayResponse {
  /** UUID v4; the same id as in the usage log. */
  requestId: string
  /** Name of the provider that answered. */
  provider: string
  /** The model as the provider reports it. */
  model: string
  /** Text of the answer; empty if there is none. */
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
  /** Whether another provider than the first answered. */
  fallbackTriggered: boolean
  /** Name of the first provider tried; absent unless a fallback answered. */
  fallbackFrom?: string
  /** Why the model stopped; `tool_calls` whenever it calls tools. Absent if the provider does not say. */
  finishReason?: FinishReason
  /** The model's tool calls; absent if there are none. */
  toolCalls?: ToolCall[]
  /** Settings that were left out or changed for this provider; absent if there are none. */
  warnings?: GatewayWarning[]
  /** Text of the model's reasoning; absent if there is none. */
  reasoning?: string
  /** The reasoning in the vendor's own blocks, to be given back as {@link AssistantMessage.reasoningDetails}; absent if there is none. */
  reasoningDetails?: Record<string, unknown>[]
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. Absent if the provider reports none. */
  cacheReadTokens?: number
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. Absent if the provider reports none. */
  cacheWriteTokens?: number
  /** Tokens of reasoning; part of `outputTokens`. Absent if the provider reports none. */
  reasoningTokens?: number
  /** `estimated` if the gateway counted the tokens; absent if the provider reported them. */
  usageSource?: UsageSource
  /** Present if the answer came from the cache, or was shared with an identical call: it has no tokens and no cost. */
  cached?: true
  /** Present if all steps failed, and this is the {@link FallbackChain.degradedReply}. */
  degraded?: true
  /** All attempts in order, if there was more than one; the last one answered. */
  attempts?: CallAttempt[]
}

/** One attempt of a call. */
export interface CallAttempt {
  /** Name of the provider that was asked. */
  provider: string
  /** The model that was asked for. */
  model: string
  /** `code` of the error; absent if the attempt was answered. */
  errorCode?: string
  /** Whole milliseconds; for a stream, until its first content. */
  latencyMs: number
}

/** One chunk of a streamed answer. */
export interface GatewayStreamChunk {
  /** UUID v4; the same in all chunks, and in the usage log. */
  requestId: string
  /** Name of the provider that answers. */
  provider: string
  /** New text; may be empty. */
  delta: string
  /** The model as the provider reports it. */
  model?: string
  /** The provider's own word for why the answer ended; `null` or absent before the end. */
  finishReason?: string | null
}

/** A streamed answer, as ai-gateway-lite has it. */
export interface GatewayStreamResponse {
  /** UUID v4; the same id as in the usage log. */
  requestId: string
  /**
   * The chunks; can be read once. Leaving the loop early closes the upstream request and bills what has come. A failure throws a
   * {@link GatewayError}, an aborted signal throws `signal.reason`.
   */
  stream: AsyncIterable<GatewayStreamChunk>
  /** The whole answer, or before the end the text and figures so far. May be called any number of times; writes no usage log. */
  getUsageSummary: () => Promise<GatewayResponse>
}

/**
 * What {@link Gateway.chatStream} resolves to. Read one of `stream`, `events` and `toReadableStream()`: reading a second one throws `invalid_request`. It is a type
 * of its own because code that makes `GatewayStreamResponse` objects for ai-gateway-lite must keep compiling.
 */
export interface GatewayEventStreamResponse extends GatewayStreamResponse {
  /** The answer as typed events: text and reasoning as they arrive, then each complete tool call, then one `done`. */
  readonly events: AsyncIterableIterator<GatewayStreamEvent>
  /** The same events as a web `ReadableStream`. Cancelling it closes the upstream request. */
  toReadableStream(): ReadableStream<GatewayStreamEvent>
  /** Settings of the request that the answering provider left out or changed; absent if there are none. */
  readonly warnings?: GatewayWarning[]
}

/** New text of a streamed answer. */
export interface TextEvent {
  /** The kind of event. */
  type: 'text'
  /** The new text, never empty. */
  delta: string
}

/** New text of the model's reasoning. */
export interface ReasoningEvent {
  /** The kind of event. */
  type: 'reasoning'
  /** The new text. */
  delta: string
}

/** A tool call, delivered when the answer is complete. */
export interface ToolUseEvent {
  /** The kind of event. */
  type: 'tool_use'
  /** Id of the call, which the tool's message refers to as `toolCallId`. */
  id: string
  /** Name of the tool. */
  name: string
  /** The arguments; `{}` if the model wrote no JSON object (see `rawInput`). */
  input: Record<string, unknown>
  /** The model's own text, if it is not a JSON object. */
  rawInput?: string
  /** The vendor's signature of the call (Gemini); give it back unchanged. Absent for other vendors. */
  signature?: string
}

/** The last event of a successful stream; a stream that breaks off throws instead. */
export interface DoneEvent {
  /** The kind of event. */
  type: 'done'
  /** Tokens and cost of the whole answer. */
  usage: StreamUsage
  /** Why the model stopped; `tool_calls` whenever it calls tools, `stop` if the provider does not say. */
  finishReason: FinishReason
}

/** An event of a streamed answer. */
export type GatewayStreamEvent = TextEvent | ReasoningEvent | ToolUseEvent | DoneEvent

/** Tokens and cost of a whole streamed answer. */
export interface StreamUsage {
  /** Tokens of the prompt, cache reads and writes included. */
  inputTokens: number
  /** Tokens of the answer, reasoning included. */
  outputTokens: number
  /** Usually `inputTokens + outputTokens`. */
  totalTokens: number
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. Absent if the provider reports none. */
  cacheReadTokens?: number
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. Absent if the provider reports none. */
  cacheWriteTokens?: number
  /** Tokens of reasoning; part of `outputTokens`. Absent if the provider reports none. */
  reasoningTokens?: number
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd: number
}
