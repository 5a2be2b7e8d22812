/** Providers: the built-in ones, and your own. */

import type { ProviderConfig, ProviderEntry } from './config.js'
import type { EmbeddingOptions, EmbeddingResult } from './embeddings.js'
import type { GatewayError } from './errors.js'
import type { Gateway, GatewayOptions } from './gateway.js'
import type { ChatMessage } from './messages.js'
import type {
  FinishReason,
  GatewayRequest,
  GenerationOptions,
  ReasoningEvent,
  StreamUsage,
  TextEvent,
  ToolCall,
  ToolUseEvent,
  UsageSource,
} from './requests.js'

/** One call of a provider: what {@link Provider.chat} receives, with the fields of {@link GenerationOptions} that are set. */
export interface ProviderRequestOptions extends GenerationOptions {
  /** The model to ask for. */
  model: string
  /** The messages as the caller wrote them: parts, tool calls and OpenAI's own form are possible, whatever this type says. */
  messages: ChatMessage[]
  /** Most output tokens: the request's, or the limit that a `strict` budget sets. Default: the provider's own. */
  maxTokens?: number
  /** As {@link GatewayRequest.temperature}. Default: the provider's own. */
  temperature?: number
  /** `true` for `chatStream`. Default: none. */
  stream?: boolean
  /**
   * Cancels the call of a built-in provider class that you call yourself. The gateway does not pass its callers' signal to
   * providers of your own: an aborted call stops waiting for them, and calls `return()` of their stream's iterator. Default: none.
   */
  signal?: AbortSignal
}

/** A provider's whole answer. The built-in classes give no tool calls and reasoning; providers of your own may. */
export interface ProviderResult {
  /** Text of the answer; empty if there is none. */
  content: string
  /** The model that answered. */
  model: string
  /** Tokens of the prompt. */
  inputTokens: number
  /** Tokens of the answer. */
  outputTokens: number
  /** Usually `inputTokens + outputTokens`. */
  totalTokens: number
  /** Why the model stopped. Default: not known. */
  finishReason?: FinishReason
  /** The model's tool calls. Default: none. */
  toolCalls?: ToolCall[]
  /** Text of the model's reasoning. Default: none. */
  reasoning?: string
  /** The reasoning in the vendor's own blocks. Default: none. */
  reasoningDetails?: Record<string, unknown>[]
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. Default: not known. */
  cacheReadTokens?: number
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. Default: not known. */
  cacheWriteTokens?: number
  /** Tokens of reasoning; part of `outputTokens`. Default: not known. */
  reasoningTokens?: number
  /** Settings of the request that the provider left out or changed. Default: none. */
  warnings?: ProviderWarning[]
  /** `estimated` if a built-in class counted the tokens itself. Ignored in results of your own providers. Default: none. */
  usageSource?: UsageSource
}

/** A setting of the request that a provider left out or changed. */
export interface ProviderWarning {
  /** Path of the field in the request, such as `topK`. */
  field: string
  /** What was done instead, and why. */
  reason: string
}

/** One chunk of a provider's streamed answer. */
export interface StreamChunk {
  /** New text; may be empty. */
  delta: string
  /** The model that answers. Default: the model that was asked for. */
  model?: string
  /** Why the answer ended; `null` or absent before the end. */
  finishReason?: string | null
  /** New text of the model's reasoning; providers of your own may give it. Default: none. */
  reasoning?: string
  /** Complete tool calls; providers of your own may give them. Default: none. */
  toolCalls?: ToolCall[]
}

/** A provider's streamed answer. */
export interface StreamResult {
  /** The chunks. It is read once, up to 256 chunks ahead of its reader. */
  stream: AsyncIterable<StreamChunk>
  /** Text and token counts of the answer; called once the stream has ended. */
  getUsage: () => Promise<ProviderResult>
}

/** The last event of a stream of your own provider: it says that the answer is complete. */
export interface ProviderDoneEvent {
  /** The kind of event. */
  type: 'done'
  /** Token counts of the answer. Default: the gateway counts the text. It works out the cost itself. */
  usage?: Partial<StreamUsage>
  /** Why the model stopped. Default: not known. */
  finishReason?: FinishReason
}

/** An event of a stream of your own provider. */
export type ProviderStreamEvent = TextEvent | ReasoningEvent | ToolUseEvent | ProviderDoneEvent

/** A streamed answer of your own provider, as typed events. */
export interface EventStreamResult {
  /** The events. They are read once, up to 256 ahead of their reader. */
  events: AsyncIterable<ProviderStreamEvent>
}

