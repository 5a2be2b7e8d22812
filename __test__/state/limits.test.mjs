// Limits of callers that several gateways share.
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { customs, failureOf, gatewayOf } from '../helpers/config.mjs'
import { openai, upstream } from '../helpers/upstream.mjs'
import { folder } from './helpers/folder.mjs'
import { ledgerUpstream, worker } from './helpers/process.mjs'
import { services } from './helpers/services.mjs'

async function gateways(limits, chat) {
  const state = `sqlite:${path.join(await folder(), 'state.db')}`
  const made = Array.from(
    { length: 3 },
    () => gatewayOf({ ...customs({ a: chat }), settings: { state, limits } }).gateway,
  )
  onTestFinished(() => Promise.all(made.map((gateway) => gateway.close())))
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

describe.skipIf(services === undefined)('three processes on one Redis', () => {
  async function processes(limits) {
    const { url } = await ledgerUpstream()
    const config = { upstream: `${url}/v1`, settings: { state: services.redis, limits, cache: { enabled: false } } }
    return Promise.all([worker(config), worker(config), worker(config)])
  }
  const answered = (workers) => workers.flatMap((one) => one.acknowledged()).filter(({ code }) => code === null).length
  const refusals = (workers) =>
    new Set(workers.flatMap((one) => one.acknowledged().map(({ code }) => code)).filter((code) => code !== null))

  test('have the calls of a rate together, within one in a hundred', { timeout: 60_000 }, async () => {
    const rate = 1200
    const workers = await processes({ requestsPerMinute: rate })
    const userId = `ada-${process.pid}-${Date.now()}`
    const began = Date.now()
    await Promise.all(workers.map((one) => one.do('burst', { count: 700, atOnce: 8, userId })))
    const refilled = ((Date.now() - began) / 60_000) * rate
    expect(answered(workers)).toBeGreaterThanOrEqual(rate * 0.99)
    expect(answered(workers)).toBeLessThanOrEqual((rate + refilled) * 1.01)
    expect([...refusals(workers)]).toEqual(['RATE_LIMITED'])
  })

  test('have the places of calls at once together, also where one is killed', { timeout: 90_000 }, async () => {
    let now = 0
    let most = 0
    const { url } = await upstream(async (_, res) => {
      most = Math.max(most, ++now)
      await new Promise((resolve) => setTimeout(resolve, 40))
      now--
      const { body } = openai.answer()
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    const settings = { state: services.redis, limits: { maxConcurrency: 6 }, cache: { enabled: false } }
    const config = { upstream: `${url}/v1`, settings }
    const workers = await Promise.all([worker(config), worker(config), worker(config)])
    const userId = `ada-${process.pid}-${Date.now()}`
    const burst = (one) => one.do('burst', { count: 150, atOnce: 6, userId })
    await Promise.all(workers.map(burst))
    expect(most).toBeLessThanOrEqual(6)
    expect(most).toBeGreaterThan(2)
    // The places of a process that died lapse: the others have them all again.
    burst(workers[1])
    await new Promise((resolve) => setTimeout(resolve, 100))
    await workers[1].kill()
    const atOnce = async () => {
      const from = workers[0].acknowledged().length
      await workers[0].do('burst', { count: 6, atOnce: 6, userId })
      return workers[0]
        .acknowledged()
        .slice(from)
        .every(({ code }) => code === null)
    }
    await expect.poll(atOnce, { timeout: 45_000, interval: 1000 }).toBe(true)
  })
})
