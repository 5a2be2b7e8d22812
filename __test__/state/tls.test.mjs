// A Redis that is reached by TLS, whose certificate is a company's own.
import { describe, expect, test } from 'vitest'
import { budget } from '../helpers/config.mjs'
import { ledgerUpstream, standing, worker } from './helpers/process.mjs'
import { redisServer } from './helpers/servers.mjs'
import { services } from './helpers/services.mjs'

describe.skipIf(services === undefined)('a Redis with a certificate of an authority of its own', () => {
  const budgets = [budget('all', { maxTotalTokens: 1_000_000 }, { enforcement: 'strict' })]

  test('is trusted where NODE_EXTRA_CA_CERTS names the authority', { timeout: 30_000 }, async () => {
    const [server, { url }] = [await redisServer({ tls: true }), await ledgerUpstream()]
    const config = { budgets, upstream: `${url}/v1`, settings: { state: server.tlsUrl } }
    const one = await worker(config, { NODE_EXTRA_CA_CERTS: server.cert })
    const lines = await one.do('burst', { count: 3 })
    expect(lines.filter(({ way }) => way).map(({ code }) => code)).toEqual([null, null, null])
    await expect.poll(() => standing(one), { timeout: 5000 }).toEqual({ spent: 180, reserved: 0 })
  })

  test('is not trusted elsewhere', { timeout: 30_000 }, async () => {
    const [server, { url }] = [await redisServer({ tls: true }), await ledgerUpstream()]
    const config = { budgets, upstream: `${url}/v1`, settings: { state: server.tlsUrl } }
    const one = await worker(config, { NODE_EXTRA_CA_CERTS: `${server.cert}.missing` })
    const lines = await one.do('burst', { count: 3 })
    expect(lines.filter(({ way }) => way).map(({ code }) => code)).toEqual(Array(3).fill('STORE_UNAVAILABLE'))
  })
})
