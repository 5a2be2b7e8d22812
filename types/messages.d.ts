/** Messages of a conversation. */

import type { ToolCall } from './requests.js'

/** One message of a conversation. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant'
  content: string
}

/** A part of the content of an {@link OpenAIMessage}. */
export type OpenAIContentPart =
  | { type: 'text'; text: string }
  | {
      type: 'image_url'
      /** `url` is an `https:` or a base64 `data:` URL. */
      image_url: { url: string; detail?: 'auto' | 'low' | 'high' }
    }
  | { type: 'input_audio'; input_audio: { data: string; format: 'wav' | 'mp3' } }
  /** `file_id`, a file that lies with OpenAI, is refused with `invalid_request` by other families. */
  | { type: 'file'; file: { file_data?: string; file_id?: string; filename?: string } }
  /** Reaches OpenAI-like services as it is; other families are not given it. */
  | { type: 'refusal'; refusal: string }

/** A function call that the assistant made, in OpenAI's own form. */
export interface OpenAIToolCall {
  id: string
  type: 'function'
  /** `arguments` is JSON text, as the model wrote it. */
  function: { name: string; arguments: string }
}

/**
 * A message in the form of OpenAI's own API. Every family understands it; to OpenAI-like services a list of such
 * messages goes out as it came in.
 */
export interface OpenAIMessage {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  /** `null` or absent: an assistant's turn that only calls tools. */
  content?: string | OpenAIContentPart[] | null
  name?: string
  /** Calls the assistant made in this turn. */
  tool_calls?: OpenAIToolCall[]
  /** On a `tool` message: the call that it answers. */
  tool_call_id?: string
}

/** Any message that a call accepts. */
export type RichMessage = ChatMessage | PartsMessage | AssistantMessage | ToolMessage | OpenAIMessage

/** A part of the content of a {@link PartsMessage}. `data` is base64. */
export type ContentPart =
  | { type: 'text'; text: string; cacheControl?: 'ephemeral' }
  | { type: 'image'; url: string; cacheControl?: 'ephemeral' }
  | { type: 'image'; data: string; mimeType: string; cacheControl?: 'ephemeral' }
  | { type: 'file'; data: string; mimeType: string; name?: string; cacheControl?: 'ephemeral' }
  /** Refused with `invalid_request` by wire formats without it: Anthropic's, Bedrock's, Workers AI's, OpenAI's Responses. */
  | { type: 'audio'; data: string; mimeType: string }

/** A message of several parts, or one that is marked for prompt caching (Anthropic and Bedrock; others ignore the mark). */
export interface PartsMessage {
  role: 'system' | 'developer' | 'user' | 'assistant'
  content: string | ContentPart[]
  cacheControl?: 'ephemeral'
}

/** An assistant's turn as it goes back: its calls and its reasoning as the answer gave them. */
export interface AssistantMessage {
  role: 'assistant'
  content?: string | ContentPart[] | null
  toolCalls?: ToolCall[]
  reasoningDetails?: Record<string, unknown>[]
  cacheControl?: 'ephemeral'
}

/** What a tool gave. */
export interface ToolMessage {
  role: 'tool'
  /** The {@link ToolCall.id} of a call in an assistant message before this one. */
  toolCallId: string
  content: string | ContentPart[]
  cacheControl?: 'ephemeral'
}
