/**
 * ai-gateway-native: routing, fallback, budgets and usage logs for LLM providers, in your Node.js process.
 *
 * Durations are milliseconds, money is US dollars, tokens are whole numbers.
 */

// ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** One message of a conversation. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** A part of the content of an {@link OpenAIMessage}. */
export type OpenAIContentPart =
  | { type: "text"; text: string }
  | {
      type: "image_url";
      /** `url` is an `https:` or a base64 `data:` URL. */
      image_url: { url: string; detail?: "auto" | "low" | "high" };
    }
  /** Reaches OpenAI-like services as it is; other families are not given it. */
  | { type: "input_audio"; input_audio: { data: string; format: "wav" | "mp3" } }
  /** Reaches OpenAI-like services as it is; other families are not given it. */
  | { type: "file"; file: { file_data?: string; file_id?: string; filename?: string } }
  /** Reaches OpenAI-like services as it is; other families are not given it. */
  | { type: "refusal"; refusal: string };

/** A function call that the assistant made, in OpenAI's own form. */
export interface OpenAIToolCall {
  id: string;
  type: "function";
  /** `arguments` is JSON text, as the model wrote it. */
  function: { name: string; arguments: string };
}

/**
 * A message in the form of OpenAI's own API. Every family understands it; to OpenAI-like services a list of such
 * messages goes out as it came in.
 */
export interface OpenAIMessage {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  /** `null` or absent: an assistant's turn that only calls tools. */
  content?: string | OpenAIContentPart[] | null;
  name?: string;
  /** Calls the assistant made in this turn. */
  tool_calls?: OpenAIToolCall[];
  /** On a `tool` message: the call that it answers. */
  tool_call_id?: string;
}

/** Any message that a call accepts. */
export type RichMessage = ChatMessage | PartsMessage | AssistantMessage | ToolMessage | OpenAIMessage;

/** A part of the content of a {@link PartsMessage}. `data` is base64. */
export type ContentPart =
  | { type: "text"; text: string; cacheControl?: "ephemeral" }
  | { type: "image"; url: string; cacheControl?: "ephemeral" }
  | { type: "image"; data: string; mimeType: string; cacheControl?: "ephemeral" }
  | { type: "file"; data: string; mimeType: string; name?: string; cacheControl?: "ephemeral" }
  /** Refused with `invalid_request` by providers without hearing: Anthropic. */
  | { type: "audio"; data: string; mimeType: string };

/** A message of several parts, or one that is marked for prompt caching (Anthropic; others ignore the mark). */
export interface PartsMessage {
  role: "system" | "developer" | "user" | "assistant";
  content: string | ContentPart[];
  cacheControl?: "ephemeral";
}

/** An assistant's turn as it goes back: its calls and its reasoning as the answer gave them. */
export interface AssistantMessage {
  role: "assistant";
  content?: string | ContentPart[] | null;
  toolCalls?: ToolCall[];
  reasoningDetails?: Record<string, unknown>[];
  cacheControl?: "ephemeral";
}

/** What a tool gave. */
export interface ToolMessage {
  role: "tool";
  /** The {@link ToolCall.id} of a call in an assistant message before this one. */
  toolCallId: string;
  content: string | ContentPart[];
  cacheControl?: "ephemeral";
}

// ── Requests and answers ─────────────────────────────────────────────────────────────────────────────────────────

/** What a caller asks. `null` counts as unset. */
export interface GatewayRequest extends GenerationOptions {
  messages: ChatMessage[];
  /** In place of the model of the rule that matches. */
  model?: string;
  /** Matched against {@link RouteMatch.taskType}. */
  taskType?: string;
  /** Matched against {@link RouteMatch.feature}; the key of budgets of scope `feature`. */
  feature?: string;
  /** Matched against {@link RouteMatch.userTier}; the key of budgets of scope `user`. */
  userTier?: string;
  /** Without effect: `chat` answers whole, `chatStream` streams. */
  stream?: boolean;
  /** Upper bound of the answer, in tokens. Default: the provider's own; 4,096 for Anthropic, which requires one. */
  maxTokens?: number;
  /** Default: the provider's own. */
  temperature?: number;
  /**
   * Cancels the call: it rejects with `signal.reason`, by default a `DOMException` named `AbortError`. The upstream
   * request is closed at once; a signal that has already fired sends nothing. The usage log says `ABORTED`.
   */
  signal?: AbortSignal;
  /** Matched against {@link RouteMatch.sensitivity}. */
  sensitivity?: "low" | "medium" | "high" | (string & {});
  /** Milliseconds for the whole call, retries and fallbacks included. Default: no bound but the providers' own. */
  timeoutMs?: number;
}

