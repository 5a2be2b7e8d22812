import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GatewayError, loadConfig, loadConfigFromObjects, validateConfig } from '../index.mjs'
import { ask, failureOf, gatewayOf } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

const valid = () => ({
  providers: [{ name: 'main', provider: 'openai', models: ['gpt-4o'], auth: { type: 'apiKey', envVar: 'KEY' } }],
  routes: {
    rules: [{ name: 'all', priority: 1, match: {}, target: { provider: 'main', fallbackChain: 'safe' } }],
    fallbackChains: [{ name: 'safe', steps: [{ provider: 'main', when: ['timeout', 'rate_limit'] }] }],
  },
  budgets: [
    { name: 'daily', scope: { type: 'global' }, window: 'day', limits: { maxCostUsd: 5 }, enforcement: 'hard' },
  ],
})

let root
let made = 0
beforeAll(async () => (root = await mkdtemp(path.join(tmpdir(), 'gateway-config-'))))
afterAll(() => rm(root, { recursive: true }))

/** A directory with these files; the usual three unless told. */
async function directory(files = {}, raw = valid()) {
  const dir = path.join(root, String(made++))
  await mkdir(dir)
  const usual = Object.fromEntries(
    Object.entries(raw).map(([name, part]) => [`gateway.${name}.json`, JSON.stringify(part)]),
  )
  for (const [name, text] of Object.entries({ ...usual, ...files })) {
    if (text !== undefined) await writeFile(path.join(dir, name), text)
  }
  return dir
}

const expected = () => {
  const { providers, routes, budgets } = valid()
  return { providers, routes: routes.rules, fallbackChains: routes.fallbackChains, budgets }
}

const invalid = (...faults) =>
  `Invalid configuration: ${faults.length} validation error(s):\n${faults.map((fault) => `  - ${fault}`).join('\n')}`

describe('loadConfig', () => {
  test('reads the three files of a directory', async () => {
    expect(await loadConfig(await directory())).toEqual(expected())
  })

  test('resolves to exactly four keys', async () => {
    const keys = Object.keys(await loadConfig(await directory()))
    expect(keys.sort()).toEqual(['budgets', 'fallbackChains', 'providers', 'routes'])
  })

  test('gives no chains where the routes file has none', async () => {
    const raw = valid()
    delete raw.routes.fallbackChains
    expect((await loadConfig(await directory({}, raw))).fallbackChains).toEqual([])
  })

  test('finds the directory relative to where the process runs', async () => {
    const dir = await directory()
    expect(await loadConfig(path.relative(process.cwd(), dir))).toEqual(expected())
  })

  test('takes other file names, relative to the directory', async () => {
    const { providers, routes, budgets } = valid()
    const dir = await directory({
      'gateway.providers.json': undefined,
      'gateway.routes.json': undefined,
      'gateway.budgets.json': undefined,
      'p.json': JSON.stringify(providers),
      'r.json': JSON.stringify(routes),
      'b.json': JSON.stringify(budgets),
    })
    expect(await loadConfig(dir, { providers: 'p.json', routes: './r.json', budgets: 'b.json' })).toEqual(expected())
  })

  test('keeps the usual names of the files that are not renamed', async () => {
    const budgets = [{ ...valid().budgets[0], name: 'other' }]
    const dir = await directory({ 'strict.json': JSON.stringify(budgets) })
    expect(await loadConfig(dir, { budgets: 'strict.json' })).toEqual({ ...expected(), budgets })
  })

  test('reads files that begin with a byte order mark', async () => {
    const dir = await directory({ 'gateway.providers.json': `\uFEFF${JSON.stringify(valid().providers)}` })
    expect(await loadConfig(dir)).toEqual(expected())
  })

  test.each(['providers', 'routes', 'budgets'])('names the %s file when it is missing', async (name) => {
    const file = `gateway.${name}.json`
    const dir = await directory({ [file]: undefined })
    const error = await failureOf(loadConfig(dir))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', kind: 'config_invalid', retryable: false, httpStatus: 500 })
    const start = `Invalid configuration: Failed to read "${path.join(dir, file)}": `
    expect(error.message.slice(0, start.length)).toBe(start)
    expect(error.message).toContain('ENOENT')
  })

  test.each(['providers', 'routes', 'budgets'])('names the %s file when it is no JSON', async (name) => {
    const file = `gateway.${name}.json`
    const dir = await directory({ [file]: '{"half": ' })
    const error = await failureOf(loadConfig(dir))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error.kind).toBe('config_invalid')
    const place = 'EOF while parsing a value at line 1 column 9'
    expect(error.message).toBe(`Invalid configuration: Failed to parse JSON in "${path.join(dir, file)}": ${place}`)
  })

  test('does not quote a file that is no JSON: it could hold a secret', async () => {
    const dir = await directory({ 'gateway.providers.json': '[{"auth": sk-secret}]' })
    expect((await failureOf(loadConfig(dir))).message).not.toContain('sk-secret')
  })

  test('validates what it has read', async () => {
    const dir = await directory({ 'gateway.budgets.json': '{}' })
    expect((await failureOf(loadConfig(dir))).message).toBe(invalid('budgets: must be an array'))
  })

  test('gives what a gateway takes', async () => {
    const up = await upstream(openai.answer('from files'))
    const raw = valid()
    Object.assign(raw.providers[0], { baseUrl: up.url, auth: { type: 'none' } })
    const loaded = await loadConfig(await directory({}, raw))
    const { gateway } = gatewayOf({ config: loaded })
    expect((await gateway.chat(ask())).content).toBe('from files')
  })
})

