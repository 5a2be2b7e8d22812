import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { Gateway } from '../index.mjs'
import { ask, config, customs, failureOf, provider } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

/** A gateway whose provider answers `'x'`, and whose handler of log entries is `onUsageLog`. */
const withHandler = (onUsageLog, options = {}, chat = () => 'x') => {
  const { providers, customProviders } = customs({ a: chat })
  return new Gateway({ config: config({ providers }), customProviders, onUsageLog, ...options })
}
const hangs = () => new Promise(() => {})
const warnings = () => {
  const lines = []
  vi.spyOn(console, 'warn').mockImplementation((line) => lines.push(line))
  return lines
}

test('a handler that never settles is waited for usageLogTimeoutMs, and said once', async () => {
  const lines = warnings()
  const gateway = withHandler(hangs, { usageLogTimeoutMs: 20 })
  for (let call = 0; call < 3; call++) expect((await gateway.chat(ask())).content).toBe('x')
  expect(lines).toEqual([expect.stringMatching(/^\[gateway\] onUsageLog has not settled within 20 ms/)])
})

test('the wait for a handler ends with the deadline of the call, and with its signal', async () => {
  const lines = warnings()
  const gateway = withHandler(hangs, { usageLogTimeoutMs: 0 })
  expect((await gateway.chat(ask({ timeoutMs: 50 }))).content).toBe('x')
  expect((await gateway.chat(ask({ signal: AbortSignal.timeout(50) }))).content).toBe('x')
  const slow = withHandler(hangs, { usageLogTimeoutMs: 0 }, hangs)
  expect((await failureOf(slow.chat(ask({ timeoutMs: 50 })))).kind).toBe('provider_timeout')
  expect((await failureOf(slow.chat(ask({ signal: AbortSignal.timeout(50) })))).name).toBe('TimeoutError')
  expect(lines).toEqual([])
})

test('streams and embeddings do not wait for ever either', async () => {
  warnings()
  const up = await upstream(openai.answer('x'), openai.stream(['x']))
  const gateway = new Gateway({
    config: config({ providers: [provider('main', up.url)] }),
    onUsageLog: hangs,
    usageLogTimeoutMs: 20,
  })
  expect((await gateway.chat(ask())).content).toBe('x')
  let text = ''
  for await (const { delta } of (await gateway.chatStream(ask())).stream) text += delta
  expect(text).toBe('x')
  const leaving = (await gateway.chatStream(ask())).stream[Symbol.asyncIterator]()
  expect(await leaving.return()).toMatchObject({ done: true })
})

test('a handler that settles in time is waited for, also beside a deadline', async () => {
  const seen = []
  const gateway = withHandler(async (entry) => {
    await sleep(20)
    seen.push(entry.success)
  })
  await gateway.chat(ask({ timeoutMs: 5000, signal: new AbortController().signal }))
  expect(seen).toEqual([true])
})

test('a handler that throws or rejects is said once, and costs no answer', async () => {
  const lines = warnings()
  for (const handler of [
    () => {
      throw new Error('no room')
    },
    async () => {
      throw new Error('no room')
    },
    () => Promise.reject(Object.create(null)),
  ]) {
    lines.length = 0
    const gateway = withHandler(handler)
    for (let call = 0; call < 3; call++) expect((await gateway.chat(ask())).content).toBe('x')
    expect(lines).toEqual([expect.stringMatching(/^\[gateway\] onUsageLog failed: .*\(said once\)$/)])
  }
})

test('a console that throws loses nothing', async () => {
  vi.spyOn(console, 'warn').mockImplementation(() => {
    throw new Error('no console')
  })
  vi.spyOn(console, 'log').mockImplementation(() => {
    throw new Error('no console')
  })
  expect((await withHandler(undefined).chat(ask())).content).toBe('x')
  const failing = withHandler(() => Promise.reject(new Error('no room')))
  expect((await failing.chat(ask())).content).toBe('x')
})

test('close waits for handlers that run', async () => {
  const seen = []
  const gateway = withHandler(async () => {
    await sleep(60)
    seen.push('written')
  })
  await gateway.chat(ask({ timeoutMs: 20 }))
  expect(seen).toEqual([])
  await gateway.close()
  expect(seen).toEqual(['written'])
})

test.each([
  ['usageLogTimeoutMs', NaN],
  ['usageLogTimeoutMs', -1],
  ['usageLogTimeoutMs', 'soon'],
  ['onUsageLog', 'console'],
])('%s may not be %s', (option, value) => {
  expect(() => withHandler(undefined, { [option]: value })).toThrow(`Invalid configuration: ${option}: must be`)
})