/** What is asked of the model beside the messages; providers of your own see it as the caller wrote it. */
export interface GenerationOptions {
  /** Functions that the model may call. */
  tools?: Tool[];
  /** `required`: some tool; `{name}`: this one. Default: `auto`. */
  toolChoice?: "auto" | "none" | "required" | { name: string };
  /**
   * The form of the answer's text. Where a provider cannot see to it itself (Anthropic), the model is asked in words, and
   * an answer to `chat` that is not JSON is a `provider_response` error. Default: `text`.
   */
  responseFormat?: ResponseFormat;
  /** Nucleus sampling, 0 to 1. */
  topP?: number;
  /** Texts at which the model stops. */
  stop?: string | string[];
  /** Makes sampling repeatable, where the provider can. */
  seed?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  /** How much a reasoning model is to think. For Anthropic: a budget of 1,024, 4,096 or 16,384 tokens. */
  reasoningEffort?: "none" | "minimal" | "low" | "medium" | "high" | (string & {});
  /** The caller's user; providers are told it. */
  userId?: string;
  /** Notes of the caller's own; not sent. */
  metadata?: Record<string, unknown>;
  /** Fields for the wire body as they are, by family: `{openai: {logprobs: true}}`. They have the last word. */
  providerOptions?: Record<string, Record<string, unknown>>;
}

/** A function that a model may call. */
export interface Tool {
  name: string;
  description?: string;
  /** JSON Schema of the arguments: an object. */
  parameters: Record<string, unknown>;
  /** The arguments must follow the schema to the letter, where the provider can see to it. */
  strict?: boolean;
}

export type ResponseFormat =
  | "text"
  | "json"
  | {
      jsonSchema: Record<string, unknown>;
      /** Default: `answer`. */
      name?: string;
      strict?: boolean;
    };

/** A call of a tool. It goes back in the assistant message that the tool's result answers. */
export interface ToolCall {
  id: string;
  name: string;
  /** `{}` where the model wrote no JSON object: see `rawArguments`. */
  arguments: Record<string, unknown>;
  /** The model's own text, where it is no JSON object. */
  rawArguments?: string;
  /** The vendor's mark on the call; goes back unchanged. */
  signature?: string;
}

/** A {@link GatewayRequest} whose messages may have any form in {@link RichMessage}. */
export interface RichGatewayRequest extends Omit<GatewayRequest, "messages"> {
  messages: RichMessage[];
}

/** Present where the provider gave no token counts and the gateway counted the text itself. */
export type UsageSource = "estimated";

/** The answer to one call. */
export interface GatewayResponse {
  /** UUID v4; the same in the usage log's entry of this call. */
  requestId: string;
  /** The provider that answered. */
  provider: string;
  /** The model as the upstream reports it. */
  model: string;
  /** The answer's text; empty when there is none. */
  content: string;
  /** Tokens of the prompt, cache reads and writes included. */
  inputTokens: number;
  /** Tokens of the answer, reasoning included. */
  outputTokens: number;
  /** Usually `inputTokens + outputTokens`. */
  totalTokens: number;
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd: number;
  /** Whole milliseconds from the call's start to its end, retries and fallbacks included. */
  latencyMs: number;
  /** Whether another than the first provider answered. */
  fallbackTriggered: boolean;
  /** Name of the first provider tried, when a fallback answered. */
  fallbackFrom?: string;
  /** Why the model stopped, in the same words for every family; `tool_calls` whenever there is a call. */
  finishReason?: "stop" | "length" | "tool_calls" | "content_filter" | (string & {});
  /** The calls of tools that the model wants. */
  toolCalls?: ToolCall[];
  /** Text of the model's reasoning. */
  reasoning?: string;
  /** The reasoning in its vendor's own blocks; goes back unchanged as `reasoningDetails` of the assistant message. */
  reasoningDetails?: Record<string, unknown>[];
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. */
  cacheReadTokens?: number;
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. */
  cacheWriteTokens?: number;
  /** Tokens of reasoning; part of `outputTokens`. */
  reasoningTokens?: number;
  /** Absent when the provider reported the counts. */
  usageSource?: UsageSource;
}