describe('loadConfigFromObjects', () => {
  test('gives rules and chains as collections of their own', () => {
    expect(loadConfigFromObjects(valid())).toEqual(expected())
  })

  test('has exactly four keys', () => {
    expect(Object.keys(loadConfigFromObjects(valid())).sort()).toEqual([
      'budgets',
      'fallbackChains',
      'providers',
      'routes',
    ])
  })

  test('gives no chains where there are none', () => {
    const raw = valid()
    delete raw.routes.fallbackChains
    expect(loadConfigFromObjects(raw).fallbackChains).toEqual([])
  })

  test('keeps fields that it does not know', () => {
    const raw = valid()
    raw.providers[0].note = 'mine'
    expect(loadConfigFromObjects(raw).providers[0].note).toBe('mine')
  })

  test('throws at once, not later', () => {
    expect(() => loadConfigFromObjects({ ...valid(), providers: 'none' })).toThrow(
      invalid('providers: must be an array'),
    )
  })
})

describe('validateConfig', () => {
  test('is silent about a good configuration', () => {
    expect(validateConfig(valid())).toBeUndefined()
  })

  test('accepts what is optional to be absent', () => {
    expect(
      validateConfig({
        providers: [{ name: 'local', provider: 'openai', models: ['m'], auth: { type: 'none' } }],
        routes: { rules: [{ name: 'all', priority: 0, match: {}, target: { provider: 'local' } }] },
        budgets: [],
      }),
    ).toBeUndefined()
  })

  test('accepts envVars in place of envVar', () => {
    const raw = valid()
    raw.providers[0].auth = { type: 'apiKey', envVars: ['KEY_A', 'KEY_B'] }
    expect(validateConfig(raw)).toBeUndefined()
  })

  test.each(['apiKey', 'bearer', 'customHeader'])('requires a variable for auth of type %s', (type) => {
    const raw = valid()
    raw.providers[0].auth = { type }
    expect(() => validateConfig(raw)).toThrow(invalid(`providers[0].auth.envVar: required when auth.type is "${type}"`))
  })

  const provider = (change) => (raw) => change(raw.providers[0])
  const rule = (change) => (raw) => change(raw.routes.rules[0])
  const chain = (change) => (raw) => change(raw.routes.fallbackChains[0])
  const budget = (change) => (raw) => change(raw.budgets[0])

  test.each([
    ['providers: must be an array', (raw) => (raw.providers = {})],
    ['providers: must be an array', (raw) => delete raw.providers],
    ['providers[0]: must be an object', (raw) => (raw.providers = ['main'])],
    ['providers[0].name: required string', provider((entry) => delete entry.name)],
    ['providers[0].name: required string', provider((entry) => (entry.name = 7))],
    ['providers[0].name: required string', provider((entry) => (entry.name = ''))],
    [
      "providers[0].provider: required string (e.g. 'openai', 'anthropic', 'openrouter')",
      provider((entry) => delete entry.provider),
    ],
    ['providers[0].models: must be a non-empty array of strings', provider((entry) => delete entry.models)],
    ['providers[0].models: must be a non-empty array of strings', provider((entry) => (entry.models = []))],
    ['providers[0].models: must be a non-empty array of strings', provider((entry) => (entry.models = ['a', 1]))],
    ["providers[0].auth: required object with 'type' field", provider((entry) => delete entry.auth)],
    ["providers[0].auth: required object with 'type' field", provider((entry) => (entry.auth = 'apiKey'))],
    [
      'providers[0].auth.type: must be one of: apiKey, bearer, none, customHeader',
      provider((entry) => (entry.auth.type = 'magic')),
    ],
    [
      'providers[0].auth.type: must be one of: apiKey, bearer, none, customHeader',
      provider((entry) => delete entry.auth.type),
    ],
    ['rules: must be an array', (raw) => (raw.routes.rules = 'all')],
    ['rules: must be an array', (raw) => delete raw.routes.rules],
    ['rules[0]: must be an object', (raw) => (raw.routes.rules = [1])],
    ['rules[0].name: required string', rule((entry) => delete entry.name)],
    ['rules[0].priority: required number', rule((entry) => delete entry.priority)],
    ['rules[0].priority: required number', rule((entry) => (entry.priority = '1'))],
    ["rules[0].target: required object with 'provider' field", rule((entry) => delete entry.target)],
    ['rules[0].target.provider: required string', rule((entry) => delete entry.target.provider)],
    ['fallbackChains: must be an array', (raw) => (raw.routes.fallbackChains = {})],
    ['fallbackChains[0]: must be an object', (raw) => (raw.routes.fallbackChains = ['safe'])],
    ['fallbackChains[0].name: required string', chain((entry) => delete entry.name)],
    ['fallbackChains[0].steps: must be a non-empty array', chain((entry) => (entry.steps = []))],
    ['fallbackChains[0].steps: must be a non-empty array', chain((entry) => delete entry.steps)],
    ['fallbackChains[0].steps[0].provider: required string', chain((entry) => delete entry.steps[0].provider)],
    [
      'fallbackChains[0].steps[0].when: must be an array of trigger strings',
      chain((entry) => (entry.steps[0].when = 'timeout')),
    ],
    [
      'fallbackChains[0].steps[0].when: invalid trigger "rain", must be: timeout, rate_limit, provider_error, budget_exceeded, manual',
      chain((entry) => (entry.steps[0].when = ['timeout', 'rain'])),
    ],
    ['budgets: must be an array', (raw) => (raw.budgets = null)],
    ['budgets[0]: must be an object', (raw) => (raw.budgets = ['daily'])],
    ['budgets[0].name: required string', budget((entry) => delete entry.name)],
    ["budgets[0].scope: required object with 'type' field", budget((entry) => delete entry.scope)],
    [
      'budgets[0].scope.type: must be one of: global, user, feature, model, userId, provider, key, team',
      budget((entry) => (entry.scope.type = 'planet')),
    ],
    ['budgets[0].window: must be one of: request, hour, day, month', budget((entry) => (entry.window = 'year'))],
  ])('says %s', (fault, change) => {
    const raw = valid()
    change(raw)
    expect(() => validateConfig(raw)).toThrow(expect.objectContaining({ message: invalid(fault) }))
  })

  test('names soft and hard as ways to enforce a budget', () => {
    const raw = valid()
    raw.budgets[0].enforcement = 'gentle'
    expect(() => validateConfig(raw)).toThrow(
      /^.*1 validation error\(s\):\n {2}- budgets\[0\]\.enforcement: must be one of: soft, hard\b/,
    )
  })

  test('reports a missing variable beside a bad auth type', () => {
    const raw = valid()
    raw.providers[0].auth = { type: 'magic' }
    expect(() => validateConfig(raw)).toThrow(
      expect.objectContaining({
        message: invalid(
          'providers[0].auth.type: must be one of: apiKey, bearer, none, customHeader',
          'providers[0].auth.envVar: required when auth.type is "magic"',
        ),
      }),
    )
  })

  test('lists every fault of every file in one error, with the place of each', async () => {
    const raw = valid()
    raw.providers.push({ ...raw.providers[0], name: '', models: [] })
    raw.routes.rules.push({ name: 'second', priority: 2, match: {}, target: {} })
    raw.routes.fallbackChains[0].steps.push({ provider: 'main' }, { provider: 'main', when: ['never'] })
    raw.budgets.push({ ...raw.budgets[0], scope: {} })
    const error = await failureOf(() => validateConfig(raw))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', kind: 'config_invalid', retryable: false, httpStatus: 500 })
    expect(error.message).toBe(
      invalid(
        'providers[1].name: required string',
        'providers[1].models: must be a non-empty array of strings',
        'rules[1].target.provider: required string',
        'fallbackChains[0].steps[2].when: invalid trigger "never", must be: timeout, rate_limit, provider_error, budget_exceeded, manual',
        'budgets[1].scope.type: must be one of: global, user, feature, model, userId, provider, key, team',
      ),
    )
  })

  test.each([[undefined], [null], ['text'], [[]]])('refuses %s with a config_invalid', async (raw) => {
    const error = await failureOf(() => validateConfig(raw))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error.kind).toBe('config_invalid')
  })
})
