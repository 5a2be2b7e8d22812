import { describe, expect, test } from 'vitest'
import { GatewayError } from '../index.mjs'
import { ask, chain, collect, custom, failureOf, gatewayOf, provider, result, rule } from './helpers/config.mjs'
import { cut, never, openai, status, upstream } from './helpers/upstream.mjs'

const TRIGGERS = ['timeout', 'rate_limit', 'provider_error', 'budget_exceeded', 'manual']
const others = (trigger) => TRIGGERS.filter((other) => other !== trigger)

/**
 * A gateway over one chain. `behaviours` gives for each provider what its `chat` throws (an error or a text), or
 * nothing for an answer with the provider's name. `asked` lists who was asked for which model.
 */
function chained(behaviours, steps, { rules, fields = {} } = {}) {
  const asked = []
  const factory = ({ name }) => ({
    name,
    family: 'custom',
    async chat({ model }) {
      asked.push(`${name}:${model}`)
      if (behaviours[name] !== undefined) throw behaviours[name]
      return result(name)
    },
    async chatStream(options) {
      await this.chat(options)
      return { stream: [{ delta: name }], getUsage: async () => result(name) }
    },
  })
  const providers = Object.keys(behaviours).map((name) => custom(name, 'custom', fields[name]))
  const chains = [chain('chain', ...steps)]
  return { asked, ...gatewayOf({ providers, rules, chains, customProviders: { custom: factory } }) }
}

const names = (asked) => asked.map((entry) => entry.split(':')[0])

describe('a failure’s trigger', () => {
  const foreign = (message) => new Error(message)
  const failures = [
    ['a GatewayError of a timeout', GatewayError.providerTimeout('x'), 'timeout'],
    ['a GatewayError of a rate limit', GatewayError.providerRateLimit('x'), 'rate_limit'],
    ['a GatewayError of a budget', GatewayError.budgetExceeded('x'), 'budget_exceeded'],
    ['a GatewayError of a key', GatewayError.providerAuth('x'), 'provider_error'],
    ['a GatewayError of an answer', GatewayError.providerResponse('x', 500, 'timeout 429'), 'provider_error'],
    ['an error that says timeout', foreign('socket timeout'), 'timeout'],
    ['an error that says aborted', foreign('This operation was aborted'), 'timeout'],
    ['an error that says 429', foreign('HTTP 429'), 'rate_limit'],
    ['an error that says rate', foreign('too high a rate'), 'rate_limit'],
    ['an error that says both', foreign('timeout after 429'), 'timeout'],
    ['an error that says something else', foreign('boom'), 'provider_error'],
    ['a text', 'request timeout', 'timeout'],
  ]

  test.each(failures)('%s leads to a step for it', async (_, failure, trigger) => {
    const { gateway } = chained({ a: failure, b: undefined }, ['a', ['b', { when: [trigger] }]])
    expect(await gateway.chat(ask())).toMatchObject({ content: 'b', fallbackTriggered: true, fallbackFrom: 'a' })
  })

  test.each(failures)('%s does not lead to a step for all others', async (_, failure, trigger) => {
    const { asked, gateway } = chained({ a: failure, b: undefined }, ['a', ['b', { when: others(trigger) }]])
    expect(await failureOf(gateway.chat(ask()))).toBe(failure)
    expect(names(asked)).toEqual(['a'])
  })

  const upstreams = [
    ['429', status(429), 'rate_limit'],
    ['500', status(500), 'provider_error'],
    ['400', status(400), 'provider_error'],
    ['401', status(401), 'provider_error'],
    ['404', status(404), 'provider_error'],
    ['408', status(408), 'timeout'],
    ['504', status(504), 'timeout'],
    ['no answer in time', never, 'timeout'],
    ['a cut connection', cut, 'provider_error'],
    ['an answer that is no JSON', status(200, '<html>'), 'provider_error'],
  ]

  async function overHttp(answer, when) {
    const [bad, good] = [await upstream(answer), await upstream(openai.answer('from b'))]
    const providers = [provider('a', bad.url, { timeoutMs: 100 }), provider('b', good.url)]
    return { good, ...gatewayOf({ providers, chains: [chain('chain', 'a', ['b', { when }])] }) }
  }

  test.each(upstreams)('of an upstream: %s leads to a step for it', async (_, answer, trigger) => {
    const { gateway } = await overHttp(answer, [trigger])
    expect(await gateway.chat(ask())).toMatchObject({ provider: 'b', content: 'from b', fallbackFrom: 'a' })
  })

  test.each(upstreams)('of an upstream: %s does not lead to a step for all others', async (_, answer, trigger) => {
    const { good, gateway } = await overHttp(answer, others(trigger))
    expect(await failureOf(gateway.chat(ask()))).toMatchObject({ provider: 'a' })
    expect(good.requests.length).toBe(0)
  })
})

