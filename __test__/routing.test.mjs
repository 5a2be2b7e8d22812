import { describe, expect, test } from 'vitest'
import { GatewayError } from '../index.mjs'
import { ask, custom, failureOf, gatewayOf, result, rule } from './helpers/config.mjs'

/** A gateway whose providers answer with their own name, and the models that each was asked for. */
function routed(rules, entries = [custom('a'), custom('b'), custom('c')]) {
  const asked = []
  const factory = ({ name }) => ({
    name,
    family: 'custom',
    chat: async ({ model }) => (asked.push(model), result(name)),
  })
  return { asked, ...gatewayOf({ providers: entries, rules, customProviders: { custom: factory } }) }
}

const answered = async (rules, request = {}) => (await routed(rules).gateway.chat(ask(request))).provider

describe('which rule is taken', () => {
  test('the one of the highest priority', async () => {
    expect(await answered([rule('a', { priority: 1 }), rule('b', { priority: 10 }), rule('c', { priority: 5 })])).toBe(
      'b',
    )
  })

  test('priorities may be negative and fractions', async () => {
    expect(
      await answered([rule('a', { priority: -3 }), rule('b', { priority: -2.5 }), rule('c', { priority: -2.75 })]),
    ).toBe('b')
  })

  test('of equals, the one written first', async () => {
    expect(await answered([rule('b', { priority: 7 }), rule('a', { priority: 7 }), rule('c', { priority: 7 })])).toBe(
      'b',
    )
  })

  test('one of a lower priority where those above do not match', async () => {
    const rules = [rule('a', { priority: 9, match: { taskType: 'code' } }), rule('b', { priority: 1 })]
    expect(await answered(rules, { taskType: 'chat' })).toBe('b')
    expect(await answered(rules, { taskType: 'code' })).toBe('a')
  })

  test('none that is disabled', async () => {
    expect(
      await answered([rule('a', { priority: 9, enabled: false }), rule('b', { priority: 1, enabled: true })]),
    ).toBe('b')
  })

  test('the log names it', async () => {
    const { gateway, logs } = routed([rule('a', { name: 'the-rule' })])
    await gateway.chat(ask())
    expect(logs[0].routeRule).toBe('the-rule')
  })
})

describe('what a rule matches', () => {
  describe.each(['taskType', 'userTier', 'feature'])('%s', (field) => {
    const rules = [rule('a', { priority: 1, match: { [field]: 'x' } }), rule('b')]

    test('the same value', async () => expect(await answered(rules, { [field]: 'x' })).toBe('a'))
    test('not another value', async () => expect(await answered(rules, { [field]: 'y' })).toBe('b'))
    test('not a request without it', async () => expect(await answered(rules)).toBe('b'))
    test('not by case or by part', async () => {
      expect(await answered(rules, { [field]: 'X' })).toBe('b')
      expect(await answered(rules, { [field]: 'xx' })).toBe('b')
    })
    test('anything where the rule does not set it', async () => {
      expect(await answered([rule('a')], { [field]: 'whatever' })).toBe('a')
    })
  })

  test('only a request that equals every field set', async () => {
    const rules = [rule('a', { priority: 1, match: { taskType: 't', userTier: 'u', feature: 'f' } }), rule('b')]
    expect(await answered(rules, { taskType: 't', userTier: 'u', feature: 'f' })).toBe('a')
    expect(await answered(rules, { taskType: 't', userTier: 'u' })).toBe('b')
    expect(await answered(rules, { taskType: 't', userTier: 'u', feature: 'g' })).toBe('b')
  })

  test('one field does not stand for another', async () => {
    const rules = [rule('a', { priority: 1, match: { feature: 'x' } }), rule('b')]
    expect(await answered(rules, { taskType: 'x', userTier: 'x' })).toBe('b')
  })
})

describe('which model is asked for', () => {
  const asked = async (target, request, fields) => {
    const { asked, gateway } = routed([rule({ provider: 'a', ...target })], [custom('a', 'custom', fields)])
    await gateway.chat(ask(request))
    return asked[0]
  }
  const listed = { models: ['first', 'second'] }

  test('the request’s, before all', async () => {
    expect(await asked({ model: 'rule' }, { model: 'request' }, { ...listed, defaultModel: 'default' })).toBe('request')
  })

  test('the rule’s, where the request names none', async () => {
    expect(await asked({ model: 'rule' }, {}, { ...listed, defaultModel: 'default' })).toBe('rule')
  })

  test('the provider’s default, where the rule names none either', async () => {
    expect(await asked({}, {}, { ...listed, defaultModel: 'default' })).toBe('default')
  })

  test('the first that the provider lists, where it has no default', async () => {
    expect(await asked({}, {}, listed)).toBe('first')
  })
})

describe('a request that no rule matches', () => {
  const noRoute = { code: 'ROUTE_NOT_FOUND', kind: 'route_not_found', httpStatus: 404, retryable: false }
  const rules = [rule('a', { match: { taskType: 'code' } }), rule('b', { enabled: false })]

  test('is refused by chat', async () => {
    const error = await failureOf(routed(rules).gateway.chat(ask()))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject({ ...noRoute, message: 'No matching route found for request' })
    expect(error.requestId).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('is refused by chatStream', async () => {
    const error = await failureOf(routed(rules).gateway.chatStream(ask()))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject(noRoute)
  })

  test('is refused where there are no rules at all', async () => {
    expect(await failureOf(routed([]).gateway.chat(ask()))).toMatchObject(noRoute)
  })

  test('reaches no provider', async () => {
    const { asked, gateway } = routed(rules)
    await failureOf(gateway.chat(ask()))
    expect(asked).toEqual([])
  })
})

test('a rule whose provider is not loaded leads to ROUTE_NOT_FOUND', async () => {
  const { gateway } = routed([rule('missing')])
  expect(await failureOf(gateway.chat(ask()))).toMatchObject({ code: 'ROUTE_NOT_FOUND', httpStatus: 404 })
  expect(await failureOf(gateway.chatStream(ask()))).toMatchObject({ code: 'ROUTE_NOT_FOUND', httpStatus: 404 })
})
