import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import { Gateway, GatewayError, OpenAIProvider } from '../index.mjs'
import {
  ask,
  collect,
  config,
  consoleLines,
  custom,
  customs,
  failureOf,
  gatewayOf,
  KEY,
  pool,
  provider,
  result,
} from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

/** A gateway with one entry `main` of the family `custom`, which `factory` builds. */
const over = (factory, options = {}) =>
  gatewayOf({ providers: [custom('main')], customProviders: { custom: factory }, ...options })

/** The same, over an object with these methods. */
const withMethods = (methods, options) => over(({ name }) => ({ name, family: 'custom', ...methods }), options)

describe('a provider', () => {
  test('may be a class instance that uses this', async () => {
    class Counter {
      family = 'counter'
      #prefix = 'call'
      calls = 0
      constructor({ name }) {
        this.name = name
      }
      async chat() {
        return result(`${this.#prefix} ${++this.calls}`)
      }
    }
    const { gateway } = over((entry) => new Counter(entry))
    expect((await gateway.chat(ask())).content).toBe('call 1')
    expect((await gateway.chat(ask())).content).toBe('call 2')
  })

  test('may answer without a promise', async () => {
    const { gateway } = withMethods({ chat: () => result('at once') })
    expect((await gateway.chat(ask())).content).toBe('at once')
  })

  test('may answer later', async () => {
    const chat = () => new Promise((resolve) => setTimeout(resolve, 20, result('later')))
    expect((await withMethods({ chat }).gateway.chat(ask())).content).toBe('later')
  })

  test('may serve many calls at once', async () => {
    const chat = async ({ messages }) => {
      const { content } = messages[0]
      await new Promise((resolve) => setTimeout(resolve, (content * 3) % 11))
      return result(`re: ${content}`)
    }
    const { gateway } = withMethods({ chat })
    const numbers = Array.from({ length: 50 }, (_, i) => String(i))
    const answers = await Promise.all(numbers.map((content) => gateway.chat({ messages: [{ role: 'user', content }] })))
    expect(answers.map((answer) => answer.content)).toEqual(numbers.map((number) => `re: ${number}`))
  })

  test('gives the figures of the answer', async () => {
    const chat = async () => result('x', { model: 'gpt-4o', inputTokens: 1000, outputTokens: 500, totalTokens: 1500 })
    const answer = await withMethods({ chat }).gateway.chat(ask())
    expect(answer).toMatchObject({ model: 'gpt-4o', inputTokens: 1000, outputTokens: 500, totalTokens: 1500 })
    expect(answer.estimatedCostUsd).toBeCloseTo(0.0025 + 0.005, 12)
  })

  test('may count a total of its own', async () => {
    const chat = async () => result('x', { inputTokens: 3, outputTokens: 2, totalTokens: 9 })
    expect((await withMethods({ chat }).gateway.chat(ask())).totalTokens).toBe(9)
  })

  test('is named in answers by its own name, and in lists by its entry’s', async () => {
    const { gateway, logs } = over(() => ({ name: 'own-name', family: 'custom', chat: async () => result('x') }))
    expect((await gateway.chat(ask())).provider).toBe('own-name')
    expect(logs[0].provider).toBe('own-name')
    expect(gateway.listProviders()).toEqual(['main'])
  })

  test('may call the gateway itself', async () => {
    let gateway
    const chat = async ({ model }) =>
      model === 'outer' ? result((await gateway.chat(ask({ model: 'inner' }))).content) : result('from inside')
    ;({ gateway } = withMethods({ chat }))
    expect((await gateway.chat(ask({ model: 'outer' }))).content).toBe('from inside')
  })
})

describe('the options of chat', () => {
  const optionsOf = async (request) => {
    let seen
    const { gateway } = withMethods({ chat: async (options) => ((seen = options), result('x')) })
    await gateway.chat(request)
    return seen
  }

  test('have exactly four keys, also where they are undefined', async () => {
    const options = await optionsOf(ask())
    expect(Object.keys(options).sort()).toEqual(['maxTokens', 'messages', 'model', 'temperature'])
    expect(options).toStrictEqual({
      model: 'model-of-main',
      messages: ask().messages,
      maxTokens: undefined,
      temperature: undefined,
    })
  })

  test('carry what the request sets', async () => {
    expect(
      await optionsOf(ask({ model: 'm', maxTokens: 7, temperature: 0, taskType: 't', feature: 'f' })),
    ).toStrictEqual({
      model: 'm',
      messages: ask().messages,
      maxTokens: 7,
      temperature: 0,
    })
  })

  test('carry the very messages of the request', async () => {
    const request = ask()
    expect((await optionsOf(request)).messages).toBe(request.messages)
  })

  test.each(['maxTokens', 'temperature'])(
    'have %s undefined where the request has null: it counts as unset',
    async (field) => {
      expect((await optionsOf(ask({ [field]: null })))[field]).toBeUndefined()
    },
  )
})