describe('the steps of a chain', () => {
  const boom = new Error('boom')

  test('are not left while the first answers', async () => {
    const { asked, gateway } = chained({ a: undefined, b: undefined }, ['a', 'b'])
    expect(await gateway.chat(ask())).toMatchObject({
      provider: 'a',
      fallbackTriggered: false,
      fallbackFrom: undefined,
    })
    expect(names(asked)).toEqual(['a'])
  })

  test('are tried in order until one answers', async () => {
    const { asked, gateway } = chained({ a: boom, b: boom, c: undefined, d: undefined }, ['a', 'b', 'c', 'd'])
    expect((await gateway.chat(ask())).content).toBe('c')
    expect(names(asked)).toEqual(['a', 'b', 'c'])
  })

  test('fallbackFrom names the first, whichever answers', async () => {
    const { gateway } = chained({ a: boom, b: boom, c: undefined }, ['a', 'b', 'c'])
    expect(await gateway.chat(ask())).toMatchObject({ provider: 'c', fallbackTriggered: true, fallbackFrom: 'a' })
  })

  test('an empty when takes any failure', async () => {
    const { gateway } = chained({ a: boom, b: undefined }, ['a', ['b', { when: [] }]])
    expect((await gateway.chat(ask())).provider).toBe('b')
  })

  test('the first is tried whatever its when says', async () => {
    const { gateway } = chained({ a: undefined }, [['a', { when: ['rate_limit'] }]])
    expect((await gateway.chat(ask())).provider).toBe('a')
  })

  test('one whose when does not fit ends the chain, also before one that would fit', async () => {
    const steps = ['a', ['b', { when: ['rate_limit'] }], ['c', { when: ['provider_error'] }]]
    const { asked, gateway } = chained({ a: boom, b: undefined, c: undefined }, steps)
    expect(await failureOf(gateway.chat(ask()))).toBe(boom)
    expect(names(asked)).toEqual(['a'])
  })

  test('each when looks at the failure just before it', async () => {
    const steps = ['a', ['b', { when: ['timeout'] }], ['c', { when: ['rate_limit'] }]]
    const { gateway } = chained(
      { a: GatewayError.providerTimeout('a'), b: GatewayError.providerRateLimit('b'), c: undefined },
      steps,
    )
    expect((await gateway.chat(ask())).provider).toBe('c')
  })

  test('a when with several triggers takes each of them', async () => {
    const steps = ['a', ['b', { when: ['timeout', 'rate_limit'] }]]
    const { gateway } = chained({ a: GatewayError.providerRateLimit('a'), b: undefined }, steps)
    expect((await gateway.chat(ask())).provider).toBe('b')
  })

  test('the last failure is thrown when all have failed, as the very same object', async () => {
    const [first, last] = [new Error('first'), new Error('last')]
    const { gateway } = chained({ a: first, b: last }, ['a', 'b'])
    expect(await failureOf(gateway.chat(ask()))).toBe(last)
  })

  test('the last failure of upstreams is thrown as it is', async () => {
    const [a, b] = [await upstream(status(500)), await upstream(status(429))]
    const { gateway } = gatewayOf({
      providers: [provider('a', a.url), provider('b', b.url)],
      chains: [chain('chain', 'a', 'b')],
    })
    expect(await failureOf(gateway.chat(ask()))).toMatchObject({ code: 'PROVIDER_RATE_LIMIT', provider: 'b' })
  })

  test('take the place of the rule’s provider', async () => {
    const rules = [rule({ provider: 'a', fallbackChain: 'chain' })]
    const { asked, gateway } = chained({ a: undefined, b: undefined }, ['b'], { rules })
    expect(await gateway.chat(ask())).toMatchObject({ provider: 'b', fallbackTriggered: false })
    expect(names(asked)).toEqual(['b'])
  })

  test('are followed by the rule that names the chain, and by no other', async () => {
    const rules = [
      rule({ provider: 'a', fallbackChain: 'chain' }, { priority: 1, match: { taskType: 'safe' } }),
      rule('a'),
    ]
    const { gateway } = chained({ a: boom, b: undefined }, ['a', 'b'], { rules })
    expect((await gateway.chat(ask({ taskType: 'safe' }))).provider).toBe('b')
    expect(await failureOf(gateway.chat(ask()))).toBe(boom)
  })

  test('that is not loaded is passed over as a failed one', async () => {
    const { gateway } = chained({ a: undefined, b: undefined }, ['gone', ['b', { when: ['provider_error'] }]])
    expect(await gateway.chat(ask())).toMatchObject({ provider: 'b', fallbackTriggered: true, fallbackFrom: 'gone' })
  })
})

