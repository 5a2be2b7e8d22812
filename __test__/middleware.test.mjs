import { expect, test } from 'vitest'
import { ask, failureOf, gatewayOf, result } from './helpers/config.mjs'

const OWN = [{ name: 'own', provider: 'own', models: ['m'], auth: { type: 'none' } }]
const own = (chat) =>
  gatewayOf({ providers: OWN, customProviders: { own: () => ({ name: 'own', family: 'own', chat }) } }).gateway
const echo = async ({ messages }) => result(messages[0].content)
const says = (content) => ask({ messages: [{ role: 'user', content }] })

test('what is added first is outermost, and each sees request and answer', async () => {
  const seen = []
  const layer = (name) => async (request, next) => {
    seen.push(`${name}>`)
    const answer = await next(says(`${request.messages[0].content}${name}`))
    seen.push(`<${name}`)
    return { ...answer, content: `${answer.content}${name}` }
  }
  const gateway = own(echo)
  expect(gateway.use(layer('a')).use(layer('b'))).toBe(gateway)
  expect((await gateway.chat(says('x'))).content).toBe('xabba')
  expect(seen).toEqual(['a>', 'b>', '<b', '<a'])
})

test('a layer may answer itself, fail, or ask twice', async () => {
  let calls = 0
  const gateway = own(async (options) => (calls++, echo(options)))
  gateway.use((request, next) => {
    if (request.messages[0].content === 'self') return { content: 'mine' }
    if (request.messages[0].content === 'fail') throw new RangeError('no')
    return next(request).then(() => next(request))
  })
  expect((await gateway.chat(says('self'))).content).toBe('mine')
  await expect(gateway.chat(says('fail'))).rejects.toThrow(RangeError)
  expect(calls).toBe(0)
  expect((await gateway.chat(says('x'))).content).toBe('x')
  expect(calls).toBe(2)
})

test('what is no function is refused', () => {
  expect(() => own(echo).use('x')).toThrow('middleware: must be a function')
})

test('a batch keeps the order, runs so many at once, and settles each', async () => {
  let running = 0
  let most = 0
  const gateway = own(async ({ messages: [{ content }] }) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 10 - content))
    running--
    if (content === '3') throw new Error('three')
    return result(content)
  })
  const settled = await gateway.batch(
    Array.from({ length: 10 }, (_, index) => says(String(index))),
    { concurrency: 4 },
  )
  expect(settled.map(({ value, reason }) => value?.content ?? reason.message)).toEqual([
    '0',
    '1',
    '2',
    'three',
    '4',
    '5',
    '6',
    '7',
    '8',
    '9',
  ])
  expect(settled[3].status).toBe('rejected')
  expect(most).toBe(4)
})

test('a batch goes through middleware, and a signal keeps the rest from beginning', async () => {
  const gateway = own(echo).use(async (request, next) => ({ ...(await next(request)), content: 'changed' }))
  const stop = new AbortController()
  gateway.use((request, next) => (stop.abort(new Error('enough')), next(request)))
  const settled = await gateway.batch([says('a'), says('b')], { concurrency: 1, signal: stop.signal })
  expect(settled[0].value.content).toBe('changed')
  expect(settled[1].reason.message).toBe('enough')
})

test('a batch of nothing is nothing; bad arguments are named', async () => {
  const gateway = own(echo)
  expect(await gateway.batch([])).toEqual([])
  expect((await failureOf(gateway.batch('x'))).details.path).toBe('requests')
  for (const concurrency of [0, 1.5, '2']) {
    expect((await failureOf(gateway.batch([], { concurrency }))).details.path).toBe('concurrency')
  }
})

test('requests are checked behind middleware too', async () => {
  const gateway = own(echo).use((request, next) => next({ ...request, messages: [] }))
  expect(await failureOf(gateway.chat(says('x')))).toMatchObject({ kind: 'invalid_request' })
})

test('middleware of streams sees requests and streams, and may answer itself', async () => {
  const provider = {
    name: 'own',
    family: 'own',
    chat: async () => result('whole'),
    chatStream: async ({ messages: [{ content }] }) => ({
      stream: (async function* () {
        yield { delta: content, model: 'm' }
      })(),
    }),
  }
  const { gateway } = gatewayOf({ providers: OWN, customProviders: { own: () => provider } })
  const seen = []
  gateway.use(() => ({ content: 'of chat alone' }))
  gateway.useStream(async (request, next) => {
    seen.push('first')
    const response = await next(says(`${request.messages[0].content}!`))
    seen.push(response.model ?? typeof response.requestId)
    return response
  })
  expect(gateway.useStream((request, next) => (seen.push('second'), next(request)))).toBe(gateway)
  let text = ''
  for await (const { delta } of (await gateway.chatStream(says('x'))).stream) text += delta
  expect(text).toBe('x!')
  expect(seen).toEqual(['first', 'second', 'string'])
  gateway.useStream(() => {
    throw new RangeError('no')
  })
  await expect(gateway.chatStream(says('x'))).rejects.toThrow(RangeError)
  expect(() => gateway.useStream(1)).toThrow('middleware: must be a function')
})