describe('the options of chatStream', () => {
  const optionsOf = async (request) => {
    let seen
    const chatStream = async (options) => {
      seen = options
      return { stream: [{ delta: 'x' }], getUsage: async () => result('x') }
    }
    await collect((await withMethods({ chatStream }).gateway.chatStream(request)).stream)
    return seen
  }

  test('are those of chat and stream: true', async () => {
    expect(await optionsOf(ask())).toStrictEqual({
      model: 'model-of-main',
      messages: ask().messages,
      maxTokens: undefined,
      temperature: undefined,
      stream: true,
    })
  })

  test('carry the very messages of the request', async () => {
    const request = ask({ maxTokens: 3, temperature: 1.5 })
    const options = await optionsOf(request)
    expect(options.messages).toBe(request.messages)
    expect(options).toMatchObject({ maxTokens: 3, temperature: 1.5 })
  })
})

describe('what a provider throws', () => {
  class MyError extends Error {
    extra = { nested: true }
  }
  const things = [
    ['an Error', new Error('boom')],
    ['an error of its own class', new MyError('boom')],
    ['a frozen error', Object.freeze(new Error('boom'))],
    ['a text', 'text'],
    ['a number', 42],
    ['a plain object', { code: 'E' }],
    ['nothing', undefined],
    ['null', null],
    ['a GatewayError', GatewayError.providerTimeout('elsewhere', 'its-own-id')],
  ]

  test.each(things)('reaches the caller of chat as the very same: %s', async (_, thing) => {
    const later = async () => {
      throw thing
    }
    const atOnce = () => {
      throw thing
    }
    expect(await failureOf(withMethods({ chat: later }).gateway.chat(ask()))).toBe(thing)
    expect(await failureOf(withMethods({ chat: atOnce }).gateway.chat(ask()))).toBe(thing)
  })

  test.each(things)('reaches the caller of chatStream as the very same: %s', async (_, thing) => {
    const chatStream = async () => {
      throw thing
    }
    expect(await failureOf(withMethods({ chatStream }).gateway.chatStream(ask()))).toBe(thing)
  })

  test.each(things)('reaches the reader of a stream as the very same: %s', async (_, thing) => {
    const chatStream = async () => ({
      stream: (async function* () {
        yield { delta: 'half' }
        throw thing
      })(),
      getUsage: async () => result('half'),
    })
    const { stream } = await withMethods({ chatStream }).gateway.chatStream(ask())
    const iterator = stream[Symbol.asyncIterator]()
    expect((await iterator.next()).value.delta).toBe('half')
    expect(await failureOf(iterator.next())).toBe(thing)
  })

  test('before the first chunk of a stream rejects chatStream', async () => {
    const boom = new Error('boom')
    const chatStream = async () => ({
      // biome-ignore lint/correctness/useYield: it fails before its first chunk
      stream: (async function* () {
        throw boom
      })(),
      getUsage: async () => result(''),
    })
    expect(await failureOf(withMethods({ chatStream }).gateway.chatStream(ask()))).toBe(boom)
  })

  test('is not changed', async () => {
    const own = GatewayError.providerTimeout('elsewhere')
    const { gateway } = withMethods({
      chat: async () => {
        throw own
      },
    })
    await failureOf(gateway.chat(ask()))
    expect(own).toMatchObject({ provider: 'elsewhere', requestId: undefined })
  })
})

