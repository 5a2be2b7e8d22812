// Circuit breakers and cached answers that several gateways share.
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ask, collect, customs, failureOf, gatewayOf } from '../helpers/config.mjs'
import { folder } from './helpers/folder.mjs'
import { services } from './helpers/services.mjs'

const engines = {
  SQLite: async () => `sqlite:${path.join(await folder(), 'state.db')}`,
  Redis: async () => services.redis,
}

/** Gateways on one state, each with its own count of what was asked. */
function nodes(state, chats, fields, settings) {
  return chats.map((chat) => {
    const made = customs({ [fields.name]: chat }, { [fields.name]: fields })
    const { gateway } = gatewayOf({ ...made, settings: { state, ...settings } })
    onTestFinished(() => gateway.close())
    return { gateway, asked: () => made.calls[fields.name].length }
  })
}

const fails = () => {
  throw new Error('it is broken')
}

describe.each(Object.keys(engines))('on %s', (engine) => {
  const skipped = engine === 'Redis' && services === undefined

  test.skipIf(skipped)(
    'a breaker that opens on one node stops the calls of the others, and each probes for itself',
    async () => {
      const name = `p-${process.pid}-${Date.now()}`
      const breaker = { failureThreshold: 2, cooldownMs: 4000, probesToClose: 1 }
      const [first, second] = nodes(await engines[engine](), [fails, () => 'Hi'], { name, breaker })
      for (let turn = 0; turn < 2; turn++) await failureOf(first.gateway.chat(ask()))
      expect(await failureOf(first.gateway.chat(ask()))).toMatchObject({ code: 'PROVIDER_UNAVAILABLE' })

      await expect.poll(() => second.gateway.health()[0].state, { timeout: 3000 }).toBe('open')
      expect(await failureOf(second.gateway.chat(ask()))).toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        details: { retryAfterMs: expect.any(Number) },
      })
      expect(second.asked()).toBe(0)

      const answer = () =>
        second.gateway.chat(ask()).then(
          ({ content }) => content,
          ({ code }) => code,
        )
      await expect.poll(answer, { timeout: 10_000 }).toBe('Hi')
      expect(second.gateway.health()[0].state).toBe('closed')
    },
  )

  test.skipIf(skipped)(
    'an answer that one node has cached answers the others, streamed or whole, at no cost',
    async () => {
      const name = `p-${process.pid}-${Date.now()}`
      const [first, second, other] = nodes(
        await engines[engine](),
        [() => 'one', fails, () => 'three'],
        { name },
        { cache: { enabled: true } },
      )
      const paid = await first.gateway.chat(ask({ userId: 'ada' }))
      expect(paid).toMatchObject({ content: 'one' })
      const cached = () => second.gateway.chat(ask({ userId: 'ada' }))
      await expect.poll(cached).toMatchObject({ content: 'one', cached: true, estimatedCostUsd: 0 })

      const { stream } = await other.gateway.chatStream(ask({ userId: 'ada' }))
      const deltas = (await collect(stream)).map(({ delta }) => delta)
      expect(deltas.join('')).toBe('one')
      expect(other.asked()).toBe(0)

      expect(await other.gateway.chat(ask({ userId: 'bob' }))).toMatchObject({ content: 'three' })
      expect(await other.gateway.chat(ask({ userId: 'ada', cache: false }))).toMatchObject({ content: 'three' })
    },
  )
})
