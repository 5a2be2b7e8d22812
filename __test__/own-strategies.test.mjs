// Pools whose members a strategy of the program's own puts in order.
import { expect, test } from 'vitest'
import { Gateway, loadConfigFromObjects } from '../index.mjs'
import { ask, chain, collect, config, customs, failureOf, pool, result, rule } from './helpers/config.mjs'

const answering = (names) => Object.fromEntries(names.map((name) => [name, () => name]))
const failing = () => {
  throw new Error('no')
}

/** A gateway whose rule has a pool of `chats` with strategy `mine`. */
function ordered(chats, mine, { target = {}, ...fields } = {}) {
  const { providers, customProviders, counts } = customs(chats)
  const rules = [pool(Object.keys(chats), { strategy: 'mine', ...target })]
  const gateway = new Gateway({
    config: config({ providers, rules, ...fields }),
    customProviders,
    strategies: { mine },
    onUsageLog() {},
  })
  return { gateway, counts }
}

test('members are tried in the order that the strategy gives', async () => {
  const seen = []
  const mine = (request, candidates) => {
    seen.push([request.metadata.region, candidates.map(({ provider, model }) => [provider, model])])
    return request.metadata.region === 'eu' ? ['c', 'a'] : ['b']
  }
  const { gateway, counts } = ordered({ ...answering(['a', 'b']), c: failing }, mine)
  expect((await gateway.chat(ask({ metadata: { region: 'eu' } }))).content).toBe('a')
  expect(counts()).toEqual([1, 0, 1])
  expect((await gateway.chat(ask({ metadata: { region: 'us' } }))).content).toBe('b')
  expect(seen[0]).toEqual([
    'eu',
    [
      ['a', 'model-of-a'],
      ['b', 'model-of-b'],
      ['c', 'model-of-c'],
    ],
  ])
})

test('it may take its time, and holds for streams too', async () => {
  const mine = async () => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return ['b', 'a']
  }
  const { providers, customProviders } = customs(answering(['a', 'b']))
  const factory = (entry) => ({
    ...customProviders.custom(entry),
    chatStream: async () => ({ stream: [{ delta: entry.name }], getUsage: async () => result(entry.name) }),
  })
  const gateway = new Gateway({
    config: config({ providers, rules: [pool(['a', 'b'], { strategy: 'mine' })] }),
    customProviders: { custom: factory },
    strategies: { mine },
    onUsageLog() {},
  })
  const { stream } = await gateway.chatStream(ask())
  expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('b')
})

test('members that it leaves out are not tried: the chain goes on', async () => {
  const { gateway, counts } = ordered({ a: failing, ...answering(['b', 'c']) }, () => ['a'], {
    target: { fallbackChain: 'after' },
    chains: [chain('after', 'c')],
  })
  expect((await gateway.chat(ask())).content).toBe('c')
  expect(counts()).toEqual([1, 0, 1])
  const nobody = ordered(answering(['a', 'b']), () => [], {
    target: { fallbackChain: 'after' },
    chains: [chain('after', 'b')],
  })
  expect((await nobody.gateway.chat(ask())).content).toBe('b')
  expect(nobody.counts()).toEqual([0, 1])
})

test('what it throws, the call throws; an answer that is no list is named', async () => {
  const { gateway } = ordered(answering(['a']), (request) => {
    if (request.feature === 'odd') return 'a'
    throw new RangeError('mine')
  })
  expect(await failureOf(gateway.chat(ask()))).toBeInstanceOf(RangeError)
  expect((await failureOf(gateway.chat(ask({ feature: 'odd' })))).message).toContain(
    'strategies.mine: must return a list of names of entries',
  )
})

test('calls of other rules do not ask it', async () => {
  let asked = 0
  const { providers, customProviders } = customs(answering(['a', 'b']))
  const gateway = new Gateway({
    config: config({
      providers,
      rules: [rule('a', { priority: 1, match: { feature: 'plain' } }), pool(['a', 'b'], { strategy: 'mine' })],
    }),
    customProviders,
    strategies: { mine: () => [['b'], asked++][0] },
    onUsageLog() {},
  })
  expect((await gateway.chat(ask({ feature: 'plain' }))).content).toBe('a')
  expect(asked).toBe(0)
  expect((await gateway.chat(ask())).content).toBe('b')
  expect(asked).toBe(1)
})

test('a name that nobody has is refused: a slip by the loader, any other by the gateway', () => {
  const { providers, customProviders } = customs(answering(['a']))
  const named = (strategy) => ({ providers, rules: [pool(['a'], { strategy })] })
  const known = 'must be one of: priority, weighted'
  expect(() =>
    loadConfigFromObjects({ providers, routes: { rules: named('round-robin').rules }, budgets: [] }),
  ).toThrow(known)
  const make = (options) => () => new Gateway({ config: config(named('mine')), customProviders, ...options })
  expect(make({})).toThrow(known)
  expect(make({ strategies: { mine: 'first' } })).toThrow('strategies.mine: must be a function (request, candidates)')
  expect(make({ strategies: { mine: () => ['a'] } })).not.toThrow()
})