describe('a step’s model', () => {
  const boom = new Error('boom')

  test('comes before the request’s', async () => {
    const steps = [
      ['a', { model: 'big' }],
      ['b', { model: 'small' }],
    ]
    const { asked, gateway } = chained({ a: boom, b: undefined }, steps)
    await gateway.chat(ask({ model: 'asked' }))
    expect(asked).toEqual(['a:big', 'b:small'])
  })

  test('comes before the rule’s', async () => {
    const rules = [rule({ provider: 'a', model: 'of-rule', fallbackChain: 'chain' })]
    const { asked, gateway } = chained({ a: undefined }, [['a', { model: 'of-step' }]], { rules })
    await gateway.chat(ask())
    expect(asked).toEqual(['a:of-step'])
  })

  test('is the provider’s own default where the step names none', async () => {
    const fields = { a: { models: ['a1'] }, b: { models: ['b1', 'b2'], defaultModel: 'b2' } }
    const { asked, gateway } = chained({ a: boom, b: undefined }, ['a', 'b'], { fields })
    await gateway.chat(ask())
    expect(asked).toEqual(['a:a1', 'b:b2'])
  })

  test('is the request’s where the step names none and the provider lists it', async () => {
    const fields = { a: { models: ['a1', 'shared'] }, b: { models: ['b1', 'shared'] }, c: { models: ['c1'] } }
    const { asked, gateway } = chained({ a: boom, b: boom, c: undefined }, ['a', 'b', 'c'], { fields })
    await gateway.chat(ask({ model: 'shared' }))
    expect(asked).toEqual(['a:shared', 'b:shared', 'c:c1'])
  })

  test('goes upstream', async () => {
    const [a, b] = [await upstream(status(503)), await upstream(openai.answer())]
    const { gateway } = gatewayOf({
      providers: [provider('a', a.url), provider('b', b.url)],
      chains: [chain('chain', ['a', { model: 'one' }], ['b', { model: 'two' }])],
    })
    await gateway.chat(ask({ model: 'asked' }))
    expect([a.last().body.model, b.last().body.model]).toEqual(['one', 'two'])
  })
})

test('a step’s timeoutMs takes the place of its provider’s', async () => {
  const [a, b] = [await upstream(never), await upstream(openai.answer())]
  const { gateway } = gatewayOf({
    providers: [provider('a', a.url, { timeoutMs: 60_000 }), provider('b', b.url)],
    chains: [chain('chain', ['a', { timeoutMs: 60 }], ['b', { when: ['timeout'] }])],
  })
  expect(await gateway.chat(ask())).toMatchObject({ provider: 'b', fallbackFrom: 'a' })
})

describe('streams', () => {
  test('fall back before their first content', async () => {
    const { gateway } = chained({ a: GatewayError.providerTimeout('a'), b: undefined }, [
      'a',
      ['b', { when: ['timeout'] }],
    ])
    const { stream, getUsageSummary } = await gateway.chatStream(ask())
    expect(await collect(stream)).toMatchObject([{ delta: 'b', provider: 'b' }])
    expect(await getUsageSummary()).toMatchObject({ provider: 'b', fallbackTriggered: true, fallbackFrom: 'a' })
  })

  test('fall back over HTTP', async () => {
    const [a, b] = [await upstream(status(500)), await upstream(openai.stream(['from b']))]
    const { gateway } = gatewayOf({
      providers: [provider('a', a.url), provider('b', b.url)],
      chains: [chain('chain', 'a', 'b')],
    })
    const chunks = await collect((await gateway.chatStream(ask())).stream)
    expect(chunks.map((chunk) => chunk.delta).join('')).toBe('from b')
    expect(chunks.every((chunk) => chunk.provider === 'b')).toBe(true)
  })

  test('end the chain where the next when does not fit', async () => {
    const boom = new Error('boom')
    const { asked, gateway } = chained({ a: boom, b: undefined }, ['a', ['b', { when: ['timeout'] }]])
    expect(await failureOf(gateway.chatStream(ask()))).toBe(boom)
    expect(names(asked)).toEqual(['a'])
  })

  test('pass over a provider that cannot stream, with the trigger provider_error', async () => {
    const customProviders = {
      mute: ({ name }) => ({ name, family: 'mute', chat: async () => result(name) }),
    }
    const up = await upstream(openai.stream(['streamed']))
    const build = (when) =>
      gatewayOf({
        providers: [custom('mute', 'mute'), provider('b', up.url)],
        chains: [chain('chain', 'mute', ['b', { when }])],
        customProviders,
      }).gateway
    const { stream, getUsageSummary } = await build(['provider_error']).chatStream(ask())
    expect((await collect(stream)).map((chunk) => chunk.delta).join('')).toBe('streamed')
    expect(await getUsageSummary()).toMatchObject({ provider: 'b', fallbackFrom: 'mute' })
    const error = await failureOf(build(others('provider_error')).chatStream(ask()))
    expect(error.message).toBe('Provider "mute" does not support streaming')
  })
})
