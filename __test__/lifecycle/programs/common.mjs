// What the programs share: gateways on a loopback upstream, and the rule that no rejection goes unhandled.
import { Gateway } from '../../../index.mjs'
import { sleep } from './server.mjs'

export * from './server.mjs'

process.on('unhandledRejection', (reason) => {
  console.error('unhandledRejection:', reason)
  process.exit(86)
})

export const messages = [{ role: 'user', content: 'hi' }]

/** Waits until `condition` holds; the error names what did not come about. */
export async function until(condition, what, ms = 10_000) {
  const end = performance.now() + ms
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`)
    await sleep(5)
  }
}

export function assert(holds, what) {
  if (!holds) throw new Error(what)
}

/** A gateway with a provider and a rule for each name: a request's `taskType` chooses. */
export function gatewayOn(url, names, { entry = {}, customs = {}, budgets = [], onUsageLog = () => {} } = {}) {
  const entries = names.map((name) => ({
    name,
    provider: 'openai',
    baseUrl: `${url}/${name}`,
    models: ['gpt-4o-mini'],
    auth: { type: 'none' },
    ...entry,
  }))
  const own = Object.keys(customs).map((name) => ({ name, provider: name, models: [name], auth: { type: 'none' } }))
  const providers = [...entries, ...own]
  const routes = providers.map(({ name }) => ({
    name,
    priority: 1,
    match: { taskType: name },
    target: { provider: name },
  }))
  const factory = ([name, methods]) => [name, () => ({ name, family: name, ...methods })]
  const customProviders = Object.fromEntries(Object.entries(customs).map(factory))
  return new Gateway({ config: { providers, routes, fallbackChains: [], budgets }, customProviders, onUsageLog })
}

/** The answer's text that `stream` gives, chunk by chunk. */
export async function texts(stream) {
  const all = []
  for await (const { delta } of stream) if (delta !== '') all.push(delta)
  return all
}

/** Megabytes resident after garbage collection. */
export async function residentMiB() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc()
    await sleep(20)
  }
  return process.memoryUsage.rss() / 2 ** 20
}

export function report(value) {
  console.log(JSON.stringify(value))
}