/** One piece of a streamed answer. */
export interface GatewayStreamChunk {
  requestId: string;
  /** The provider that answers. */
  provider: string;
  /** The text that is new; may be empty. */
  delta: string;
  model?: string;
  /** The upstream's own word for why the answer ended. */
  finishReason?: string | null;
}

/** A streamed answer, once its first content is there. */
export interface GatewayStreamResponse {
  requestId: string;
  /**
   * Can be read once. Leaving it early (`break`, `return()`) closes the upstream request at once and bills what has
   * come so far. A failure throws a {@link GatewayError}; an aborted signal throws `signal.reason`.
   */
  stream: AsyncIterable<GatewayStreamChunk>;
  /** The figures of the whole answer or, before the stream has ended, those so far. Writes no usage log of its own. */
  getUsageSummary: () => Promise<GatewayResponse>;
}

/** What `chatStream` resolves to. Only one of `stream`, `events` and `toReadableStream()` is consumed. */
export interface GatewayEventStreamResponse extends GatewayStreamResponse {
  /** The answer as typed events: text and reasoning as they come, then each call of a tool, last one `done`. */
  readonly events: AsyncIterableIterator<GatewayStreamEvent>;
  /** The same events as a web stream. */
  toReadableStream(): ReadableStream<GatewayStreamEvent>;
}

export type GatewayStreamEvent =
  | { type: "text"; delta: string }
  | { type: "reasoning"; delta: string }
  | {
      type: "tool_use";
      id: string;
      name: string;
      input: Record<string, unknown>;
      /** The model's own text, where it is no JSON object. */
      rawInput?: string;
      /** The vendor's mark on the call; goes back unchanged. */
      signature?: string;
    }
  | { type: "done"; usage: StreamUsage; finishReason: string };

/** Counts of a whole answer, as in {@link GatewayResponse}. */
export interface StreamUsage {
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  cacheReadTokens?: number;
  cacheWriteTokens?: number;
  reasoningTokens?: number;
  /** US dollars. */
  estimatedCostUsd: number;
}

// ── Configuration ────────────────────────────────────────────────────────────────────────────────────────────────

/** How a provider is authenticated. Keys live in environment variables and are read when the provider is built. */
export interface ProviderAuth {
  /**
   * `apiKey` and `bearer` send the key as the family does; `customHeader` sends it in `headerName` alone (OpenAI
   * family); `none` sends no key.
   */
  type: "apiKey" | "bearer" | "none" | "customHeader";
  /** Name of the environment variable that holds the key. Required for every type but `none`. */
  envVar?: string;
  /** For `customHeader`. */
  headerName?: string;
}

/** When and how often a failed attempt (429, 502, 503, 504, timeout, lost connection) is repeated. */
export interface ProviderRetry {
  /** Attempts in all. Default: 1. */
  maxAttempts?: number;
  /**
   * Milliseconds before the second attempt, doubled for each one after, times a random factor of 0.85 to 1.15.
   * Default: 500.
   */
  backoffMs?: number;
  /** Milliseconds; an upstream that asks for a longer wait (`Retry-After`) ends the attempts. Default: 60,000. */
  maxRetryAfterMs?: number;
}

/** One provider: an entry of `gateway.providers.json`. */
export interface ProviderConfig {
  /** The name by which rules and chains refer to this entry. */
  name: string;
  /**
   * The family: `openai`, `anthropic`, `openrouter`, `mock` (answers without network and key, for tests and demos), or
   * one in {@link GatewayOptions.customProviders}.
   */
  provider: string;
  /** Default: the family's public address. A trailing slash does not matter. */
  baseUrl?: string;
  /** Default: true. */
  enabled?: boolean;
  /** The model of calls that name none. Default: the first of `models`. */
  defaultModel?: string;
  models: string[];
  /**
   * Milliseconds for one attempt, its whole answer included; for a stream, for the wait for each next byte.
   * Default: 30,000 for `openai`, 60,000 for `anthropic` and `openrouter`, none for providers written in JavaScript.
   */
  timeoutMs?: number;
  retry?: ProviderRetry;
  auth: ProviderAuth;
  /** Added to each call. */
  headers?: Record<string, string>;
  /** Bytes; a longer answer is refused while it is read. Default: 33,554,432 (32 MiB). */
  maxResponseBytes?: number;
  /** Milliseconds that a stream nobody reads is kept open. Default: 300,000. */
  streamIdleMs?: number;
  /** What only one family understands. `mock`: `delayMs`, milliseconds before each token of a stream (default: 0). */
  options?: { delayMs?: number; [option: string]: unknown };
}

