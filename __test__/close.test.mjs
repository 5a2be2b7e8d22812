import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ask, collect, custom, customs, failureOf, gatewayOf, pool, provider } from './helpers/config.mjs'
import { live, never, openai, upstream } from './helpers/upstream.mjs'

const closed = { name: 'AbortError', code: 'ABORTED', kind: 'aborted', httpStatus: 499 }

test('calls in flight are aborted, and later ones refused', async () => {
  const streaming = live()
  const up = await upstream(never, streaming)
  const { gateway, logs } = gatewayOf({ providers: [provider('main', up.url)] })
  const other = gatewayOf({ providers: [custom('mock', 'mock')] })
  const pending = gateway.chat(ask())
  pending.catch(() => {})
  while (up.requests.length === 0) await new Promise(setImmediate)
  const opening = gateway.chatStream(ask())
  await streaming.opened
  streaming.send(openai.chunk({ content: 'Hel' }))
  const { stream } = await opening

  const reading = collect(stream)
  reading.catch(() => {})
  await gateway.close()
  expect(await failureOf(pending)).toMatchObject(closed)
  expect(await failureOf(reading)).toMatchObject(closed)
  await streaming.closed
  expect(logs.map(({ errorCode }) => errorCode)).toEqual(['ABORTED', 'ABORTED'])

  for (const refused of [gateway.chat(ask()), gateway.chatStream(ask()), gateway.embed({ input: 'a' })]) {
    expect(await failureOf(refused)).toMatchObject(closed)
  }
  expect(up.requests).toHaveLength(2)
  expect((await other.gateway.chat(ask())).content).toContain('Hi')
})

test('with a grace, what ends in time is answered', async () => {
  const streaming = live()
  const up = await upstream(streaming)
  const { gateway } = gatewayOf({ providers: [provider('main', up.url)] })
  const opening = gateway.chatStream(ask())
  await streaming.opened
  for (const event of openai.events(['Hel', 'lo'])) streaming.send(event)
  const { stream } = await opening
  const closing = gateway.close({ graceMs: 5_000 })
  streaming.end()
  expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('Hello')
  await closing
})

test('a gateway nobody uses closes at once, twice too', async () => {
  const { gateway } = gatewayOf({ providers: [custom('mock', 'mock')] })
  await gateway.close()
  await gateway.close()
})

test('a grace without end waits for the calls', async () => {
  const slow = customs({ slow: () => new Promise((resolve) => setTimeout(resolve, 20, 'Hi')) })
  const { gateway, logs } = gatewayOf(slow)
  const answering = gateway.chat(ask())
  await gateway.close({ graceMs: Number.POSITIVE_INFINITY })
  expect(logs).toHaveLength(1)
  expect((await answering).content).toBe('Hi')
})

test('closing waits for what a hedge loser comes to', async () => {
  const own = customs({ a: async () => (await sleep(300), 'a'), b: () => 'b' }, { b: { priority: 1 } })
  const { gateway, logs } = gatewayOf({ ...own, rules: [pool(['a', 'b'], {}, { hedge: { afterMs: 10 } })] })
  await gateway.chat(ask())
  await gateway.close()
  expect(logs.map(({ errorCode }) => errorCode).sort()).toEqual(['HEDGE_LOST', undefined])
})
