// Limits of callers that several gateways share.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { customs, failureOf, gatewayOf } from '../helpers/config.mjs'

async function gateways(limits, chat) {
  const folder = await mkdtemp(path.join(tmpdir(), 'ai-gateway-'))
  const state = `sqlite:${path.join(folder, 'state.db')}`
  const made = Array.from(
    { length: 3 },
    () => gatewayOf({ ...customs({ a: chat }), settings: { state, limits } }).gateway,
  )
  onTestFinished(async () => {
    await Promise.all(made.map((gateway) => gateway.close()))
    await rm(folder, { recursive: true, force: true })
  })
  return made
}

const ask = (fields) => ({ messages: [{ role: 'user', content: 'Hi' }], ...fields })

test('a rate is counted over all nodes', async () => {
  const nodes = await gateways({ requestsPerMinute: 60 }, () => 'Hi')
  const began = Date.now()
  const callInTurn = async (node) => {
    const settled = []
    for (let turn = 0; turn < 40; turn++)
      settled.push(...(await Promise.allSettled([node.chat(ask({ userId: 'ada' }))])))
    return settled
  }
  const settled = (await Promise.all(nodes.map(callInTurn))).flat()
  const answered = settled.filter(({ status }) => status === 'fulfilled').length
  const refilled = Math.ceil((Date.now() - began) / 1000)
  expect(answered).toBeGreaterThanOrEqual(60)
  expect(answered).toBeLessThanOrEqual(60 + refilled)
  const failure = settled.find(({ status }) => status === 'rejected').reason
  expect(failure).toMatchObject({ code: 'RATE_LIMITED', details: { limit: 'limits.requestsPerMinute' } })
  expect((await nodes[2].chat(ask({ userId: 'bob' }))).content).toBe('Hi')
})

test('calls at once are counted over all nodes, and what ends makes room', async () => {
  let release
  const held = new Promise((resolve) => {
    release = resolve
  })
  const nodes = await gateways({ maxConcurrency: 4 }, () => held.then(() => 'Hi'))
  const running = []
  for (let turn = 0; turn < 4; turn++) running.push(nodes[turn % 2].chat(ask({ userId: 'ada' })))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const failure = await failureOf(nodes[2].chat(ask({ userId: 'ada' })))
  expect(failure).toMatchObject({ code: 'RATE_LIMITED', details: { limit: 'limits.maxConcurrency' } })
  release()
  await Promise.all(running)
  await expect
    .poll(() =>
      nodes[2].chat(ask({ userId: 'ada' })).then(
        ({ content }) => content,
        () => 'refused',
      ),
    )
    .toBe('Hi')
})