/** A rule matches when each field set here equals the request's. */
export interface RouteMatch {
  taskType?: string;
  userTier?: string;
  sensitivity?: "low" | "medium" | "high";
  feature?: string;
}

/** Where the calls of a rule go. */
export interface RouteTarget {
  /** Name of a {@link ProviderConfig}. */
  provider: string;
  /** Default: the provider's own default. `model` of the request comes first. */
  model?: string;
  /** Name of a {@link FallbackChain}, whose steps then take the place of `provider`. */
  fallbackChain?: string;
}

/** Limits of a rule. */
export interface RouteConstraints {
  /** US dollars; the rule is passed over when the call's estimate is higher. */
  maxCostUsd?: number;
  /** Tokens; the rule is passed over when the prompt's estimate is higher. */
  maxInputTokens?: number;
  /** Milliseconds for the whole call, retries and fallbacks included. */
  maxLatencyMs?: number;
}

/** One routing rule. */
export interface RouteRule {
  name: string;
  /** The matching rule of the highest priority is taken; of equals, the one written first. */
  priority: number;
  /** Default: true. */
  enabled?: boolean;
  match: RouteMatch;
  target: RouteTarget;
  constraints?: RouteConstraints;
}

/**
 * What makes a chain go on: `timeout` (`provider_timeout`), `rate_limit` (`provider_rate_limit`), `budget_exceeded`,
 * `provider_error` (any other failure). `manual` is never raised.
 */
export type FallbackTrigger = "timeout" | "rate_limit" | "provider_error" | "budget_exceeded" | "manual";

/** One step of a {@link FallbackChain}. */
export interface FallbackStep {
  /** Name of a {@link ProviderConfig}. */
  provider: string;
  /** In place of the request's model. Default: the request's if the provider lists it, else the provider's own. */
  model?: string;
  /** Failures of the step before that lead here; none listed: any. The first step is always tried. */
  when?: FallbackTrigger[];
  /** Milliseconds, in place of the provider's own `timeoutMs`. */
  timeoutMs?: number;
}

/** Providers tried one after the other. */
export interface FallbackChain {
  name: string;
  steps: FallbackStep[];
}

/** Whose calls a budget counts. */
export interface BudgetScope {
  /** `user` counts by the request's `userTier`. */
  type: "global" | "user" | "feature" | "model";
  /** Limits the policy to this value. Default: each value has a count of its own. */
  key?: string;
}

/** Limits of a {@link BudgetPolicy}; 0 and absent mean none. */
export interface BudgetLimits {
  maxInputTokens?: number;
  maxOutputTokens?: number;
  maxTotalTokens?: number;
  /** US dollars. */
  maxCostUsd?: number;
  /** Fraction of a limit, 0 to 1, from which on the policy warns. */
  warnAt?: number;
}

/** A limit on tokens or money. */
export interface BudgetPolicy {
  name: string;
  scope: BudgetScope;
  /** Rolling: each window starts with its first call; `month` is 30 days. `request` limits each call by its estimate. */
  window: "request" | "hour" | "day" | "month";
  limits?: BudgetLimits;
  /**
   * `soft` warns through `console.warn`. `hard` refuses a call once what is spent, and reserved by calls in flight,
   * exceeds a limit. `strict` refuses a call whose own upper bound could pass the limit, so that it is never passed. Refusals are `BUDGET_EXCEEDED`, 429.
   */
  enforcement: "soft" | "hard" | "strict";
  /** For `strict`: upper bound of an answer whose request sets no `maxTokens`; sent upstream. Default: 4,096. */
  maxOutputTokensPerCall?: number;
}

/** The whole configuration of a gateway. */
export interface GatewayConfig {
  providers: ProviderConfig[];
  routes: RouteRule[];
  fallbackChains: FallbackChain[];
  budgets: BudgetPolicy[];
}

/** File names in place of the usual ones, relative to the directory. */
export interface ConfigPaths {
  /** An array of {@link ProviderConfig}. Default: `gateway.providers.json`. */
  providers?: string;
  /** `{rules, fallbackChains?}`. Default: `gateway.routes.json`. */
  routes?: string;
  /** An array of {@link BudgetPolicy}. Default: `gateway.budgets.json`. */
  budgets?: string;
}

