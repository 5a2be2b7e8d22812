// Typed errors: every failure that the gateway finds is a GatewayError. Run it with `node examples/errors.mjs`.
import { Gateway, GatewayError, loadConfigFromObjects, validateConfig } from 'ai-gateway-native'

const rule = (taskType, target, more) => ({ name: taskType, priority: 1, match: { taskType }, target, ...more })
const config = loadConfigFromObjects({
  providers: [
    { name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' } },
    { name: 'own', provider: 'own', models: ['own'], auth: { type: 'none' } },
  ],
  routes: {
    rules: [
      // The mock fails as the request's model says.
      rule('ask', { provider: 'mock' }, { constraints: { maxLatencyMs: 200 } }),
      rule('own', { provider: 'own' }),
    ],
  },
  budgets: [],
})

class OwnError extends Error {}
const own = {
  name: 'own',
  family: 'own',
  chat: async () => {
    throw new OwnError('from my own code')
  },
}
const gateway = new Gateway({ config, customProviders: { own: () => own }, onUsageLog: () => {} })

const messages = [{ role: 'user', content: 'Hello' }]
const ask = (model, more) => gateway.chat({ messages, taskType: 'ask', model, ...more })
const failures = {
  'wrong key': () => ask('mock-401'),
  'rate limit': () => ask('mock-429'),
  'server error': () => ask('mock-503'),
  'no answer in time': () => ask('mock-timeout'),
  'connection lost': () => ask('mock-network'),
  'no rule matches': () => ask('mock', { taskType: 'unheard of' }),
  'bad request': () => ask('mock', { messages: [{ role: 'robot', content: 'Hello' }] }),
  'bad configuration': async () => validateConfig({ providers: [{ name: 'x' }], routes: { rules: [] }, budgets: [] }),
  // Not made by the gateway, and so not changed by it: the very object that was thrown, and the signal's own reason.
  'own provider': () => gateway.chat({ messages, taskType: 'own' }),
  cancelled: () => ask('mock', { signal: AbortSignal.abort() }),
}

for (const [what, fail] of Object.entries(failures)) {
  try {
    await fail()
  } catch (error) {
    if (error instanceof GatewayError) {
      // `kind` is what to branch on; `httpStatus` is the status to answer a client with, `toJSON()` the body.
      console.log(`${what}: ${error.kind} (${error.code}), status ${error.httpStatus}, retryable ${error.retryable}`)
    } else {
      console.log(`${what}: ${error.constructor.name} ${error.name}, OwnError ${error instanceof OwnError}`)
    }
    console.log(`  ${error.message.replaceAll('\n', '\n  ')}`)
  }
}

// A stream can fail after it has begun: then the loop throws, with the text up to there already read.
const { stream } = await gateway.chatStream({ messages, taskType: 'ask', model: 'mock-midstream-error' })
let text = ''
try {
  for await (const { delta } of stream) text += delta
} catch (error) {
  console.log(`mid-stream: ${error.kind} (${error.code}) after "${text}"`)
}
