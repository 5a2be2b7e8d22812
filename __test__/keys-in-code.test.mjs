// `keys` of `new Gateway`: keys that a program gives in place of environment variables.
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ask, chain, collect, config, consoleLines, custom, failureOf, provider, rule } from './helpers/config.mjs'
import { never, openai, status, upstream } from './helpers/upstream.mjs'
import { Gateway } from '../index.mjs'

const UNSET = { auth: { type: 'apiKey', envVar: 'AI_GATEWAY_TEST_NO_SUCH_KEY' } }
const token = (number) => `sk-vault-${number}-9f8e7d6c5b4a3f2e`

const gatewayOf = (keys, providers, fields = {}, options = {}) =>
  new Gateway({ config: config({ providers, ...fields }), keys, onUsageLog: () => {}, ...options })

/** The key that a request came with. */
const keyOf = ({ headers }) => (headers.authorization ?? '').replace('Bearer ', '') || headers['x-api-key']

/** An upstream that takes the tokens in `valid` and refuses all others, which it repeats. */
async function guarded(valid, answer = openai.answer()) {
  const used = []
  const up = await upstream((req, res) => {
    const key = keyOf(req)
    used.push(key)
    const refusal = status(401, { error: { message: `Incorrect API key provided: ${key}` } })
    const { status: code = 200, body, headers = {} } = valid.has(key) ? answer : refusal
    res.writeHead(code, { 'content-type': 'application/json', ...headers })
    res.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  return { ...up, used }
}

/** A function that gives the tokens of these numbers, one after the other, the last one again and again. */
function vault(...numbers) {
  let asked = 0
  const give = async () => token(numbers[Math.min(asked++, numbers.length - 1)])
  return { give, asked: () => asked }
}

function shows(...values) {
  return values
    .map((value) => [inspect(value, { depth: 10, showHidden: true }), JSON.stringify(value)].join('\n'))
    .join('\n')
}

describe('keys that are there', () => {
  test('a key takes the place of a variable that is not set', async () => {
    const printed = consoleLines('warn')
    const up = await guarded(new Set([token(1)]))
    const gateway = gatewayOf({ main: `  ${token(1)}\n` }, [provider('main', up.url, UNSET)])
    await gateway.chat(ask())
    expect(up.used).toEqual([token(1)])
    expect(printed.lines).toEqual([])
    expect(gateway.listProviders()).toEqual(['main'])
  })

  test('an entry that names no variable is right, too', async () => {
    const up = await guarded(new Set([token(1)]))
    const providers = [provider('main', up.url, { auth: { type: 'apiKey' } })]
    const written = { providers, routes: [rule('main')], fallbackChains: [], budgets: [] }
    await new Gateway({ config: written, keys: { main: token(1) }, onUsageLog: () => {} }).chat(ask())
    expect(up.used).toEqual([token(1)])
  })

  test('several take turns, and one that is refused rests', async () => {
    const up = await guarded(new Set([token(2), token(3)]))
    const gateway = gatewayOf({ main: [token(1), token(2), token(3)] }, [provider('main', up.url, UNSET)])
    for (let call = 0; call < 4; call++) await gateway.chat(ask())
    expect(up.used).toEqual([1, 2, 3, 2, 3].map(token))
    const [{ keys }] = gateway.health()
    expect(keys.map(({ variable, reason }) => [variable, reason])).toEqual([
      ['keys.main[0]', 'unauthorized'],
      ['keys.main[1]', undefined],
      ['keys.main[2]', undefined],
    ])
    expect(shows(gateway, gateway.health())).not.toContain('sk-vault')
  })

  test('a reload keeps them', async () => {
    const up = await guarded(new Set([token(1)]))
    const gateway = gatewayOf({ main: token(1) }, [provider('main', up.url, UNSET)])
    await gateway.reload(config({ providers: [provider('main', up.url, UNSET), custom('mock', 'mock')] }))
    await gateway.chat(ask())
    expect(up.used).toEqual([token(1)])
  })
})

describe('a function', () => {
  test('is asked when the first call needs it, and its answer is kept', async () => {
    const up = await guarded(new Set([token(1)]))
    const { give, asked } = vault(1)
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, UNSET)])
    expect(asked()).toBe(0)
    for (let call = 0; call < 3; call++) await gateway.chat(ask())
    expect(asked()).toBe(1)
    expect(gateway.health()[0].keys).toEqual([{ variable: 'keys.main' }])
  })

  test('may answer at once', async () => {
    const up = await guarded(new Set([token(1)]))
    const gateway = gatewayOf({ main: () => token(1) }, [provider('main', up.url, UNSET)])
    await gateway.chat(ask())
    expect(up.used).toEqual([token(1)])
  })

  test('is asked again when its key has expired, in the same call', async () => {
    const valid = new Set([token(1)])
    const up = await guarded(valid)
    const { give, asked } = vault(1, 2)
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, UNSET)])
    await gateway.chat(ask())
    valid.clear()
    valid.add(token(2))
    await gateway.chat(ask())
    await gateway.chat(ask())
    expect(up.used).toEqual([1, 1, 2, 2].map(token))
    expect(asked()).toBe(2)
  })

  test('is asked once for a hundred calls at once, whether they begin or are refused together', async () => {
    const valid = new Set([token(1)])
    const { give, asked } = vault(1, 2)
    const expired = []
    const up = await upstream((req, res) => {
      if (valid.has(keyOf(req))) {
        res.writeHead(200, { 'content-type': 'application/json' })
        return res.end(JSON.stringify(openai.answer().body))
      }
      // All have the old key before one of them hears that it is refused.
      expired.push(res)
      if (expired.length < 100) return
      for (const each of expired.splice(0)) each.writeHead(401).end('expired')
    })
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, UNSET)])
    const hundred = () => Promise.all(Array.from({ length: 100 }, () => gateway.chat(ask())))
    await hundred()
    expect(asked()).toBe(1)
    valid.clear()
    valid.add(token(2))
    await hundred()
    expect(asked()).toBe(2)
    expect(up.requests.length).toBe(300)
  })

  test('whose keys are refused twice fails the call, which does not loop', async () => {
    const up = await guarded(new Set())
    const { give, asked } = vault(1, 2, 3, 4)
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, UNSET)])
    const error = await failureOf(gateway.chat(ask()))
    expect(error).toMatchObject({ kind: 'provider_auth', httpStatus: 401, retryable: false })
    expect(up.used).toEqual([1, 2].map(token))
    expect(asked()).toBe(2)
    // The next call asks anew.
    await failureOf(gateway.chat(ask()))
    expect(up.used).toEqual([1, 2, 3, 4].map(token))
    expect(shows(error)).not.toContain('sk-vault')
  })

  test('that gives the refused key again fails the call at once', async () => {
    const up = await guarded(new Set())
    const { give, asked } = vault(1)
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, UNSET)])
    expect((await failureOf(gateway.chat(ask()))).kind).toBe('provider_auth')
    expect([up.used.length, asked()]).toEqual([1, 2])
  })

  test.each([
    ['throws', () => Promise.reject(new Error('the vault is sealed')), 'keys.main: the vault is sealed'],
    [
      'throws what is no error',
      () => {
        throw undefined
      },
      'keys.main: undefined',
    ],
    ['gives nothing', async () => undefined, 'keys.main: it gave no key'],
    ['gives blanks', () => '  ', 'keys.main: it gave no key'],
    ['gives a number', () => 7, 'keys.main: it gave no key'],
    ['gives what no header may hold', () => `${token(1)}\n${token(2)}`, 'holds a character that no header may hold'],
  ])('that %s fails the attempt, which says so', async (_, give, says) => {
    const up = await guarded(new Set([token(1)]))
    let asked = 0
    const counted = () => {
      asked++
      return give()
    }
    const entries = [provider('main', up.url, UNSET), custom('mock', 'mock', { models: ['mock-gpt'] })]
    const gateway = gatewayOf({ main: counted }, entries)
    const error = await failureOf(gateway.chat(ask()))
    expect(error).toMatchObject({ kind: 'provider_auth', code: 'PROVIDER_AUTH', provider: 'main' })
    expect(error.message).toContain(says)
    expect(shows(error)).not.toContain('sk-vault')
    await failureOf(gateway.chat(ask()))
    expect([up.used.length, asked]).toEqual([0, 2])
  })

  test('that fails lets a chain go on', async () => {
    const up = await guarded(new Set())
    const entries = [provider('main', up.url, UNSET), custom('mock', 'mock', { models: ['mock-gpt'] })]
    const fields = {
      rules: [rule({ provider: 'main', fallbackChain: 'c' })],
      chains: [chain('c', 'main', ['mock', { model: 'mock-gpt' }])],
    }
    const sealed = () => Promise.reject(new Error('the vault is sealed'))
    const answer = await gatewayOf({ main: sealed }, entries, fields).chat(ask())
    expect(answer).toMatchObject({ provider: 'mock', fallbackFrom: 'main' })
  })

  test('that never settles ends with the deadline of the call, or its signal', async () => {
    const up = await guarded(new Set())
    let asked = 0
    const gateway = gatewayOf({ main: () => new Promise(() => asked++) }, [provider('main', up.url, UNSET)])
    expect((await failureOf(gateway.chat(ask({ timeoutMs: 30 })))).kind).toBe('provider_timeout')
    const signal = AbortSignal.timeout(30)
    expect((await failureOf(gateway.chat(ask({ signal })))).name).toBe('TimeoutError')
    expect([up.used.length, asked]).toEqual([0, 1])
  })

  test('that has not settled within the timeout of its entry is asked again', async () => {
    const up = await guarded(new Set([token(1)]))
    let asked = 0
    const give = () => (++asked === 1 ? new Promise(() => {}) : token(1))
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, { ...UNSET, timeoutMs: 30 })])
    expect((await failureOf(gateway.chat(ask()))).kind).toBe('provider_timeout')
    const patient = ask({ timeoutMs: 20_000 })
    let answer
    // A busy machine may need longer for the request itself.
    for (let attempt = 0; answer === undefined && attempt < 50; attempt++) {
      answer = await gateway.chat(patient).catch(() => undefined)
    }
    expect(answer.content).toBeTypeOf('string')
    expect(asked).toBe(2)
  })

  test('serves streams, embeddings and lists of models', async () => {
    const used = []
    const up = await upstream((req, res) => {
      used.push([req.url, keyOf(req)])
      const isList = req.url.endsWith('/models')
      const answer = isList
        ? { body: { data: [{ id: 'm' }] } }
        : req.url.endsWith('/embeddings')
          ? { body: { data: [{ index: 0, embedding: [1] }], model: 'e', usage: { prompt_tokens: 1 } } }
          : openai.stream(['x'])
      res.writeHead(200, answer.headers ?? { 'content-type': 'application/json' })
      res.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
    })
    const { give, asked } = vault(1)
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, UNSET)])
    await collect((await gateway.chatStream(ask())).stream)
    await gateway.embed({ input: 'a', model: 'e' })
    await gateway.listModels({ refresh: true })
    expect(new Set(used.map(([, key]) => key))).toEqual(new Set([token(1)]))
    expect(used.map(([url]) => url.split('/').at(-1)).sort()).toEqual(['completions', 'embeddings', 'models'])
    expect(asked()).toBe(1)
  })

  test('gives what the header of its entry is to hold', async () => {
    const up = await upstream(openai.answer())
    const auth = { ...UNSET.auth, type: 'customHeader', headerName: 'X-Corp-Key' }
    await gatewayOf({ main: () => token(1) }, [provider('main', up.url, { auth })]).chat(ask())
    expect(up.last().headers['x-corp-key']).toBe(token(1))
    expect(up.last().headers.authorization).toBeUndefined()
  })

  test.each([
    ['anthropic', 'x-api-key', {}],
    ['gemini', 'x-goog-api-key', {}],
    ['azure', 'api-key', {}],
    ['workers-ai', 'authorization', { options: { accountId: 'a' } }],
  ])('works for %s', async (family, header, fields) => {
    const up = await upstream(status(400, { error: { message: 'no' } }))
    const entry = {
      ...provider('main', up.url, UNSET),
      provider: family,
      models: ['m'],
      ...fields,
    }
    await failureOf(gatewayOf({ main: () => token(1) }, [entry]).chat(ask({ model: 'm' })))
    expect(up.last().headers[header].replace('Bearer ', '')).toBe(token(1))
  })

  test('gives a key pair of AWS as one text, with or without its session token', async () => {
    const up = await upstream(status(400, { message: 'no' }))
    const entry = (type) => ({
      ...provider('main', up.url, { auth: { type } }),
      provider: 'bedrock',
      models: ['m'],
      options: { region: 'us-east-1' },
    })
    for (const given of [
      () => 'AKIDEXAMPLE:secret-0123456789:session-token',
      'AKIDEXAMPLE:secret-0123456789:session-token',
    ]) {
      await failureOf(gatewayOf({ main: given }, [entry('apiKey')]).chat(ask({ model: 'm' })))
      expect(up.last().headers.authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\//)
      expect(up.last().headers['x-amz-security-token']).toBe('session-token')
    }
    await failureOf(gatewayOf({ main: () => token(1) }, [entry('bearer')]).chat(ask({ model: 'm' })))
    expect(up.last().headers.authorization).toBe(`Bearer ${token(1)}`)
    const sent = up.requests.length
    const error = await failureOf(gatewayOf({ main: () => token(1) }, [entry('apiKey')]).chat(ask({ model: 'm' })))
    expect(error.message).toContain('ACCESS_KEY_ID:SECRET_ACCESS_KEY')
    expect(up.requests.length).toBe(sent)
  })

  test('a call that waits for a key can be left', async () => {
    const up = await upstream(never)
    let finish
    const give = () => new Promise((resolve) => (finish = resolve))
    const gateway = gatewayOf({ main: give }, [provider('main', up.url, UNSET)])
    const controller = new AbortController()
    const call = failureOf(gateway.chat(ask({ signal: controller.signal })))
    await expect.poll(() => finish).toBeTypeOf('function')
    controller.abort()
    expect((await call).name).toBe('AbortError')
    expect(up.requests.length).toBe(0)
  })
})