/** One fault of a configuration. */
export interface ValidationError {
  /** Where: `providers[0].auth.envVar`, `fallbackChains[0].steps[2].when`, … */
  path: string;
  message: string;
}

/**
 * Reads and validates the three configuration files of a directory.
 *
 * Rejects with a {@link GatewayError} of kind `config_invalid` when a file cannot be read or parsed, or has faults.
 */
export function loadConfig(dir: string, paths?: ConfigPaths): Promise<GatewayConfig>;

/**
 * Validates a configuration given as the contents of the three files.
 *
 * @throws a {@link GatewayError} of kind `config_invalid` that lists every fault.
 */
export function loadConfigFromObjects(raw: {
  providers: ProviderConfig[];
  routes: { rules: RouteRule[]; fallbackChains?: FallbackChain[] };
  budgets: BudgetPolicy[];
}): GatewayConfig;

/** @throws a {@link GatewayError} of kind `config_invalid` that lists every fault, one `PATH: MESSAGE` to a line. */
export function validateConfig(raw: unknown): void;

// ── Providers ────────────────────────────────────────────────────────────────────────────────────────────────────

/** One call of a provider. */
export interface ProviderRequestOptions extends GenerationOptions {
  model: string;
  messages: ChatMessage[];
  maxTokens?: number;
  temperature?: number;
  stream?: boolean;
  signal?: AbortSignal;
}

/** A provider's whole answer. */
export interface ProviderResult {
  content: string;
  /** The model as the upstream reports it. */
  model: string;
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  /** Providers of your own may give these too; the built-in classes on their own do not. */
  finishReason?: string;
  toolCalls?: ToolCall[];
  reasoning?: string;
  /** Absent when the provider reported the counts. */
  usageSource?: UsageSource;
}

/** One piece of a provider's streamed answer. */
export interface StreamChunk {
  delta: string;
  model?: string;
  finishReason?: string | null;
  /** Providers of your own may give reasoning and whole calls of tools. */
  reasoning?: string;
  toolCalls?: ToolCall[];
}

/** A provider's streamed answer. */
export interface StreamResult {
  stream: AsyncIterable<StreamChunk>;
  /** The answer's text and counts, once the stream has ended. */
  getUsage: () => Promise<ProviderResult>;
}

/** A service that answers calls. An error that a provider of yours throws reaches the caller as the same object. */
export interface Provider {
  readonly name: string;
  readonly family: string;
  chat(options: ProviderRequestOptions): Promise<ProviderResult>;
  /** Without it, `chatStream` fails for this provider, or goes on to the next step of its chain. */
  chatStream?(options: ProviderRequestOptions): Promise<StreamResult>;
}

/** Builds the provider of a configuration entry. One that throws leaves the entry out, with a `console.warn`. */
export type ProviderFactory = (config: ProviderConfig) => Provider;

/** Providers by name. */
export class ProviderRegistry {
  constructor();
  /** Makes `factory` build the entries whose `provider` is `family`. It wins over a built-in family of that name. */
  registerFactory(family: string, factory: ProviderFactory): void;
  /**
   * Builds each entry whose `enabled` is not false. Of two entries with one name the last wins; an entry whose factory
   * throws is skipped with a `console.warn`.
   *
   * @throws Error when an entry's family has no factory.
   */
  load(configs: ProviderConfig[]): void;
  /** The very object that the factory returned. */
  get(name: string): Provider | undefined;
  /** @throws Error `Provider "NAME" not found in registry`. */
  require(name: string): Provider;
  /** Names of the loaded providers. */
  list(): string[];
}

/** OpenAI's chat completions, and every service that speaks them. Default address: `https://api.openai.com/v1`. */
export class OpenAIProvider implements Provider {
  /** @throws Error when the key's environment variable is not named or not set. */
  constructor(config: ProviderConfig);
  readonly name: string;
  readonly family: string;
  chat(options: ProviderRequestOptions): Promise<ProviderResult>;
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>;
}

/** Anthropic's messages. Default address: `https://api.anthropic.com`. */
export class AnthropicProvider implements Provider {
  /** @throws Error when the key's environment variable is not named or not set. */
  constructor(config: ProviderConfig);
  readonly name: string;
  readonly family: string;
  chat(options: ProviderRequestOptions): Promise<ProviderResult>;
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>;
}

