'use strict'

// What kind of failure an error is, whoever made it. Advice for the program's own retries: the gateway's, which are in Rust,
// go by an error's kind alone and never ask here.

/** By {@link GatewayError}'s kind. */
const KINDS = {
  provider_auth: 'Authentication',
  unauthorized: 'Authentication',
  provider_rate_limit: 'RateLimit',
  rate_limited: 'RateLimit',
  budget_exceeded: 'RateLimit',
  provider_timeout: 'Timeout',
  provider_network: 'Network',
  provider_unavailable: 'ServerError',
  invalid_request: 'InvalidRequest',
  config_invalid: 'InvalidRequest',
  route_not_found: 'InvalidRequest',
  aborted: 'Unknown',
  internal: 'Unknown',
}

/** By code and message, the first that fits. */
const WORDS = [
  ['Timeout', /ETIMEDOUT|timed?[ -]?out/i],
  [
    'Network',
    /ECONNRESET|ECONNREFUSED|ECONNABORTED|ENETUNREACH|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN|EPIPE|\bDNS\b|fetch failed|socket hang up/i,
  ],
  ['RateLimit', /\brate|quota/i],
  ['ToolExecution', /tool_error|function_call/i],
  ['ServerError', /overloaded/i],
]

/** Milliseconds that a caller is advised to wait if the error gives no hint of its own. */
const BACKOFF = { RateLimit: 5000, Timeout: 1000, ServerError: 1000, Network: 500 }

/** `{category, retryable, backoffMs?}` of anything that was thrown. */
function classifyError(error) {
  const category = categoryOf(error)
  const retryable = typeof error?.retryable === 'boolean' ? error.retryable : category in BACKOFF
  if (!retryable) return { category, retryable }
  return { category, retryable, backoffMs: hinted(error) ?? BACKOFF[category] ?? 1000 }
}

function categoryOf(error) {
  if (error?.name === 'AbortError') return 'Unknown'
  if (error?.name === 'TimeoutError') return 'Timeout'
  const kind = typeof error?.kind === 'string' && Object.hasOwn(KINDS, error.kind) ? KINDS[error.kind] : undefined
  return kind ?? byStatus(statusOf(error)) ?? byWords(error) ?? 'Unknown'
}

function statusOf(error) {
  const known = [error?.details?.upstreamStatus, error?.status, error?.statusCode, error?.response?.status]
  return known.find((status) => Number.isInteger(status)) ?? (error?.kind === 'provider_response' ? 502 : undefined)
}

function byStatus(status) {
  if (status === undefined || status < 400) return undefined
  if (status === 401 || status === 403) return 'Authentication'
  if (status === 429) return 'RateLimit'
  if (status === 408) return 'Timeout'
  return status < 500 ? 'InvalidRequest' : 'ServerError'
}

// A wrapper's words say less than its cause's code: `fetch failed` hides ETIMEDOUT.
function byWords(error) {
  const texts = []
  for (let at = error, depth = 0; at != null && depth < 8; at = at.cause, depth++) {
    texts.unshift(typeof at === 'string' ? at : `${at.code ?? ''} ${at.message ?? ''}`)
  }
  for (const text of texts) {
    const found = WORDS.find(([, words]) => words.test(text))
    if (found !== undefined) return found[0]
  }
  return undefined
}

function hinted(error) {
  const own = error?.details?.retryAfterMs
  if (Number.isFinite(own) && own >= 0) return own
  const headers = error?.headers ?? error?.response?.headers
  const header = (name) => (typeof headers?.get === 'function' ? headers.get(name) : headers?.[name])
  const ms = Number.parseFloat(header('retry-after-ms'))
  if (ms >= 0) return ms
  const after = header('retry-after')
  if (after == null) return undefined
  const seconds = Number(after)
  const wait = Number.isNaN(seconds) ? Date.parse(after) - Date.now() : seconds * 1000
  return Number.isNaN(wait) ? undefined : Math.max(0, wait)
}

module.exports = { classifyError }