describe('keys that cannot be used are refused', () => {
  const main = () => [provider('main', 'http://127.0.0.1:9', UNSET)]
  test.each([
    ['of no entry', { mainn: token(1) }, 'keys.mainn: names no provider: "mainn"; did you mean "main"?'],
    ['that are empty', { main: ' ' }, 'keys.main: must be a key, a list of keys, or a function that gives a key'],
    ['that are no list', { main: [] }, 'keys.main: must be'],
    ['that are numbers', { main: [7] }, 'keys.main: must be'],
    ['that are no object', 'main', 'keys: must be an object'],
  ])('%s', (_, keys, says) => {
    expect(() => gatewayOf(keys, main())).toThrow(says)
    try {
      gatewayOf(keys, main())
    } catch (error) {
      expect(error.kind).toBe('config_invalid')
      expect(shows(error)).not.toContain('sk-vault')
    }
  })

  test('of entries that send none', () => {
    const entries = [provider('main', 'http://127.0.0.1:9', { auth: { type: 'none' } })]
    expect(() => gatewayOf({ main: token(1) }, entries)).toThrow('keys.main: its entry sends no key')
    const own = { customProviders: { mine: () => ({ name: 'main', family: 'mine', chat: async () => ({}) }) } }
    const entry = custom('main', 'mine', { auth: { type: 'apiKey', envVar: 'X' } })
    expect(() => gatewayOf({ main: token(1) }, [entry], {}, own)).toThrow('keys.main: names a provider of the program')
  })

  test('null is no keys', () => {
    const printed = consoleLines('warn')
    expect(gatewayOf(null, main()).listProviders()).toEqual([])
    expect(printed.lines).toEqual([expect.stringContaining('Skipping provider "main"')])
  })
})
