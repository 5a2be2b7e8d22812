// State and records in a SQLite file: what a call came to is there before it is answered, and outlives the gateway.
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { budget, customs, failureOf, gatewayOf, result } from '../helpers/config.mjs'
import { folder } from './helpers/folder.mjs'

async function file() {
  return `sqlite:${path.join(await folder(), 'gateway.db')}`
}

const answer = () => result('Hi', { model: 'gpt-4o', inputTokens: 1000, outputTokens: 100 })

function open(url, { budgets, ...settings } = {}) {
  const played = customs({ a: answer }, { a: { models: ['gpt-4o'] } })
  const made = gatewayOf({ ...played, budgets, settings: { state: url, database: url, ...settings } })
  onTestFinished(() => made.gateway.close())
  return made
}

const ask = (fields) => ({ messages: [{ role: 'user', content: 'Hi' }], ...fields })

test('a budget and the usage outlive the gateway', async () => {
  const url = await file()
  const budgets = [budget('daily', { maxTotalTokens: 2500 }, { enforcement: 'strict', maxOutputTokensPerCall: 200 })]
  const first = open(url, { budgets })
  await first.gateway.chat(ask({ userId: 'ada', feature: 'chat' }))
  await first.gateway.chat(ask({ userId: 'bob' }))
  await first.gateway.close()

  const { gateway } = open(url, { budgets })
  const [standing] = gateway.budgets()
  expect(standing.spent).toMatchObject({ inputTokens: 2000, outputTokens: 200, totalTokens: 2200 })
  expect(standing.reserved.totalTokens).toBe(0)
  const rows = await gateway.usage({ groupBy: ['userId'] })
  expect(rows).toEqual([
    expect.objectContaining({ userId: 'ada', calls: 1, inputTokens: 1000, outputTokens: 100 }),
    expect.objectContaining({ userId: 'bob', calls: 1 }),
  ])
  expect(rows[0].costUsd).toBeCloseTo(0.0035, 12)
  await gateway.chat(ask())
  const failure = await failureOf(gateway.chat(ask({ maxTokens: 400 })))
  expect(failure.code).toBe('BUDGET_EXCEEDED')
})

test('two gateways on one file share a budget', async () => {
  const url = await file()
  const budgets = [budget('daily', { maxTotalTokens: 11000 }, { enforcement: 'hard' })]
  const gateways = [open(url, { budgets }).gateway, open(url, { budgets }).gateway]
  const callInTurn = async (gateway) => {
    const settled = []
    for (let turn = 0; turn < 15; turn++) settled.push(...(await Promise.allSettled([gateway.chat(ask())])))
    return settled
  }
  const settled = (await Promise.all(gateways.map(callInTurn))).flat()
  const answered = settled.filter(({ status }) => status === 'fulfilled').length
  const refused = settled.filter(({ reason }) => reason?.code === 'BUDGET_EXCEEDED').length
  expect(answered + refused).toBe(30)
  // Ten calls are as much as the budget bears; the last ones of each gateway may be in flight then.
  expect(answered).toBeGreaterThanOrEqual(10)
  expect(answered).toBeLessThanOrEqual(12)
  const rows = await gateways[0].usage()
  expect(rows).toEqual([expect.objectContaining({ calls: answered, inputTokens: 1000 * answered })])
})

test('usage is told as CSV, too', async () => {
  const { gateway } = open(await file())
  await gateway.chat(ask({ userId: 'a,b' }))
  const text = await gateway.usage({ groupBy: 'userId', format: 'csv' })
  expect(text.split('\r\n')[0]).toBe(
    'userId,calls,errors,inputTokens,outputTokens,costUsd,savedUsd,latencyP50Ms,latencyP95Ms',
  )
  expect(text.split('\r\n')[1]).toMatch(/^"a,b",1,0,1000,100,0.0035/)
})
