import { describe, expect, test } from 'vitest'
import { GatewayError, OpenAIProvider, ProviderRegistry, Router } from '../index.mjs'
import { ask, chain, collect, consoleLines, custom, failureOf, provider, result, rule } from './helpers/config.mjs'
import { openai, status, upstream } from './helpers/upstream.mjs'

/** A registry of providers that answer with their name and the model; `methods` replace those of one provider. */
function registryOf(names, methods = {}) {
  const registry = new ProviderRegistry()
  registry.registerFactory('custom', ({ name }) => ({
    name,
    family: 'custom',
    chat: async ({ model }) => result(`${name}:${model}`),
    chatStream: async ({ model }) => ({
      stream: [{ delta: `${name}:` }, { delta: model, finishReason: 'stop' }],
      getUsage: async () => result(`${name}:${model}`),
    }),
    ...methods[name],
  }))
  registry.load(names.map((name) => custom(name)))
  return registry
}

const failing = (error) => ({
  chat: async () => {
    throw error
  },
  chatStream: async () => {
    throw error
  },
})

describe('ProviderRegistry', () => {
  test('begins empty', () => {
    expect(new ProviderRegistry().list()).toEqual([])
  })

  test('gives the very object that the factory returned', () => {
    const object = { name: 'a', family: 'x', chat: async () => result('x') }
    const registry = new ProviderRegistry()
    registry.registerFactory('custom', () => object)
    registry.load([custom('a')])
    expect(registry.get('a')).toBe(object)
    expect(registry.require('a')).toBe(object)
  })

  test('gives a factory the very entry', () => {
    const entry = custom('a')
    let given
    const registry = new ProviderRegistry()
    registry.registerFactory('custom', (config) => ((given = config), { name: 'a' }))
    registry.load([entry])
    expect(given).toBe(entry)
  })

  test('knows nothing of a name that is not loaded', async () => {
    const registry = registryOf(['a'])
    expect(registry.get('b')).toBeUndefined()
    const error = await failureOf(() => registry.require('b'))
    expect(error.constructor).toBe(Error)
    expect(error.message).toBe('Provider "b" not found in registry')
  })

  test('lists names in the order of loading', () => {
    const registry = registryOf(['zeta', 'alpha'])
    registry.load([custom('mid')])
    expect(registry.list()).toEqual(['zeta', 'alpha', 'mid'])
  })

  test('builds the families that it has from the start', () => {
    const registry = new ProviderRegistry()
    registry.load(
      ['openai', 'anthropic', 'openrouter'].map((family) => provider(`my-${family}`, undefined, { provider: family })),
    )
    expect(registry.list().map((name) => registry.get(name).family)).toEqual(['openai', 'anthropic', 'openrouter'])
    expect(registry.get('my-openai')).toBeInstanceOf(OpenAIProvider)
  })

  test('prefers a family of yours to the built-in one of its name', () => {
    const registry = new ProviderRegistry()
    registry.registerFactory('openai', ({ name }) => ({ name, family: 'mine' }))
    registry.load([provider('a')])
    expect(registry.get('a').family).toBe('mine')
  })

  test('keeps the last of two entries with one name', () => {
    const registry = new ProviderRegistry()
    registry.registerFactory('custom', ({ name, models }) => ({ name, family: models[0] }))
    registry.load([custom('a', 'custom', { models: ['first'] }), custom('a', 'custom', { models: ['last'] })])
    expect(registry.list()).toEqual(['a'])
    expect(registry.get('a').family).toBe('last')
  })

  test('passes over entries that are not enabled', () => {
    const registry = new ProviderRegistry()
    registry.registerFactory('custom', ({ name }) => ({ name }))
    registry.load([custom('a', 'custom', { enabled: false }), custom('b')])
    expect(registry.list()).toEqual(['b'])
  })

  test('throws for a family without a factory', () => {
    expect(() => new ProviderRegistry().load([custom('a', 'martian')])).toThrow(
      expect.objectContaining({ message: 'No provider factory for family "martian" (entry: "a")' }),
    )
  })

  test('warns of a factory that throws, and goes on', () => {
    const warnings = consoleLines('warn')
    const registry = new ProviderRegistry()
    registry.registerFactory('custom', ({ name }) => {
      if (name === 'a') throw new Error('no licence')
      return { name }
    })
    registry.load([custom('a'), custom('b')])
    expect(registry.list()).toEqual(['b'])
    expect(warnings.lines).toEqual(['[gateway] Skipping provider "a": no licence'])
  })
})

