import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { BudgetGuard, Gateway, loadConfig, loadConfigFromObjects } from '../index.mjs'
import {
  ask,
  budget,
  chain,
  config,
  consoleLines,
  custom,
  customs,
  failureOf,
  gatewayOf,
  rule,
} from './helpers/config.mjs'

const { providers, customProviders } = customs({ a: () => 'x', b: () => 'x' })

/** The message of the refusal, by `new Gateway` and by the loader alike. */
function refusal(parts) {
  const routes = { rules: parts.rules ?? [rule('a')], fallbackChains: parts.chains ?? [] }
  const raw = { providers, routes, budgets: [], ...parts }
  const flat = { ...raw, routes: routes.rules, fallbackChains: routes.fallbackChains }
  const messages = [() => loadConfigFromObjects(raw), () => new Gateway({ config: flat, customProviders })].map(
    (make) => {
      try {
        make()
      } catch (error) {
        expect(error).toMatchObject({ kind: 'config_invalid' })
        return error.message.replaceAll('rules[', 'routes[')
      }
      throw new Error('a refusal was expected')
    },
  )
  expect(messages[0]).toBe(messages[1])
  return messages[0]
}

test.each([
  ['budgets[0].limits.maxCostUsd', { budgets: [budget('d', { maxCostUsd: Number(undefined) })] }],
  ['budgets[0].limits.maxTotalTokens', { budgets: [budget('d', { maxTotalTokens: Infinity })] }],
  ['providers[0].timeoutMs', { providers: [custom('a', 'custom', { timeoutMs: NaN })] }],
  [
    'providers[0].rateLimit.requestsPerMinute',
    { providers: [custom('a', 'custom', { rateLimit: { requestsPerMinute: NaN } })] },
  ],
  ['settings.limits.tokensPerMinute', { settings: { limits: { tokensPerMinute: NaN } } }],
  ['settings.retryBudget.ratio', { settings: { retryBudget: { ratio: NaN } } }],
])('a %s that is no finite number is refused', (field, parts) => {
  expect(refusal(parts)).toMatch(
    new RegExp(
      `^Invalid configuration: ${RegExp.escape?.(field) ?? field.replace(/[[\].]/g, '\\$&')}: must be a finite number, not (NaN|Infinity)$`,
    ),
  )
})

test.each([
  ['maxTokens', { maxTokens: NaN }],
  ['timeoutMs', { timeoutMs: NaN }],
  ['topP', { topP: Infinity }],
  ['cache.ttlMs', { cache: { ttlMs: NaN } }],
])('a request whose %s is no finite number is refused', async (field, fields) => {
  const { gateway } = gatewayOf({ providers, customProviders })
  expect(await failureOf(gateway.chat(ask(fields)))).toMatchObject({
    kind: 'invalid_request',
    message: expect.stringContaining(`${field}: must be a finite number`),
    details: { path: field },
  })
})

test("numbers in what is the program's own are nobody's business", async () => {
  const { gateway } = gatewayOf({ providers, customProviders })
  expect((await gateway.chat(ask({ metadata: { score: NaN } }))).content).toBe('x')
})

test('limits, matches and policies that a slip turns off are refused with what was meant', () => {
  expect(refusal({ budgets: [budget('d', { maxCost: 1 })] })).toContain(
    'budgets[0].limits: limits nothing: it has none of maxInputTokens, maxOutputTokens, maxTotalTokens, maxCostUsd, warnAt; did you mean "maxCostUsd"?',
  )
  expect(refusal({ rules: [rule('a', { match: { task_type: 'x' } })] })).toContain('did you mean "taskType"?')
  expect(refusal({ budgets: [budget('d', { maxCostUsd: 1 }), budget('d', { maxCostUsd: 2 })] })).toContain(
    'budgets[1]: equals budgets[0] in name, scope and window',
  )
})

test('other slips and names of nothing are warned of once for a configuration', async () => {
  const out = consoleLines('warn')
  const slips = {
    providers,
    rules: [
      rule({ provider: 'a', fallbackChain: 'backup' }, { match: { feature: 'x', userTeir: 'free' } }),
      rule('aa'),
    ],
    chains: [chain('back-up', 'a', 'c')],
  }
  const { gateway } = gatewayOf({ ...slips, customProviders })
  const lines = [
    '[gateway] Configuration: routes[0].match.userTeir: unknown field; did you mean "userTier"?',
    '[gateway] Configuration: routes[0].target.fallbackChain: names no chain: "backup"; did you mean "back-up"?',
    '[gateway] Configuration: routes[1].target.provider: names no provider: "aa"; did you mean "a"?',
    '[gateway] Configuration: fallbackChains[0].steps[1].provider: names no provider: "c"',
  ]
  expect(out.lines).toEqual(lines)
  await gateway.chat(ask({ feature: 'x' }))
  expect(out.lines).toEqual(lines)
  await gateway.reload(config(slips))
  expect(out.lines).toEqual([...lines, ...lines])
})

test('the standalone classes take what they took', () => {
  expect(() => new BudgetGuard([budget('d', { maxCostUsd: NaN })])).not.toThrow()
})

test('a file that is no JSON is named with line and column', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'guards-'))
  await writeFile(path.join(dir, 'gateway.providers.json'), '[\n  {"name": "a" "provider": "openai"}\n]')
  for (const part of ['routes', 'budgets']) await writeFile(path.join(dir, `gateway.${part}.json`), '[]')
  const { message } = await failureOf(loadConfig(dir))
  expect(message).toMatch(
    /Failed to parse JSON in ".*gateway\.providers\.json": expected `,` or `}` at line 2 column \d+$/,
  )
})
