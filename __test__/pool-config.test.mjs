import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Gateway, loadConfig, loadConfigFromObjects, validateConfig } from '../index.mjs'
import { ask, customs, failureOf, gatewayOf, pool, rule } from './helpers/config.mjs'

const entry = (fields = {}) => ({ name: 'p', provider: 'mock', models: ['mock'], auth: { type: 'none' }, ...fields })
const poolOf = (fields, members = [{ provider: 'p' }]) => ({ rule: rule({ pool: members, ...fields }) })
const ruleOf = (fields) => ({ rule: rule('p', fields) })
const entryOf = (fields) => ({ entry: entry(fields) })
const settingsOf = (settings) => ({ settings })
const chainOf = (fields) => ({ chain: { name: 'c', steps: [{ provider: 'p' }], ...fields } })

/** What the files hold, with these parts in place of good ones. */
function files({ entry: provider = entry(), rule: one = rule('p'), chain, settings }) {
  return {
    providers: [provider],
    routes: { rules: [one], fallbackChains: chain ? [chain] : [] },
    budgets: [],
    settings,
  }
}

function configOf(parts) {
  const { routes, ...rest } = files(parts)
  return { ...rest, routes: routes.rules, fallbackChains: routes.fallbackChains }
}

/** Paths in what a `config_invalid` says. */
function pathsOf(error) {
  expect(error).toMatchObject({ kind: 'config_invalid', code: 'CONFIG_INVALID', httpStatus: 500 })
  return [...new Set([...error.message.matchAll(/^ {2}- ([^:]+): ./gm)].map(([, path]) => path))]
}

