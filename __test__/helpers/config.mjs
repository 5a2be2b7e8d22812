// Configurations and requests in a few words.
import { onTestFinished, vi } from 'vitest'
import { Gateway, loadConfigFromObjects } from '../../index.mjs'

/** The key that {@link provider} entries name. */
export const KEY = 'sk-test-0123456789'
process.env.AI_GATEWAY_TEST_KEY = KEY

/** A provider entry of the `openai` family; `fields` replace or add. */
export const provider = (name, baseUrl, fields = {}) => ({
  name,
  provider: 'openai',
  baseUrl,
  models: ['gpt-4o-mini'],
  auth: { type: 'apiKey', envVar: 'AI_GATEWAY_TEST_KEY' },
  ...fields,
})

/** An entry of a family that needs neither address nor key. */
export const custom = (name, family = 'custom', fields = {}) => ({
  name,
  provider: family,
  models: [`model-of-${name}`],
  auth: { type: 'none' },
  ...fields,
})

/** A rule for the provider or chain that `target` names; `fields` replace or add. */
export const rule = (target, fields = {}) => ({
  name: `to-${target.provider ?? target}`,
  priority: 0,
  match: {},
  target: typeof target === 'string' ? { provider: target } : target,
  ...fields,
})

/** A rule for a pool; a member is `provider`, `[provider, fields]` or `[provider, model]`. `fields` are the target's. */
export const pool = (members, fields = {}, ruleFields = {}) => {
  const member = (one) => (typeof one === 'string' ? { provider: one } : { provider: one[0], ...fieldsOf(one[1]) })
  return rule({ pool: members.map(member), ...fields }, { name: 'pool', ...ruleFields })
}
const fieldsOf = (fields) => (typeof fields === 'string' ? { model: fields } : fields)

/**
 * Custom providers under names: `{name: chat}`, where `chat(options, number)` gives a result, text, or a failure. Gives
 * `providers` and `customProviders` for {@link gatewayOf}, and the options of each call in `calls` by name.
 */
export function customs(chats, fields = {}) {
  const calls = Object.fromEntries(Object.keys(chats).map((name) => [name, []]))
  const factory = ({ name }) => ({
    name,
    family: 'custom',
    async chat(options) {
      const said = await chats[name](options, calls[name].push(options))
      return typeof said === 'string' ? result(said, { model: options.model }) : said
    },
  })
  const providers = Object.keys(chats).map((name) => custom(name, 'custom', fields[name]))
  return {
    providers,
    customProviders: { custom: factory },
    calls,
    counts: () => Object.values(calls).map((list) => list.length),
  }
}

/** A chain; a step is `provider` or `[provider, fields]`. */
export const chain = (name, ...steps) => ({
  name,
  steps: steps.map((step) => (typeof step === 'string' ? { provider: step } : { provider: step[0], ...step[1] })),
})

export const budget = (name, limits, fields = {}) => ({
  name,
  scope: { type: 'global' },
  window: 'day',
  enforcement: 'hard',
  limits,
  ...fields,
})

/** A configuration; without rules, everything goes to the first provider, down the first chain if there is one. */
export function config({ providers = [], rules, chains = [], budgets = [], settings }) {
  const first = { provider: providers[0]?.name, ...(chains.length > 0 && { fallbackChain: chains[0].name }) }
  const routes = { rules: rules ?? (providers.length > 0 ? [rule(first)] : []), fallbackChains: chains }
  return loadConfigFromObjects({ providers, routes, budgets, settings })
}

/** A gateway over {@link config}, and the usage logs that it has written. */
export function gatewayOf({ providers, rules, chains, budgets, settings, ...options }) {
  const logs = []
  const gateway = new Gateway({
    config: config({ providers, rules, chains, budgets, settings }),
    onUsageLog: (entry) => void logs.push(entry),
    ...options,
  })
  return { gateway, logs }
}

/** A request; `content` may be left out. */
export const ask = (fields = {}) => ({ messages: [{ role: 'user', content: 'Hi' }], ...fields })

/** A result as a provider's `chat` gives it. */
export const result = (content, fields = {}) => ({
  content,
  model: 'custom-model',
  inputTokens: 3,
  outputTokens: 2,
  totalTokens: 5,
  ...fields,
})

/** What `promise` rejects with, or `fn` throws, whatever it is. */
export async function failureOf(promiseOrFunction) {
  let value
  try {
    value = await (typeof promiseOrFunction === 'function' ? promiseOrFunction() : promiseOrFunction)
  } catch (error) {
    return error
  }
  throw new Error(`a failure was expected, not ${JSON.stringify(value)}`)
}

/** All items of an async iterable. */
export async function collect(iterable) {
  const items = []
  for await (const item of iterable) items.push(item)
  return items
}

/** Silences a method of the console for the test and gives the lines that it was called with. */
export function consoleLines(method) {
  const spy = vi.spyOn(console, method).mockImplementation(() => {})
  onTestFinished(() => spy.mockRestore())
  return {
    get lines() {
      return spy.mock.calls.map((args) => args.join(' '))
    },
  }
}
