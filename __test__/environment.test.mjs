// `${NAME}` in a configuration is the environment's.
import { afterEach, expect, test } from 'vitest'
import { config, failureOf, gatewayOf, provider, rule } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

const NAMES = ['GATEWAY_TEST_HOST', 'GATEWAY_TEST_TOKEN']

afterEach(() => {
  for (const name of NAMES) delete process.env[name]
})

const variable = (name) => `\${${name}}`

test('addresses and headers take their variables from the environment', async () => {
  const { host, last } = await upstream(openai.answer('Hi'))
  process.env.GATEWAY_TEST_HOST = host
  process.env.GATEWAY_TEST_TOKEN = 'from-the-vault'
  const entry = provider('a', `http://${variable('GATEWAY_TEST_HOST')}/v1`, {
    headers: { 'x-token': `Token ${variable('GATEWAY_TEST_TOKEN')}` },
  })
  const { gateway } = gatewayOf({ providers: [entry], rules: [rule({ provider: 'a' })] })
  const { content } = await gateway.chat({ messages: [{ role: 'user', content: `price: ${variable('FREE')}` }] })
  expect(content).toBe('Hi')
  expect(last().headers['x-token']).toBe('Token from-the-vault')
  expect(last().body.messages[0].content).toBe(`price: ${variable('FREE')}`)
})

test('a variable that is not set is a fault with its path', async () => {
  const entry = provider('a', 'http://127.0.0.1:9/v1', { headers: { 'x-token': variable('GATEWAY_TEST_TOKEN') } })
  const failure = await failureOf(() => gatewayOf({ providers: [entry], rules: [rule({ provider: 'a' })] }))
  expect(failure.code).toBe('CONFIG_INVALID')
  expect(failure.message).toContain(
    'providers[0].headers.x-token: names the environment variable GATEWAY_TEST_TOKEN, which is not set',
  )
})

test('a reload takes the variables as they are then', async () => {
  const { host, last } = await upstream(openai.answer('Hi'))
  process.env.GATEWAY_TEST_TOKEN = 'old'
  const entry = provider('a', `http://${host}/v1`, { headers: { 'x-token': variable('GATEWAY_TEST_TOKEN') } })
  const written = { providers: [entry], rules: [rule({ provider: 'a' })] }
  const { gateway } = gatewayOf(written)
  process.env.GATEWAY_TEST_TOKEN = 'new'
  await gateway.reload(config(written))
  await gateway.chat({ messages: [{ role: 'user', content: 'Hi' }] })
  expect(last().headers['x-token']).toBe('new')
})