// Paths as the loaders say them; `new Gateway` calls the list of rules `routes`.
const ROWS = [
  ['a misspelt strategy', poolOf({ strategy: 'round-robin' }), 'rules[0].target.strategy'],
  [
    'a pool that names a missing provider',
    poolOf({}, [{ provider: 'p' }, { provider: 'q' }]),
    'rules[0].target.pool[1].provider',
  ],
  ['a pool that is no list', poolOf({ pool: 'p' }), 'rules[0].target.pool'],
  ['a member without a provider', poolOf({}, [{}]), 'rules[0].target.pool[0].provider'],
  ['a member that is a name', poolOf({}, ['p']), 'rules[0].target.pool[0]'],
  ['a member of no weight', poolOf({}, [{ provider: 'p', weight: 0 }]), 'rules[0].target.pool[0].weight'],
  ['a member of negative weight', poolOf({}, [{ provider: 'p', weight: -1 }]), 'rules[0].target.pool[0].weight'],
  ['weights that are words', poolOf({ weights: { cost: 'much' } }), 'rules[0].target.weights.cost'],
  ['maxAttempts that is a word', poolOf({ maxAttempts: 'all' }), 'rules[0].target.maxAttempts'],
  ['a pattern that is a number', ruleOf({ match: { model: 5 } }), 'rules[0].match.model'],
  ['a hedge without afterMs', ruleOf({ hedge: {} }), 'rules[0].hedge.afterMs'],
  ['a hedge after a word', ruleOf({ hedge: { afterMs: 'p50' } }), 'rules[0].hedge.afterMs'],
  ['a hedge after less than nothing', ruleOf({ hedge: { afterMs: -5 } }), 'rules[0].hedge.afterMs'],
  ['a hedge that is a number', ruleOf({ hedge: 200 }), 'rules[0].hedge'],
  ['a weight that is a word', entryOf({ weight: 'heavy' }), 'providers[0].weight'],
  ['a priority below 0', entryOf({ priority: -1 }), 'providers[0].priority'],
  ['maxConcurrency that is a word', entryOf({ maxConcurrency: 'many' }), 'providers[0].maxConcurrency'],
  ['a rate below 0', entryOf({ rateLimit: { tokensPerMinute: -5 } }), 'providers[0].rateLimit.tokensPerMinute'],
  ['a rate that is no object', entryOf({ rateLimit: 60 }), 'providers[0].rateLimit'],
  ['a cooldown below 0', entryOf({ breaker: { cooldownMs: -1 } }), 'providers[0].breaker.cooldownMs'],
  [
    'a threshold that is a word',
    entryOf({ breaker: { failureThreshold: 'five' } }),
    'providers[0].breaker.failureThreshold',
  ],
  ['a breaker that is a switch', entryOf({ breaker: true }), 'providers[0].breaker'],
  ['an interval below 0', entryOf({ healthCheck: { intervalMs: -5 } }), 'providers[0].healthCheck.intervalMs'],
  ['a healthCheck that is a switch', entryOf({ healthCheck: true }), 'providers[0].healthCheck'],
  ['an unknown jitter', entryOf({ retry: { jitter: 'some' } }), 'providers[0].retry.jitter'],
  ['a degradedReply that is a number', chainOf({ degradedReply: 5 }), 'fallbackChains[0].degradedReply'],
  ['settings that are a word', settingsOf('on'), 'settings'],
  ['settings that are a list', settingsOf([]), 'settings'],
  ['a cache that is a switch', settingsOf({ cache: true }), 'settings.cache'],
  ['enabled that is a word', settingsOf({ cache: { enabled: 'yes' } }), 'settings.cache.enabled'],
  ['a ttl below 0', settingsOf({ cache: { ttlMs: -1 } }), 'settings.cache.ttlMs'],
  ['maxEntries that is a word', settingsOf({ cache: { maxEntries: 'all' } }), 'settings.cache.maxEntries'],
  ['dedupe that is a word', settingsOf({ dedupe: 'yes' }), 'settings.dedupe'],
  ['limits that are a number', settingsOf({ limits: 60 }), 'settings.limits'],
  ['a limit that is a word', settingsOf({ limits: { requestsPerMinute: 'few' } }), 'settings.limits.requestsPerMinute'],
  ['a reserve below 0', settingsOf({ retryBudget: { reserve: -1 } }), 'settings.retryBudget.reserve'],
  ['a ratio that is a word', settingsOf({ retryBudget: { ratio: 'a fifth' } }), 'settings.retryBudget.ratio'],
  ['a quality that is a word', settingsOf({ quality: { m: 'good' } }), 'settings.quality.m'],
  ['qualities that are a list', settingsOf({ quality: [1] }), 'settings.quality'],
]

// Numbers that are out of bounds, and words that are none of those that are known.
const BOUNDS = [
  ['an empty pool', poolOf({}, []), 'rules[0].target.pool'],
  [
    'weights of 0 alone',
    poolOf({ strategy: 'hybrid', weights: { cost: 0, latency: 0, quality: 0 } }),
    'rules[0].target.weights.cost',
  ],
  ['weights below 0', poolOf({ weights: { cost: -1 } }), 'rules[0].target.weights.cost'],
  ['an unknown hashKey', poolOf({ hashKey: 'ip' }), 'rules[0].target.hashKey'],
  ['metadata without a name', poolOf({ hashKey: 'metadata.' }), 'rules[0].target.hashKey'],
  ['no attempts', poolOf({ maxAttempts: 0 }), 'rules[0].target.maxAttempts'],
  ['a hedge at once', ruleOf({ hedge: { afterMs: 0 } }), 'rules[0].hedge.afterMs'],
  ['a hedge with nobody', ruleOf({ hedge: { afterMs: 5, maxExtra: 0 } }), 'rules[0].hedge.maxExtra'],
  ['a weight of 0', entryOf({ weight: 0 }), 'providers[0].weight'],
  ['a weight below 0', entryOf({ weight: -2 }), 'providers[0].weight'],
  ['no places', entryOf({ maxConcurrency: 0 }), 'providers[0].maxConcurrency'],
  ['no requests', entryOf({ rateLimit: { requestsPerMinute: 0 } }), 'providers[0].rateLimit.requestsPerMinute'],
  ['a threshold of 0', entryOf({ breaker: { failureThreshold: 0 } }), 'providers[0].breaker.failureThreshold'],
  ['no probes', entryOf({ breaker: { halfOpenMaxRequests: 0 } }), 'providers[0].breaker.halfOpenMaxRequests'],
  ['checks without a pause', entryOf({ healthCheck: { intervalMs: 0 } }), 'providers[0].healthCheck.intervalMs'],
  ['a ttl of 0', settingsOf({ cache: { ttlMs: 0 } }), 'settings.cache.ttlMs'],
  ['no requests of users', settingsOf({ limits: { requestsPerMinute: 0 } }), 'settings.limits.requestsPerMinute'],
  ['a ratio below 0', settingsOf({ retryBudget: { ratio: -1 } }), 'settings.retryBudget.ratio'],
  ['a quality above 1', settingsOf({ quality: { m: 2 } }), 'settings.quality.m'],
]

