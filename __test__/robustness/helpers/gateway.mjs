// Gateways for tests, and what they say.
import { createRequire } from 'node:module'
import { vi } from 'vitest'

export const library = createRequire(import.meta.url)('../../../index.js')
const { Gateway } = library

// The machine's own proxies are no part of a test.
for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'all_proxy']) {
  delete process.env[name]
  delete process.env[name.toUpperCase()]
}

/**
 * A gateway over these entries. One rule leads to the first of them, or down `steps` where these are given; `rules`
 * take its place. `logs` gets its usage log.
 */
export function gatewayOf({ providers, steps, rules, budgets = [], custom }) {
  const logs = []
  const target = { provider: providers[0].name, ...(steps ? { fallbackChain: 'chain' } : {}) }
  const config = {
    providers,
    routes: rules ?? [{ name: 'all', priority: 0, match: {}, target }],
    fallbackChains: steps ? [{ name: 'chain', steps }] : [],
    budgets,
  }
  const gateway = new Gateway({ config, onUsageLog: (entry) => void logs.push(entry), customProviders: custom })
  return { gateway, logs }
}

/** The entry of a provider written in JavaScript; `methods` are its `chat` and `chatStream`. */
export function customEntry(methods, more) {
  const entry = { name: 'js', provider: 'custom', models: ['m'], auth: { type: 'none' }, ...more }
  return { providers: [entry], custom: { custom: ({ name }) => ({ name, family: 'custom', ...methods }) } }
}

export const ask = (more, text = 'hi') => ({ messages: [{ role: 'user', content: text }], ...more })

/** What a promise rejects with. */
export async function failure(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`expected a rejection, got ${JSON.stringify(value)}`)
}

/** All chunks of a stream, and what it threw. */
export async function readAll(stream) {
  const chunks = []
  try {
    for await (const chunk of stream) chunks.push(chunk)
    return { chunks, text: textOf(chunks), error: undefined }
  } catch (error) {
    return { chunks, text: textOf(chunks), error }
  }
}

const textOf = (chunks) => chunks.map(({ delta }) => delta).join('')

/** Whether `promise` has settled after `ms`. */
export async function settledWithin(ms, promise) {
  let timer
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms, false)))
  const result = await Promise.race([
    promise.then(
      () => true,
      () => true,
    ),
    late,
  ])
  clearTimeout(timer)
  return result
}

export const TIMEOUT = {
  name: 'GatewayError',
  code: 'PROVIDER_TIMEOUT',
  kind: 'provider_timeout',
  httpStatus: 504,
  retryable: true,
}
export const NETWORK = {
  name: 'GatewayError',
  code: 'PROVIDER_NETWORK',
  kind: 'provider_network',
  httpStatus: 502,
  retryable: true,
}
export const RESPONSE = { name: 'GatewayError', code: 'PROVIDER_RESPONSE', kind: 'provider_response', httpStatus: 502 }
export const INVALID = {
  name: 'GatewayError',
  code: 'INVALID_REQUEST',
  kind: 'invalid_request',
  httpStatus: 400,
  retryable: false,
}

/** Everything printed through the console while the test runs. */
export function listenToConsole() {
  const lines = []
  for (const method of ['log', 'info', 'warn', 'error', 'debug']) {
    vi.spyOn(console, method).mockImplementation((...args) => void lines.push(args.join(' ')))
  }
  return lines
}

/** Waits until `condition()` holds; fails after `ms`. */
export async function eventually(condition, ms = 3000) {
  const end = performance.now() + ms
  while (!condition()) {
    if (performance.now() > end) throw new Error(`did not happen within ${ms} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