describe('a stream of a provider', () => {
  const streaming = (stream, usage = result('all')) =>
    withMethods({ chatStream: async () => ({ stream: stream(), getUsage: async () => usage }) })

  test('may be an async generator; its chunks come as they are', async () => {
    const { gateway } = streaming(async function* () {
      yield { delta: 'Hel', model: 'm1' }
      yield { delta: '' }
      await new Promise(setImmediate)
      yield { delta: 'lo', model: 'm1', finishReason: 'done by me' }
    })
    const { requestId, stream } = await gateway.chatStream(ask())
    expect(await collect(stream)).toMatchObject([
      { requestId, provider: 'main', delta: 'Hel', model: 'm1' },
      { requestId, provider: 'main', delta: '' },
      { requestId, provider: 'main', delta: 'lo', model: 'm1', finishReason: 'done by me' },
    ])
  })

  test('is summed up by getUsage', async () => {
    const usage = { content: 'ab', model: 'gpt-4o', inputTokens: 1000, outputTokens: 500, totalTokens: 1500 }
    const { gateway } = streaming(() => [{ delta: 'a' }, { delta: 'b' }], usage)
    const { requestId, stream, getUsageSummary } = await gateway.chatStream(ask())
    await collect(stream)
    const summary = await getUsageSummary()
    expect(summary).toMatchObject({ requestId, provider: 'main', ...usage })
    expect(summary.estimatedCostUsd).toBeCloseTo(0.0075, 12)
  })

  test('may be a method that uses this', async () => {
    class Parrot {
      family = 'parrot'
      words = ['po', 'lly']
      constructor({ name }) {
        this.name = name
      }
      async chat() {
        return result(this.words.join(''))
      }
      async chatStream() {
        return { stream: this.speak(), getUsage: () => this.chat() }
      }
      async *speak() {
        for (const delta of this.words) yield { delta }
      }
    }
    const { gateway } = over((entry) => new Parrot(entry))
    const { stream, getUsageSummary } = await gateway.chatStream(ask())
    expect((await collect(stream)).map((chunk) => chunk.delta)).toEqual(['po', 'lly'])
    expect((await getUsageSummary()).content).toBe('polly')
  })

  test('loses nothing when it is long', async () => {
    const { gateway } = streaming(async function* () {
      for (let i = 0; i < 2000; i++) yield { delta: `${i},` }
    })
    const deltas = (await collect((await gateway.chatStream(ask())).stream)).map((chunk) => chunk.delta)
    expect(deltas.length).toBe(2000)
    expect(deltas.join('')).toBe(Array.from({ length: 2000 }, (_, i) => `${i},`).join(''))
  })

  test('is closed when its reader leaves', async () => {
    let closed
    const cleanedUp = new Promise((resolve) => (closed = resolve))
    const { gateway } = streaming(async function* () {
      try {
        for (;;) {
          yield { delta: 'more' }
          await new Promise(setImmediate)
        }
      } finally {
        closed('closed')
      }
    })
    for await (const _ of (await gateway.chatStream(ask())).stream) break
    expect(await cleanedUp).toBe('closed')
  })

  test('is not to be had where there is no chatStream', async () => {
    const { gateway } = withMethods({ chat: async () => result('x') })
    const error = await failureOf(gateway.chatStream(ask()))
    expect(error).toBeInstanceOf(Error)
    expect(error.message).toBe('Provider "main" does not support streaming')
  })
})