describe('what cannot be used is config_invalid with its path', () => {
  test.each([...ROWS, ...BOUNDS])('%s, by loadConfigFromObjects and validateConfig', async (_, parts, path) => {
    for (const check of [loadConfigFromObjects, validateConfig]) {
      expect(pathsOf(await failureOf(() => check(files(parts))))).toEqual([path])
    }
  })

  test.each([...ROWS, ...BOUNDS])('%s, by new Gateway', async (_, parts, path) => {
    const make = () => new Gateway({ config: configOf(parts), onUsageLog: () => {} })
    expect(pathsOf(await failureOf(make))).toEqual([path.replace('rules', 'routes')])
  })

  test('a fault is told once', async () => {
    const error = await failureOf(() => loadConfigFromObjects(files(poolOf({}, [{ provider: 'p', weight: 0 }]))))
    expect(error.message).toContain(' 1 validation error(s)')
  })

  test('all faults are told at once', async () => {
    const parts = {
      ...entryOf({ weight: 'x', breaker: { cooldownMs: -1 } }),
      ...poolOf({ strategy: 'least-busy' }),
      ...settingsOf({ dedupe: 1 }),
    }
    expect(pathsOf(await failureOf(() => loadConfigFromObjects(files(parts))))).toEqual([
      'providers[0].weight',
      'providers[0].breaker.cooldownMs',
      'rules[0].target.strategy',
      'settings.dedupe',
    ])
  })
})

describe('what can be used', () => {
  test('every field at once, and null for unset', () => {
    const parts = {
      entry: entry({
        weight: 0.5,
        priority: 3,
        maxConcurrency: 4,
        rateLimit: { requestsPerMinute: 60, tokensPerMinute: 100_000 },
        breaker: { failureThreshold: 2, cooldownMs: 0, halfOpenMaxRequests: 1 },
        healthCheck: { intervalMs: 1000 },
        retry: { maxAttempts: 2, jitter: 'full' },
      }),
      rule: rule(
        {
          pool: [{ provider: 'p', model: 'mock', weight: 2 }],
          strategy: 'hybrid',
          hashKey: 'metadata.session',
          weights: { cost: 1, latency: 0, quality: 2 },
          maxAttempts: 1,
          fallbackChain: 'c',
        },
        { match: { model: 'gpt-*' }, hedge: { afterMs: 'p95', maxExtra: 2 } },
      ),
      chain: { name: 'c', steps: [{ provider: 'p' }], degradedReply: '' },
      settings: {
        cache: { enabled: true, ttlMs: 1, maxEntries: 1 },
        dedupe: true,
        limits: { requestsPerMinute: 1, tokensPerMinute: 1 },
        retryBudget: { ratio: 0, reserve: 0 },
        quality: { mock: 1 },
      },
    }
    const config = loadConfigFromObjects(files(parts))
    expect(config).toEqual(configOf(parts))
    new Gateway({ config })
    const unset = {
      entry: entry({ weight: null, breaker: null, rateLimit: null }),
      ...poolOf({ strategy: null, weights: null, hashKey: null }),
      settings: null,
    }
    new Gateway({ config: loadConfigFromObjects(files(unset)) })
  })

  test('without settings there are none in the result', () => {
    expect(loadConfigFromObjects(files({}))).not.toHaveProperty('settings')
  })
})