describe('Router.resolve', () => {
  const rules = [
    rule('a', { priority: 1 }),
    rule({ provider: 'b', model: 'rule-model', fallbackChain: 'safe' }, { priority: 5, match: { taskType: 'code' } }),
  ]
  const chains = [chain('other', 'a'), chain('safe', 'b', 'a')]
  const registry = registryOf(['a', 'b'])
  const router = new Router(rules, chains, registry)

  test('gives the very rule, provider and chain, and the model', () => {
    const decision = router.resolve(ask({ taskType: 'code' }))
    expect(decision.rule).toBe(rules[1])
    expect(decision.provider).toBe(registry.get('b'))
    expect(decision.model).toBe('rule-model')
    expect(decision.fallbackChain).toBe(chains[1])
  })

  test('asks only which rule matches: a request needs no messages for that', () => {
    expect(router.resolve({ messages: [], taskType: 'code' }).rule).toBe(rules[1])
    expect(router.resolve({ taskType: 'code' }).rule).toBe(rules[1])
  })

  test('gives no chain where the rule names none', () => {
    expect(router.resolve(ask()).fallbackChain).toBeUndefined()
  })

  test('takes the request’s model first and the provider’s default last', () => {
    expect(router.resolve(ask({ taskType: 'code', model: 'asked' })).model).toBe('asked')
    expect(router.resolve(ask()).model).toBe('model-of-a')
  })

  test('throws a plain Error where no rule matches', async () => {
    const only = new Router([rules[1]], chains, registry)
    const error = await failureOf(() => only.resolve(ask({ taskType: 'chat', userTier: 'gold' })))
    expect(error.constructor).toBe(Error)
    expect(error.message).toBe('No route matches request: taskType=chat, feature=undefined, userTier=gold')
  })

  test('throws a plain Error where the rule’s provider is not loaded', async () => {
    const error = await failureOf(() => new Router([rule('gone')], [], registry).resolve(ask()))
    expect(error.constructor).toBe(Error)
    expect(error.message).toBe('Provider "gone" not found in registry')
  })

  test('sees what is loaded after the router was made', () => {
    const late = registryOf([])
    const early = new Router([rule('a')], [], late)
    late.load([custom('a')])
    expect(early.resolve(ask()).provider).toBe(late.get('a'))
  })
})

describe('Router.execute', () => {
  test('gives decision, result and who answered', async () => {
    const given = result('x')
    const registry = registryOf(['a'], { a: { chat: async () => given } })
    const router = new Router([rule('a')], [], registry)
    const request = ask()
    const decision = router.resolve(request)
    const outcome = await router.execute(request, decision)
    expect(outcome).toEqual({
      decision,
      providerResult: given,
      actualProvider: registry.get('a'),
      fallbackTriggered: false,
      fallbackFrom: undefined,
    })
    expect(outcome.actualProvider).toBe(registry.get('a'))
  })

  test('hands back the very decision and the very result of a custom provider', async () => {
    const given = result('x', { mine: true })
    const router = new Router([rule('a')], [], registryOf(['a'], { a: { chat: async () => given } }))
    const decision = router.resolve(ask())
    const outcome = await router.execute(ask(), decision)
    expect(outcome.decision).toBe(decision)
    expect(outcome.providerResult).toBe(given)
  })

  test('asks for the decision’s model', async () => {
    const router = new Router([rule('a')], [], registryOf(['a']))
    const decision = { ...router.resolve(ask()), model: 'decided' }
    expect((await router.execute(ask(), decision)).providerResult.content).toBe('a:decided')
  })

  test('takes any object as the decision’s provider', async () => {
    const router = new Router([rule('a')], [], registryOf(['a']))
    let seen
    const plain = {
      name: 'plain',
      family: 'none',
      chat: async (options) => ((seen = options), result('from a plain object')),
    }
    const request = ask({ maxTokens: 3 })
    const outcome = await router.execute(request, { rule: rule('a'), provider: plain, model: 'm' })
    expect(outcome.actualProvider).toBe(plain)
    expect(outcome.providerResult.content).toBe('from a plain object')
    expect(seen).toStrictEqual({ model: 'm', messages: request.messages, maxTokens: 3, temperature: undefined })
    expect(seen.messages).toBe(request.messages)
  })

  test('takes a built-in provider that no registry knows', async () => {
    const up = await upstream(openai.answer('built-in', { usage: [3, 4] }))
    const router = new Router([], [], new ProviderRegistry())
    const decision = { rule: rule('x'), provider: new OpenAIProvider(provider('loose', up.url)), model: 'm' }
    const outcome = await router.execute(ask(), decision)
    expect(outcome.actualProvider).toBe(decision.provider)
    expect(outcome.providerResult).toEqual({
      content: 'built-in',
      model: 'gpt-4o-mini',
      inputTokens: 3,
      outputTokens: 4,
      totalTokens: 7,
    })
    expect(up.last().body).toEqual({ model: 'm', messages: ask().messages })
  })

  test('goes down the decision’s chain', async () => {
    const registry = registryOf(['a', 'b'], { a: failing(new Error('boom')) })
    const chains = [chain('safe', 'a', ['b', { model: 'step-model' }])]
    const router = new Router([rule({ provider: 'a', fallbackChain: 'safe' })], chains, registry)
    const decision = router.resolve(ask())
    const outcome = await router.execute(ask(), decision)
    expect(outcome.actualProvider).toBe(registry.get('b'))
    expect(outcome).toMatchObject({
      decision: { model: 'model-of-a' },
      providerResult: { content: 'b:step-model' },
      fallbackTriggered: true,
      fallbackFrom: 'a',
    })
  })

  test('rejects with the very error of a custom provider', async () => {
    const boom = new Error('boom')
    const router = new Router([rule('a')], [], registryOf(['a'], { a: failing(boom) }))
    expect(await failureOf(router.execute(ask(), router.resolve(ask())))).toBe(boom)
  })

  test('rejects with a GatewayError of a built-in one', async () => {
    const up = await upstream(status(503, 'closed'))
    const registry = new ProviderRegistry()
    registry.load([provider('a', up.url)])
    const router = new Router([rule('a')], [], registry)
    const error = await failureOf(router.execute(ask(), router.resolve(ask())))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error.message).toBe('Provider "a" returned 503: closed')
  })
})