/** OpenRouter's chat completions. Default address: `https://openrouter.ai/api/v1`. */
export class OpenRouterProvider implements Provider {
  /** @throws Error when the key's environment variable is not named or not set. */
  constructor(config: ProviderConfig);
  readonly name: string;
  readonly family: string;
  chat(options: ProviderRequestOptions): Promise<ProviderResult>;
  chatStream(options: ProviderRequestOptions): Promise<StreamResult>;
}

// ── Routing ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where a request goes. */
export interface RouteDecision {
  rule: RouteRule;
  provider: Provider;
  model: string;
  fallbackChain?: FallbackChain;
}

/** What {@link Router.execute} gives. */
export interface RouterResult {
  decision: RouteDecision;
  providerResult: ProviderResult;
  /** The provider that answered. */
  actualProvider: Provider;
  fallbackTriggered: boolean;
  /** Name of the first provider tried, when a fallback answered. */
  fallbackFrom?: string;
}

/** What {@link Router.executeStream} gives. */
export interface RouterStreamResult {
  decision: RouteDecision;
  streamResult: StreamResult;
  /** The provider that answers. */
  actualProvider: Provider;
  fallbackTriggered: boolean;
  /** Name of the first provider tried, when a fallback answers. */
  fallbackFrom?: string;
}

/** Rules and chains on their own, without budgets and usage logs. */
export class Router {
  constructor(rules: RouteRule[], fallbackChains: FallbackChain[], registry: ProviderRegistry);
  /** @throws Error when no rule matches or the rule's provider is not loaded. */
  resolve(request: GatewayRequest): RouteDecision;
  /** Rejects with the last failure when the chain has ended. */
  execute(request: GatewayRequest, decision: RouteDecision): Promise<RouterResult>;
  /** Rejects with the last failure when the chain has ended. */
  executeStream(request: GatewayRequest, decision: RouteDecision): Promise<RouterStreamResult>;
}

// ── Budgets ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Tokens and dollars of a call, estimated or real. */
export interface BudgetUsage {
  inputTokens: number;
  outputTokens: number;
  /** US dollars. */
  costUsd: number;
}

/** What {@link BudgetTracker.check} gives. */
export interface BudgetTrackerResult {
  allowed: boolean;
  /** Whether `warnAt` has been reached or a limit passed. */
  warn: boolean;
  /** Which limit is passed; absent when none is. */
  reason?: string;
}

/** The counts of budgets. */
export class BudgetTracker {
  constructor();
  /** Whether `pending` still fits. Counts nothing. */
  check(policy: BudgetPolicy, scopeKey: string, pending: BudgetUsage): BudgetTrackerResult;
  /** Adds to the current window's count. */
  record(policy: BudgetPolicy, scopeKey: string, usage: BudgetUsage): void;
}

/** What {@link BudgetGuard.check} gives. */
export interface BudgetCheckResult {
  allowed: boolean;
  /** `[POLICY] REASON`, one for each policy that warns. */
  warnings: string[];
  /** Name of the policy that blocks; absent when none does. */
  blockedBy?: string;
}

/** A set of budget policies and their counts. */
export class BudgetGuard {
  constructor(policies: BudgetPolicy[]);
  check(request: GatewayRequest, estimated: BudgetUsage): BudgetCheckResult;
  /** Adds a call's figures to the count of each policy that covers it. */
  record(request: GatewayRequest, usage: BudgetUsage): void;
  /**
   * Prints each warning as `[budget-warn] …` through `console.warn`.
   *
   * @throws a {@link GatewayError} of kind `budget_exceeded` when a policy blocks.
   */
  enforce(request: GatewayRequest, estimated: BudgetUsage, requestId?: string): void;
}

// ── Usage ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The record of one call, written exactly once, whether it succeeds or fails. */
export interface UsageLog {
  /** ISO 8601, UTC. */
  timestamp: string;
  requestId: string;
  /** Name of the provider that answered; of a failure, the rule's. */
  provider: string;
  model: string;
  /** Name of the rule that matched. */
  routeRule?: string;
  feature?: string;
  userTier?: string;
  success: boolean;
  /** Tokens of the prompt, cache reads and writes included. */
  inputTokens: number;
  /** Tokens of the answer, reasoning included. */
  outputTokens: number;
  /** Prompt tokens read from the provider's cache; part of `inputTokens`. */
  cacheReadTokens?: number;
  /** Prompt tokens written to the provider's cache; part of `inputTokens`. */
  cacheWriteTokens?: number;
  totalTokens: number;
  /** US dollars; 0 for a model without a known price. */
  estimatedCostUsd?: number;
  /** Whole milliseconds from the call's start to its end. */
  latencyMs: number;
  fallbackTriggered: boolean;
  /** Name of the first provider tried, when a fallback answered. */
  fallbackFrom?: string;
  /** Of a failure: the `code` of its {@link GatewayError}, else `UNKNOWN`. */
  errorCode?: string;
  /** Absent when the provider reported the counts. */
  usageSource?: UsageSource;
}

