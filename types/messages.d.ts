/** Messages of a conversation. */

import type { ToolCall } from './requests.js'

/** One message of plain text: ai-gateway-lite's form, and all that most calls need. */
export interface ChatMessage {
  /** Who says it: `system` instructs the model, `assistant` is the model itself. */
  role: 'system' | 'user' | 'assistant'
  /** The text. */
  content: string
}

/** A text part of an {@link OpenAIMessage}. */
export interface OpenAITextPart {
  /** The kind of part. */
  type: 'text'
  /** The text. */
  text: string
}

/** An image part of an {@link OpenAIMessage}. */
export interface OpenAIImagePart {
  /** The kind of part. */
  type: 'image_url'
  /** Where the image is. */
  image_url: {
    /** An `https:` URL, or a `data:` URL with base64. */
    url: string
    /** How closely the model looks; sent to OpenAI-like services only. Default: the service's own. */
    detail?: 'auto' | 'low' | 'high'
  }
}

/** A sound part of an {@link OpenAIMessage}. */
export interface OpenAIAudioPart {
  /** The kind of part. */
  type: 'input_audio'
  /** The sound. */
  input_audio: {
    /** The sound as base64. */
    data: string
    /** The format of the sound. */
    format: 'wav' | 'mp3'
  }
}

/** A file part of an {@link OpenAIMessage}. */
export interface OpenAIFilePart {
  /** The kind of part. */
  type: 'file'
  /** The file: its data, or the id of an upload. */
  file: {
    /** A `data:` URL with base64. Required without `file_id`. Default: none. */
    file_data?: string
    /** Id of a file uploaded to OpenAI; other families reject it (`invalid_request`). Default: none. */
    file_id?: string
    /** Name of the file. Default: none. */
    filename?: string
  }
}

/** A refusal by the assistant, as OpenAI's answers have it. Sent to OpenAI-like services only; other families do not see it. */
export interface OpenAIRefusalPart {
  /** The kind of part. */
  type: 'refusal'
  /** The text of the refusal. */
  refusal: string
}

/** A part of the content of an {@link OpenAIMessage}. */
export type OpenAIContentPart = OpenAITextPart | OpenAIImagePart | OpenAIAudioPart | OpenAIFilePart | OpenAIRefusalPart

/** A function call made by the assistant, in OpenAI's own form. */
export interface OpenAIToolCall {
  /** Id of the call, which the tool's message refers to as `tool_call_id`. */
  id: string
  /** The kind of call. */
  type: 'function'
  /** The function and its arguments. */
  function: {
    /** Name of the function. */
    name: string
    /** The arguments as JSON text, as the model wrote it. */
    arguments: string
  }
}

/**
 * A message in the form of OpenAI's own API. Every family accepts it; OpenAI-like services receive a list of such messages
 * byte for byte.
 */
export interface OpenAIMessage {
  /** Who says it. */
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  /** The content. Default: none, which is for turns of the assistant that only call tools. */
  content?: string | OpenAIContentPart[] | null
  /** Name of the speaker, for OpenAI-like services. Default: none. */
  name?: string
  /** The tool calls of an assistant's turn. Default: none. */
  tool_calls?: OpenAIToolCall[]
  /** Id of the call that a `tool` message answers; required there. Default: none. */
  tool_call_id?: string
}

/** Any message that a call accepts: plain text, parts, tool calls and results, or OpenAI's own form. */
export type RichMessage = ChatMessage | PartsMessage | AssistantMessage | ToolMessage | OpenAIMessage

/** A text part. */
export interface TextPart {
  /** The kind of part. */
  type: 'text'
  /** The text. */
  text: string
  /** Marks the prompt up to this part for the provider's prompt cache; see {@link PartsMessage.cacheControl}. Default: no mark. */
  cacheControl?: 'ephemeral'
}

/** An image part that the provider fetches by its URL. */
export interface ImageUrlPart {
  /** The kind of part. */
  type: 'image'
  /** URL of the image: `https:`, `data:`, or `gs:` and `s3:` where the vendor takes them. */
  url: string
  /** Marks the prompt up to this part for the provider's prompt cache; see {@link PartsMessage.cacheControl}. Default: no mark. */
  cacheControl?: 'ephemeral'
}

/** An image part with the image itself. */
export interface ImageDataPart {
  /** The kind of part. */
  type: 'image'
  /** The image as base64, without line breaks. */
  data: string
  /** MIME type of the data, `image/png` say. */
  mimeType: string
  /** Marks the prompt up to this part for the provider's prompt cache; see {@link PartsMessage.cacheControl}. Default: no mark. */
  cacheControl?: 'ephemeral'
}

/** A file part. Families that do not accept the file's type reject it (`invalid_request`). */
export interface FilePart {
  /** The kind of part. */
  type: 'file'
  /** The file as base64, without line breaks. */
  data: string
  /** MIME type of the data, `application/pdf` say. */
  mimeType: string
  /** Name of the file. Default: none, or one that the vendor requires. */
  name?: string
  /** Marks the prompt up to this part for the provider's prompt cache; see {@link PartsMessage.cacheControl}. Default: no mark. */
  cacheControl?: 'ephemeral'
}

/**
 * A sound part. Anthropic, Bedrock, Workers AI and OpenAI's Responses API have no place for it and reject it
 * (`invalid_request`).
 */
export interface AudioPart {
  /** The kind of part. */
  type: 'audio'
  /** The sound as base64, without line breaks. */
  data: string
  /** MIME type of the data, `audio/mpeg` say. */
  mimeType: string
}

/** A part of the content of a {@link PartsMessage}. `docs/requests.md` shows which family takes which. */
export type ContentPart = TextPart | ImageUrlPart | ImageDataPart | FilePart | AudioPart

/** A message of several parts, or one that is marked for prompt caching. */
export interface PartsMessage {
  /** Who says it. */
  role: 'system' | 'developer' | 'user' | 'assistant'
  /** The text, or a list of parts. */
  content: string | ContentPart[]
  /**
   * Marks the prompt up to this message for the provider's prompt cache (Anthropic, and Bedrock's Claude and Nova; others
   * ignore it). Default: no mark.
   */
  cacheControl?: 'ephemeral'
}

/** An assistant's turn that you give back, with its tool calls and reasoning as the answer had them. */
export interface AssistantMessage {
  /** The assistant. */
  role: 'assistant'
  /** The text of the answer. Default: none, for a turn that only calls tools. */
  content?: string | ContentPart[] | null
  /** The answer's `toolCalls`, unchanged. Default: none. */
  toolCalls?: ToolCall[]
  /**
   * The answer's `reasoningDetails`, unchanged; only the vendor they came from receives them, each in its old place in the
   * turn. Default: none.
   */
  reasoningDetails?: Record<string, unknown>[]
  /** Marks the prompt up to this message for the provider's prompt cache; see {@link PartsMessage.cacheControl}. Default: no mark. */
  cacheControl?: 'ephemeral'
}

/** The result of a tool call. */
export interface ToolMessage {
  /** A tool. */
  role: 'tool'
  /** Id of the {@link ToolCall} that this answers, in an earlier assistant message; any other id is an `invalid_request`. */
  toolCallId: string
  /** The result: text, or a list of parts. */
  content: string | ContentPart[]
  /**
   * The tool failed, and `content` says how. Vendors without a field for it get a text that begins with `Error:`, unless it
   * speaks of an error by itself. Default: `false`.
   */
  isError?: boolean
  /** Marks the prompt up to this message for the provider's prompt cache; see {@link PartsMessage.cacheControl}. Default: no mark. */
  cacheControl?: 'ephemeral'
}