describe('a factory', () => {
  test('is given the very entry of the configuration', () => {
    let given
    const loaded = config({ providers: [custom('main', 'custom', { note: 'mine' })] })
    const factory = (entry) => ((given = entry), { name: entry.name, family: 'custom', chat: async () => result('x') })
    new Gateway({ config: loaded, customProviders: { custom: factory } })
    expect(given).toBe(loaded.providers[0])
  })

  test('wins over a built-in family of its name', async () => {
    const { gateway } = gatewayOf({
      providers: [provider('main', 'http://127.0.0.1:9')],
      customProviders: { openai: ({ name }) => ({ name, family: 'openai', chat: async () => result('mine') }) },
    })
    expect((await gateway.chat(ask())).content).toBe('mine')
  })

  test.each([
    ['an Error', new Error('no licence'), 'no licence'],
    ['a text', 'no luck', 'no luck'],
  ])('that throws %s leaves its entry out, with a warning', (_, thing, words) => {
    const warnings = consoleLines('warn')
    const { gateway } = gatewayOf({
      providers: [custom('bad', 'bad'), custom('good')],
      customProviders: {
        bad: () => {
          throw thing
        },
        custom: ({ name }) => ({ name, family: 'custom', chat: async () => result('x') }),
      },
    })
    expect(gateway.listProviders()).toEqual(['good'])
    expect(warnings.lines).toEqual([`[gateway] Skipping provider "bad": ${words}`])
  })

  test('may return a built-in provider with another address', async () => {
    const up = await upstream(openai.answer('from the compatible service', { model: 'deepseek-chat' }))
    const { gateway } = gatewayOf({
      providers: [custom('deep', 'deepseek', { models: ['deepseek-chat'], auth: provider('x').auth })],
      customProviders: { deepseek: (entry) => new OpenAIProvider({ ...entry, baseUrl: `${up.url}/v1` }) },
    })
    expect(await gateway.chat(ask())).toMatchObject({ provider: 'deep', content: 'from the compatible service' })
    expect(up.last()).toMatchObject({
      method: 'POST',
      url: '/v1/chat/completions',
      headers: { authorization: `Bearer ${KEY}` },
    })
  })

  test('may return a built-in provider that streams', async () => {
    const up = await upstream(openai.stream(['a', 'b']))
    const { gateway } = gatewayOf({
      providers: [custom('deep', 'deepseek', { auth: provider('x').auth })],
      customProviders: { deepseek: (entry) => new OpenAIProvider({ ...entry, baseUrl: up.url }) },
    })
    const { stream, getUsageSummary } = await gateway.chatStream(ask())
    expect((await collect(stream)).map((chunk) => chunk.delta)).toEqual(['', 'a', 'b', '', ''])
    expect(await getUsageSummary()).toMatchObject({ provider: 'deep', content: 'ab', totalTokens: 17 })
  })
})

describe('what a provider throws says whose fault it is', () => {
  const failing = (fields) => async () => {
    throw new GatewayError({ code: 'X', message: 'no', retryable: false, ...fields })
  }
  const stateAfter = async (chat) => {
    const own = customs({ a: chat, b: async () => 'yes' }, { a: { breaker: { failureThreshold: 2 } } })
    const { gateway } = gatewayOf({
      ...own,
      rules: [pool(['a', 'b'], { strategy: 'priority' })],
      providers: own.providers.map((entry, priority) => ({ ...entry, priority })),
    })
    const results = []
    for (let i = 0; i < 3; i++)
      results.push(
        await gateway.chat(ask()).then(
          ({ provider }) => provider,
          () => 'failed',
        ),
      )
    return { results, asked: own.counts()[0], health: gateway.health()[0] }
  }

  test.each([400, 413, 422])('%i ends the call and trips nothing', async (upstreamStatus) => {
    const { results, health } = await stateAfter(failing({ kind: 'provider_response', details: { upstreamStatus } }))
    expect([results, health.state]).toEqual([['failed', 'failed', 'failed'], 'closed'])
  })

  test('404 and a budget send the call elsewhere and trip nothing', async () => {
    // After a 404 the model rests for a minute.
    for (const [fields, times] of [
      [{ kind: 'provider_response', details: { upstreamStatus: 404 } }, 1],
      [{ kind: 'budget_exceeded' }, 3],
    ]) {
      const { results, asked, health } = await stateAfter(failing(fields))
      expect([results, asked, health.state]).toEqual([['b', 'b', 'b'], times, 'closed'])
    }
  })

  test.each(['provider_rate_limit', 'rate_limited'])('%s rests it for as long as it says', async (kind) => {
    const { results, asked, health } = await stateAfter(failing({ kind, details: { retryAfterMs: 20_000.5 } }))
    expect([results, asked, health.state]).toEqual([['b', 'b', 'b'], 1, 'closed'])
    expect(health.targets[0].blockedMs).toBeGreaterThan(15_000)
  })

  test.each([500, '400', -1, NaN, 1e9, null, {}])('a status %s is a failure of the target', async (upstreamStatus) => {
    const { results, asked, health } = await stateAfter(
      failing({ kind: 'provider_response', details: { upstreamStatus, retryAfterMs: 'soon' } }),
    )
    expect([results, asked, health.state]).toEqual([['b', 'b', 'b'], 2, 'open'])
  })
})