/** Receives each {@link UsageLog}. It is awaited; what it throws is ignored. */
export type UsageLogHandler = (log: UsageLog) => void | Promise<void>;

/** Hands usage logs to handlers. Without a handler: `console.log('[usage] ' + JSON)`. */
export class UsageLogger {
  constructor(handler?: UsageLogHandler);
  addHandler(handler: UsageLogHandler): void;
  /** Resolves when every handler is done. */
  log(entry: UsageLog): Promise<void>;
}

// ── Prices ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** US dollars for 1,000 tokens. */
export interface ModelPricing {
  inputPer1kTokens: number;
  outputPer1kTokens: number;
}

/** US dollars; 0 for a model without a known price. */
export function estimateCostUsd(model: string, inputTokens: number, outputTokens: number): number;

/** `undefined` for a model without a known price. */
export function getModelPricing(model: string): ModelPricing | undefined;

/** Sets the price of a model, for every gateway of the process. */
export function registerModelPricing(model: string, pricing: ModelPricing): void;

// ── Around calls ──────────────────────────────────────────────────────────────────────────────────────────────────

/** `next` goes on, with this request or another. */
export type Middleware = (
  request: RichGatewayRequest,
  next: (request: RichGatewayRequest) => Promise<GatewayResponse>,
) => Promise<GatewayResponse> | GatewayResponse;

/** What {@link classifyError} says of an error. */
export interface ErrorClass {
  category:
    | "Authentication"
    | "RateLimit"
    | "InvalidRequest"
    | "Timeout"
    | "ServerError"
    | "Network"
    | "ToolExecution"
    | "Unknown";
  retryable: boolean;
  /** Milliseconds to wait before the next attempt: the error's own hint, or a default. Absent when not retryable. */
  backoffMs?: number;
}

/** Classifies anything that was thrown: by kind, then status, then code and message. */
export function classifyError(error: unknown): ErrorClass;

export { createModelAllowlist, type ModelAllowlist } from "./allowlist.js";

/** Sums of {@link CostTracker}. */
export interface CostSum {
  calls: number;
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
  /** US dollars, added without rounding errors. */
  costUsd: number;
}

/** What a {@link CostTracker} records: an answer, an entry of the usage log, or counts of your own. */
export interface CostRecord {
  provider: string;
  model: string;
  inputTokens?: number;
  outputTokens?: number;
  /** US dollars. Default: {@link estimateCostUsd} of the counts. */
  estimatedCostUsd?: number;
}

export interface CostTracker {
  /** Needs no `this`: it may be `onUsageLog` itself. */
  record(call: CostRecord): void;
  total(): CostSum;
  byModel(): Record<string, CostSum>;
  byProvider(): Record<string, CostSum>;
  /** Forgets everything recorded. */
  reset(): void;
}

/** Adds up what calls cost. `pricing` goes before the calls' own cost. */
export function createCostTracker(options?: { pricing?: Record<string, ModelPricing> }): CostTracker;

// ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What sort of failure a {@link GatewayError} is. `provider_network`: the connection was refused, reset or lost (502);
 * `invalid_request`: the request is at fault, nothing was sent (400); `aborted`: the gateway itself stopped the call
 * (499).
 */
export type GatewayErrorKind =
  | "provider_auth"
  | "provider_timeout"
  | "provider_rate_limit"
  | "provider_response"
  | "provider_network"
  | "route_not_found"
  | "budget_exceeded"
  | "config_invalid"
  | "invalid_request"
  | "aborted"
  | "internal";

/** The data of a {@link GatewayError}. */
export interface GatewayErrorPayload {
  /** `PROVIDER_TIMEOUT`, `ROUTE_NOT_FOUND`, … */
  code: string;
  kind: GatewayErrorKind;
  message: string;
  /** Whether the same call may succeed later. */
  retryable: boolean;
  /** Default: 500. */
  httpStatus?: number;
  /** Name of the provider that failed. */
  provider?: string;
  /** That of the call's usage log. */
  requestId?: string;
  details?: Record<string, unknown>;
}