describe('gateway.settings.json', () => {
  async function directory(extra = {}) {
    const dir = await mkdtemp(path.join(tmpdir(), 'gateway-settings-'))
    onTestFinished(() => rm(dir, { recursive: true }))
    const { providers, routes, budgets } = files({})
    for (const [name, content] of Object.entries({ providers, routes, budgets, ...extra })) {
      await writeFile(path.join(dir, name.includes('.') ? name : `gateway.${name}.json`), JSON.stringify(content))
    }
    return dir
  }

  test('is read where it is, and need not be', async () => {
    const settings = { dedupe: true }
    expect((await loadConfig(await directory({ settings }))).settings).toEqual(settings)
    expect(await loadConfig(await directory())).not.toHaveProperty('settings')
  })

  test('may have another name, and must then be there', async () => {
    const dir = await directory({ 'mine.json': { dedupe: true } })
    expect((await loadConfig(dir, { settings: 'mine.json' })).settings).toEqual({ dedupe: true })
    const error = await failureOf(loadConfig(dir, { settings: 'theirs.json' }))
    expect(error).toMatchObject({ kind: 'config_invalid' })
    expect(error.message).toContain('theirs.json')
  })

  test('its faults are told with the others', async () => {
    expect(pathsOf(await failureOf(loadConfig(await directory({ settings: { cache: 5 } }))))).toEqual([
      'settings.cache',
    ])
  })
})

describe('match.model', () => {
  const says = (name) => async () => name
  const own = () => customs({ gpt: says('gpt'), claude: says('claude'), rest: says('rest') })
  const of = (...rules) => gatewayOf({ ...own(), rules }).gateway
  const to = async (gateway, model) => (await gateway.chat(ask({ model }))).content

  test('the first pattern that fits, by priority', async () => {
    const gateway = of(
      rule('gpt', { match: { model: 'gpt-*' }, priority: 5 }),
      rule('claude', { match: { model: 'claude-*-4-?' }, priority: 4 }),
      rule('rest'),
    )
    expect(await to(gateway, 'gpt-4o')).toBe('gpt')
    expect(await to(gateway, 'claude-opus-4-1')).toBe('claude')
    expect(await to(gateway, 'claude-opus-4-10')).toBe('rest')
    expect(await to(gateway, 'chatgpt-4o-latest')).toBe('rest')
    expect(await to(gateway, undefined)).toBe('rest')
  })

  test.each([
    ['', 'anything', true],
    ['*', 'anything', true],
    ['*/*', 'meta-llama/llama-3.3-70b', true],
    ['*/*', 'gpt-4o', false],
    ['gpt-4o', 'gpt-4o', true],
    ['gpt-4o', 'gpt-4o-mini', false],
    ['gpt-4.1', 'gpt-4x1', false],
    ['GPT-*', 'gpt-4o', false],
  ])('%s and %s: %s', async (pattern, model, fits) => {
    const gateway = of(rule('gpt', { match: { model: pattern }, priority: 5 }), rule('rest'))
    expect(await to(gateway, model)).toBe(fits ? 'gpt' : 'rest')
  })

  test('beside other conditions, and for pools', async () => {
    const gateway = of(
      pool(['claude'], {}, { match: { model: 'claude-*', userTier: 'pro' }, priority: 1 }),
      rule('rest'),
    )
    const pick = async (fields) => (await gateway.chat(ask(fields))).content
    expect(await pick({ model: 'claude-x', userTier: 'pro' })).toBe('claude')
    expect(await pick({ model: 'claude-x' })).toBe('rest')
    expect(await pick({ userTier: 'pro' })).toBe('rest')
  })
})
