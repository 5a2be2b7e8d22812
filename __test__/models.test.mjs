import { expect, test } from 'vitest'
import { custom, gatewayOf, provider } from './helpers/config.mjs'
import { cut, status, upstream } from './helpers/upstream.mjs'

const list = (...ids) => status(200, { object: 'list', data: ids.map((id) => ({ id, object: 'model' })) })

test('the models of all providers: those an entry lists, then those its service tells of, each once', async () => {
  const up = await upstream(list('gpt-4o', 'gpt-4o-mini'))
  const claude = await upstream(status(200, { data: [{ type: 'model', id: 'claude-x' }], has_more: false }))
  const { gateway } = gatewayOf({
    providers: [
      provider('main', `${up.url}/v1/`),
      provider('claude', claude.url, { provider: 'anthropic', models: ['claude-3-haiku'] }),
      custom('own'),
    ],
    customProviders: { custom: (config) => ({ name: config.name, family: 'custom', chat: async () => {} }) },
  })
  expect(await gateway.listModels()).toEqual([
    { id: 'gpt-4o-mini', provider: 'main' },
    { id: 'gpt-4o', provider: 'main' },
    { id: 'claude-3-haiku', provider: 'claude' },
    { id: 'claude-x', provider: 'claude' },
    { id: 'model-of-own', provider: 'own' },
  ])
  expect(up.last()).toMatchObject({ method: 'GET', url: '/v1/models', text: '' })
  expect(up.last().headers.authorization).toMatch(/^Bearer /)
  expect(claude.last().url).toBe('/v1/models?limit=1000')
})

test('a list is kept until it is asked for afresh', async () => {
  const up = await upstream(list('a'), list('b'))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { models: ['m'] })] })
  const ids = async (options) => (await gateway.listModels(options)).map(({ id }) => id)
  expect(await ids()).toEqual(['m', 'a'])
  expect(await ids()).toEqual(['m', 'a'])
  expect(await ids({ refresh: true })).toEqual(['m', 'b'])
  expect(up.requests).toHaveLength(2)
})

test('a service that cannot be asked adds nothing, and is asked again the next time', async () => {
  const up = await upstream(cut, status(401), status(200, '<html>'), list('late'))
  const { gateway } = gatewayOf({ providers: [provider('main', up.url, { models: ['m'] })] })
  for (let i = 0; i < 3; i++) expect(await gateway.listModels()).toEqual([{ id: 'm', provider: 'main' }])
  expect(await gateway.listModels()).toContainEqual({ id: 'late', provider: 'main' })
})