/** Every failure that the gateway itself finds. */
export class GatewayError extends Error {
  constructor(payload: GatewayErrorPayload);
  readonly code: string;
  readonly kind: GatewayErrorKind;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** The status for an HTTP answer to the caller. */
  readonly httpStatus: number;
  /** Name of the provider that failed. */
  readonly provider?: string;
  /** That of the call's usage log. */
  readonly requestId?: string;
  readonly details?: Record<string, unknown>;
  toJSON(): GatewayErrorPayload;

  /** Whether `value` is a `GatewayError`, of this copy of the package or of another one. */
  static isInstance(value: unknown): value is GatewayError;

  /** `PROVIDER_TIMEOUT`, 504, retryable. */
  static providerTimeout(provider: string, requestId?: string): GatewayError;
  /** `PROVIDER_RATE_LIMIT`, 429, retryable. */
  static providerRateLimit(provider: string, requestId?: string): GatewayError;
  /** `ROUTE_NOT_FOUND`, 404. */
  static routeNotFound(requestId?: string): GatewayError;
  /** `BUDGET_EXCEEDED`, 429, `details: {policy}`. */
  static budgetExceeded(policy: string, requestId?: string): GatewayError;
  /** `CONFIG_INVALID`, 500. */
  static configInvalid(detail: string): GatewayError;
  /** `PROVIDER_AUTH`, 401. */
  static providerAuth(provider: string, requestId?: string): GatewayError;
  /** `PROVIDER_RESPONSE`, 502, retryable from an upstream status of 500 up, `details: {upstreamStatus}`. */
  static providerResponse(provider: string, upstreamStatus: number, detail: string, requestId?: string): GatewayError;
  /** The error for an upstream's status: 401, 403, 429, 408 and 504 have their own kinds, others are `PROVIDER_RESPONSE`. */
  static fromHttpStatus(provider: string, status: number, body: string, requestId?: string): GatewayError;
}

// ── The gateway ──────────────────────────────────────────────────────────────────────────────────────────────────

/** What a {@link Gateway} is made of. */
export interface GatewayOptions {
  config: GatewayConfig;
  /** Default: `console.log('[usage] ' + JSON)`. */
  onUsageLog?: UsageLogHandler;
  /** Factories by family; they win over the built-in families of the same name. */
  customProviders?: Record<string, ProviderFactory>;
}

/**
 * Routes calls to providers, with fallback, budgets and usage logs. Several gateways of one process do not touch.
 *
 * ```js
 * const gateway = new Gateway({ config: await loadConfig("./config") });
 * const { content } = await gateway.chat({ messages: [{ role: "user", content: "Hello" }], taskType: "chat" });
 * ```
 */
export class Gateway {
  /**
   * Loads each provider whose `enabled` is not false; one whose key is missing is skipped with a `console.warn`.
   *
   * @throws Error when an entry's family has no factory.
   */
  constructor(options: GatewayOptions);

  /**
   * Answers a request.
   *
   * Rejects with a {@link GatewayError} (`route_not_found`, `budget_exceeded`, `invalid_request`, `provider_*`), with
   * `signal.reason` when the signal fires, or with what a provider written in JavaScript threw.
   */
  chat(request: RichGatewayRequest): Promise<GatewayResponse>;
  chat(request: GatewayRequest): Promise<GatewayResponse>;

  /**
   * Streams an answer. Resolves at its first content: a failure before that rejects, or falls back, as with
   * {@link Gateway.chat}.
   */
  chatStream(request: RichGatewayRequest): Promise<GatewayEventStreamResponse>;
  chatStream(request: GatewayRequest): Promise<GatewayEventStreamResponse>;

  /**
   * Adds middleware around `chat`: it may change the request, the answer, or answer itself. What is added first is
   * outermost. Returns the gateway.
   */
  use(middleware: Middleware): this;
  /**
   * `chat` on each request, through middleware, `concurrency` at once (8). Resolves to settled results in the requests' order;
   * once `signal` fires, those not begun are rejected with its reason.
   */
  batch(
    requests: RichGatewayRequest[],
    options?: { concurrency?: number; signal?: AbortSignal },
  ): Promise<PromiseSettledResult<GatewayResponse>[]>;
  /** Names of the loaded providers, in the order of the configuration. */
  listProviders(): string[];
}