describe('Router.executeStream', () => {
  test('gives a stream result in place of the result', async () => {
    const registry = registryOf(['a'])
    const router = new Router([rule('a')], [], registry)
    const decision = router.resolve(ask())
    const outcome = await router.executeStream(ask(), decision)
    expect(Object.keys(outcome).sort()).toEqual([
      'actualProvider',
      'decision',
      'fallbackFrom',
      'fallbackTriggered',
      'streamResult',
    ])
    expect(outcome.fallbackTriggered).toBe(false)
    expect(outcome.actualProvider).toBe(registry.get('a'))
    expect(outcome.decision).toBe(decision)
    const chunks = await collect(outcome.streamResult.stream)
    expect(chunks.map((chunk) => chunk.delta)).toEqual(['a:', 'model-of-a'])
    expect(chunks[1].finishReason).toBe('stop')
    expect(await outcome.streamResult.getUsage()).toMatchObject(result('a:model-of-a'))
  })

  test('streams a built-in provider', async () => {
    const up = await upstream(openai.stream(['Hel', 'lo'], { usage: [3, 4] }))
    const registry = new ProviderRegistry()
    registry.load([provider('a', up.url)])
    const router = new Router([rule('a')], [], registry)
    const { streamResult } = await router.executeStream(ask(), router.resolve(ask()))
    expect((await collect(streamResult.stream)).map((chunk) => chunk.delta)).toEqual(['', 'Hel', 'lo', '', ''])
    expect(await streamResult.getUsage()).toMatchObject({
      content: 'Hello',
      inputTokens: 3,
      outputTokens: 4,
      totalTokens: 7,
    })
  })

  test('goes down the decision’s chain', async () => {
    const registry = registryOf(['a', 'b'], { a: failing(new Error('boom')) })
    const router = new Router([rule({ provider: 'a', fallbackChain: 'safe' })], [chain('safe', 'a', 'b')], registry)
    const outcome = await router.executeStream(ask(), router.resolve(ask()))
    expect(outcome).toMatchObject({ fallbackTriggered: true, fallbackFrom: 'a' })
    expect(outcome.actualProvider).toBe(registry.get('b'))
    expect((await collect(outcome.streamResult.stream)).map((chunk) => chunk.delta).join('')).toBe('b:model-of-b')
  })

  test('takes any object as the decision’s provider', async () => {
    const plain = {
      name: 'plain',
      family: 'none',
      chat: async () => result('x'),
      chatStream: async () => ({ stream: [{ delta: 'x' }], getUsage: async () => result('x') }),
    }
    const router = new Router([], [], new ProviderRegistry())
    const outcome = await router.executeStream(ask(), { rule: rule('x'), provider: plain, model: 'm' })
    expect(outcome.actualProvider).toBe(plain)
    expect((await collect(outcome.streamResult.stream)).map((chunk) => chunk.delta)).toEqual(['x'])
  })

  test('rejects where the provider cannot stream', async () => {
    const router = new Router([rule('a')], [], registryOf(['a'], { a: { chatStream: undefined } }))
    const error = await failureOf(router.executeStream(ask(), router.resolve(ask())))
    expect(error.message).toBe('Provider "a" does not support streaming')
  })
})