describe('a subclass of a built-in provider', () => {
  class Shouting extends OpenAIProvider {
    async chat(options) {
      const answer = await super.chat({ ...options, temperature: 0.1 })
      return { ...answer, content: `${answer.content.toUpperCase()} (${this.name})` }
    }
  }
  const shouting = (up) =>
    gatewayOf({
      providers: [provider('main', up.url, { provider: 'shouting' })],
      customProviders: { shouting: (entry) => new Shouting(entry) },
    })

  test('may override chat and call the original’s', async () => {
    const up = await upstream(openai.answer('hello', { usage: [4, 6] }))
    expect(await shouting(up).gateway.chat(ask({ maxTokens: 5 }))).toMatchObject({
      content: 'HELLO (main)',
      inputTokens: 4,
      outputTokens: 6,
    })
    expect(up.last().body).toEqual({ model: 'gpt-4o-mini', messages: ask().messages, max_tokens: 5, temperature: 0.1 })
  })

  test('streams as the original does', async () => {
    const up = await upstream(openai.stream(['quiet']))
    const { stream } = await shouting(up).gateway.chatStream(ask())
    expect((await collect(stream)).map((chunk) => chunk.delta).join('')).toBe('quiet')
  })

  test('may override chatStream and call the original’s', async () => {
    class Starred extends OpenAIProvider {
      async chatStream(options) {
        const { stream, getUsage } = await super.chatStream(options)
        const starred = async function* () {
          for await (const chunk of stream) yield { ...chunk, delta: chunk.delta && `*${chunk.delta}` }
        }
        return { stream: starred(), getUsage }
      }
    }
    const up = await upstream(openai.stream(['a', 'b'], { usage: [7, 8] }))
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url, { provider: 'starred' })],
      customProviders: { starred: (entry) => new Starred(entry) },
    })
    const { stream, getUsageSummary } = await gateway.chatStream(ask())
    expect((await collect(stream)).map((chunk) => chunk.delta).filter(Boolean)).toEqual(['*a', '*b'])
    expect(await getUsageSummary()).toMatchObject({ inputTokens: 7, outputTokens: 8 })
  })

  test('hands on the original’s errors', async () => {
    const up = await upstream({ status: 429 })
    const error = await failureOf(shouting(up).gateway.chat(ask()))
    expect(error).toBeInstanceOf(GatewayError)
    expect(error).toMatchObject({ code: 'PROVIDER_RATE_LIMIT', provider: 'main' })
  })
})

describe('the caller’s async context', () => {
  const store = new AsyncLocalStorage()
  const calls = ['one', 'two', 'three']
  const each = (run) => Promise.all(calls.map((name) => store.run(name, run)))

  test('is there in chat', async () => {
    const { gateway } = withMethods({ chat: async () => result(String(store.getStore())) })
    const answers = await each(() => gateway.chat(ask()))
    expect(answers.map((answer) => answer.content)).toEqual(calls)
  })

  test('is there in chatStream, in its generator and in getUsage', async () => {
    const seen = []
    const chatStream = async () => {
      const opened = store.getStore()
      const stream = async function* () {
        yield { delta: `${opened}/${store.getStore()}` }
        await new Promise(setImmediate)
        yield { delta: `/${store.getStore()}` }
      }
      return { stream: stream(), getUsage: async () => (seen.push(store.getStore()), result('x')) }
    }
    const { gateway } = withMethods({ chatStream })
    const texts = await each(async () => {
      const { stream } = await gateway.chatStream(ask())
      return (await collect(stream)).map((chunk) => chunk.delta).join('')
    })
    expect(texts).toEqual(calls.map((name) => `${name}/${name}/${name}`))
    expect(seen.sort()).toEqual([...calls].sort())
  })

  test('is there in usage handlers, of answers and of streams', async () => {
    const up = await upstream((req, res, { body }) => {
      const { body: text } = body.stream ? openai.stream(['x']) : openai.answer('x')
      res.writeHead(200, { 'content-type': body.stream ? 'text/event-stream' : 'application/json' })
      res.end(body.stream ? text : JSON.stringify(text))
    })
    const seen = []
    const { gateway } = gatewayOf({
      providers: [provider('main', up.url)],
      onUsageLog: () => void seen.push(store.getStore()),
    })
    await each(() => gateway.chat(ask()))
    expect(seen.splice(0).sort()).toEqual([...calls].sort())
    await each(async () => collect((await gateway.chatStream(ask())).stream))
    expect(seen.sort()).toEqual([...calls].sort())
  })

  test('is the caller’s own after the await', async () => {
    const { gateway } = withMethods({ chat: async () => store.run('inside', async () => result('x')) })
    const after = await each(async () => (await gateway.chat(ask()), store.getStore()))
    expect(after).toEqual(calls)
  })
})
