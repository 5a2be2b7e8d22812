import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { ask, customs, failureOf, gatewayOf } from './helpers/config.mjs'

test('any number of calls may share a signal: no warning, and all are cancelled', async () => {
  const warnings = []
  const hear = (warning) => warnings.push(warning.name)
  process.on('warning', hear)
  onTestFinished(() => process.off('warning', hear))
  const { providers, customProviders } = customs({ a: async () => (await sleep(5), 'x') })
  const { gateway } = gatewayOf({ providers, customProviders, onUsageLog: () => sleep(5) })
  const controller = new AbortController()
  const { signal } = controller
  const done = await Promise.all(Array.from({ length: 30 }, () => gateway.chat(ask({ signal }))))
  expect(done).toHaveLength(30)
  const cancelled = Array.from({ length: 30 }, () => failureOf(gateway.chat(ask({ signal }))))
  controller.abort(new Error('enough'))
  for (const { message } of await Promise.all(cancelled)) expect(message).toBe('enough')
  await sleep(5)
  expect(warnings).toEqual([])
})