/** A service that answers calls. Implement it for providers of your own; an error they throw reaches the caller unchanged. */
export interface Provider {
  /** Name that answers and usage logs show; usually that of the entry. */
  readonly name: string
  /** Family of the provider. */
  readonly family: string
  /** Answers a call. */
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  /**
   * Streams an answer. Default: streaming is not supported: {@link Gateway.chatStream} fails for this provider, or continues
   * with the next step of the chain.
   */
  chatStream?(options: ProviderRequestOptions): Promise<StreamResult>
  /**
   * Makes embeddings. Default: not supported: {@link Gateway.embed} rejects with `invalid_request`, or continues with the next
   * step of the chain.
   */
  embed?(options: EmbeddingOptions): Promise<EmbeddingResult>
}

/**
 * A {@link Provider} that streams typed events instead of chunks. It is a type of its own because code that reads `stream` of
 * ai-gateway-lite's `Provider.chatStream` must keep compiling.
 */
export interface EventProvider extends Omit<Provider, 'chatStream'> {
  /** Streams an answer, as chunks or as typed events. */
  chatStream(options: ProviderRequestOptions): Promise<StreamResult | EventStreamResult>
}

/** As {@link ProviderFactory}, for an {@link EventProvider}. */
export type EventProviderFactory = (config: ProviderConfig) => EventProvider

/**
 * Builds the provider of a configuration entry, for {@link GatewayOptions.customProviders}. If it throws, the entry is skipped
 * with a `console.warn`.
 */
export type ProviderFactory = (config: ProviderConfig) => Provider

/** Builds providers from configuration entries, and finds them by name. */
export class ProviderRegistry {
  /** Creates a registry that knows the built-in families and holds no provider yet. */
  constructor()
  /** Sets the factory of a family. It wins over the built-in family of that name. */
  registerFactory(family: string, factory: ProviderFactory): void
  /**
   * Builds the provider of each entry whose `enabled` is not false. Of two entries with one name the last wins; an entry whose
   * factory throws is skipped with a `console.warn`.
   *
   * @throws Error when an entry's family has no factory.
   */
  load(configs: ProviderEntry[]): void
  /** The provider with this name, the very object that its factory returned; `undefined` if it is not loaded. */
  get(name: string): Provider | undefined
  /**
   * As {@link ProviderRegistry.get}.
   *
   * @throws Error `Provider "NAME" not found in registry` if it is not loaded.
   */
  require(name: string): Provider
  /** Names of the loaded providers, in the order in which they were loaded. */
  list(): string[]
}

/** OpenAI's chat completions, and any service that speaks them. Default address: `https://api.openai.com/v1`. */
export class OpenAIProvider implements Provider {
  /**
   * Creates a provider from a configuration entry.
   *
   * @throws Error when the key's environment variable is not named or not set, or the entry cannot be used.
   */
  constructor(config: ProviderConfig)
  /** Name of the entry. */
  readonly name: string
  /** The family; subclasses may have another. */
  readonly family: string
  /** Answers a call. Rejects with a {@link GatewayError}, or with `signal.reason`. */
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  /** Streams an answer; resolves at the first content. Rejects with a {@link GatewayError}, or with `signal.reason`. */
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>
  /** Makes embeddings. Rejects with a {@link GatewayError}. */
  embed(options: EmbeddingOptions): Promise<EmbeddingResult>
}

/** Anthropic's messages. Default address: `https://api.anthropic.com`. */
export class AnthropicProvider implements Provider {
  /**
   * Creates a provider from a configuration entry.
   *
   * @throws Error when the key's environment variable is not named or not set, or the entry cannot be used.
   */
  constructor(config: ProviderConfig)
  /** Name of the entry. */
  readonly name: string
  /** The family; subclasses may have another. */
  readonly family: string
  /** Answers a call. Rejects with a {@link GatewayError}, or with `signal.reason`. */
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  /** Streams an answer; resolves at the first content. Rejects with a {@link GatewayError}, or with `signal.reason`. */
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>
  /** Rejects with a {@link GatewayError} of kind `invalid_request`: Anthropic has no embeddings. */
  embed(options: EmbeddingOptions): Promise<EmbeddingResult>
}

/** OpenRouter's chat completions. Default address: `https://openrouter.ai/api/v1`. */
export class OpenRouterProvider implements Provider {
  /**
   * Creates a provider from a configuration entry.
   *
   * @throws Error when the key's environment variable is not named or not set, or the entry cannot be used.
   */
  constructor(config: ProviderConfig)
  /** Name of the entry. */
  readonly name: string
  /** The family; subclasses may have another. */
  readonly family: string
  /** Answers a call. Rejects with a {@link GatewayError}, or with `signal.reason`. */
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  /** Streams an answer; resolves at the first content. Rejects with a {@link GatewayError}, or with `signal.reason`. */
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>
  /** Makes embeddings. Rejects with a {@link GatewayError}. */
  embed(options: EmbeddingOptions): Promise<EmbeddingResult>
}
