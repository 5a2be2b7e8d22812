/** Providers, built in and of a program's own. */

import type { ProviderConfig } from './config.js'
import type { EmbeddingOptions, EmbeddingResult } from './embeddings.js'
import type { ChatMessage } from './messages.js'
import type { GatewayStreamEvent, GenerationOptions, ToolCall, UsageSource } from './requests.js'

/** One call of a provider. */
export interface ProviderRequestOptions extends GenerationOptions {
  model: string
  messages: ChatMessage[]
  maxTokens?: number
  temperature?: number
  stream?: boolean
  signal?: AbortSignal
}

/** A provider's whole answer. */
export interface ProviderResult {
  content: string
  /** The model as the upstream reports it. */
  model: string
  inputTokens: number
  outputTokens: number
  totalTokens: number
  /** Providers of your own may give these too; the built-in classes on their own do not. */
  finishReason?: string
  toolCalls?: ToolCall[]
  reasoning?: string
  reasoningDetails?: Record<string, unknown>[]
  /** Part of `inputTokens`. */
  cacheReadTokens?: number
  /** Part of `inputTokens`. */
  cacheWriteTokens?: number
  /** Part of `outputTokens`. */
  reasoningTokens?: number
  /** Absent when the provider reported the counts. */
  usageSource?: UsageSource
}

/** One piece of a provider's streamed answer. */
export interface StreamChunk {
  delta: string
  model?: string
  finishReason?: string | null
  /** Providers of your own may give reasoning and whole calls of tools. */
  reasoning?: string
  toolCalls?: ToolCall[]
}

/** A provider's streamed answer. */
export interface StreamResult {
  stream: AsyncIterable<StreamChunk>
  /** The answer's text and counts, once the stream has ended. */
  getUsage: () => Promise<ProviderResult>
}

/** A streamed answer of a provider of your own, as typed events. */
export interface EventStreamResult {
  events: AsyncIterable<GatewayStreamEvent>
}

/** A service that answers calls. An error that a provider of yours throws reaches the caller as the same object. */
export interface Provider {
  readonly name: string
  readonly family: string
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  /** Without it, `chatStream` fails for this provider, or goes on to the next step of its chain. */
  chatStream?(options: ProviderRequestOptions): Promise<StreamResult>
  /** Without it, `embed` is refused for this provider, or goes on to the next step of its chain. */
  embed?(options: EmbeddingOptions): Promise<EmbeddingResult>
}

/** A provider that streams typed events in place of chunks. */
export interface EventProvider extends Omit<Provider, 'chatStream'> {
  chatStream(options: ProviderRequestOptions): Promise<StreamResult | EventStreamResult>
}

/** As {@link ProviderFactory}. */
export type EventProviderFactory = (config: ProviderConfig) => EventProvider

/** Builds the provider of a configuration entry. One that throws leaves the entry out, with a `console.warn`. */
export type ProviderFactory = (config: ProviderConfig) => Provider

/** Providers by name. */
export class ProviderRegistry {
  constructor()
  /** Makes `factory` build the entries whose `provider` is `family`. It wins over a built-in family of that name. */
  registerFactory(family: string, factory: ProviderFactory): void
  /**
   * Builds each entry whose `enabled` is not false. Of two entries with one name the last wins; an entry whose factory
   * throws is skipped with a `console.warn`.
   *
   * @throws Error when an entry's family has no factory.
   */
  load(configs: ProviderConfig[]): void
  /** The very object that the factory returned. */
  get(name: string): Provider | undefined
  /** @throws Error `Provider "NAME" not found in registry`. */
  require(name: string): Provider
  /** Names of the loaded providers. */
  list(): string[]
}

/** OpenAI's chat completions, and every service that speaks them. Default address: `https://api.openai.com/v1`. */
export class OpenAIProvider implements Provider {
  /** @throws Error when the key's environment variable is not named or not set. */
  constructor(config: ProviderConfig)
  readonly name: string
  readonly family: string
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>
  embed(options: EmbeddingOptions): Promise<EmbeddingResult>
}

/** Anthropic's messages. Default address: `https://api.anthropic.com`. */
export class AnthropicProvider implements Provider {
  /** @throws Error when the key's environment variable is not named or not set. */
  constructor(config: ProviderConfig)
  readonly name: string
  readonly family: string
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>
  embed(options: EmbeddingOptions): Promise<EmbeddingResult>
}

/** OpenRouter's chat completions. Default address: `https://openrouter.ai/api/v1`. */
export class OpenRouterProvider implements Provider {
  /** @throws Error when the key's environment variable is not named or not set. */
  constructor(config: ProviderConfig)
  readonly name: string
  readonly family: string
  chat(options: ProviderRequestOptions): Promise<ProviderResult>
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>
  embed(options: EmbeddingOptions): Promise<EmbeddingResult>
}
