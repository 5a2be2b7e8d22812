// The Vercel AI SDK on top of a gateway. Run it with `node examples/ai-sdk.mjs`, where `ai` is installed.
import { Gateway, GatewayError, loadConfigFromObjects, registerModelPricing } from 'ai-gateway-native'
import { createGatewayProvider } from 'ai-gateway-native/ai-sdk'

const { generateText, streamText } = await import('ai').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
  console.log('This example needs the Vercel AI SDK: npm install ai')
  process.exit()
})

registerModelPricing('mock', { inputPer1kTokens: 0.15, outputPer1kTokens: 0.6 })
const mock = (name) => ({ name, provider: 'mock', models: ['mock'], auth: { type: 'none' } })
const config = loadConfigFromObjects({
  providers: [mock('first'), mock('second')],
  routes: {
    rules: [
      {
        name: 'summaries',
        priority: 1,
        match: { taskType: 'summary' },
        target: { provider: 'first', fallbackChain: 'both' },
      },
      { name: 'rest', priority: 0, match: {}, target: { provider: 'first' } },
    ],
    fallbackChains: [
      {
        name: 'both',
        steps: [
          { provider: 'first', model: 'mock-503' },
          { provider: 'second', model: 'mock' },
        ],
      },
    ],
  },
  budgets: [],
})
const gateway = new Gateway({ config, onUsageLog: () => {} })
const provider = createGatewayProvider(gateway)

console.log('A model:')
{
  const { text, usage, providerMetadata } = await generateText({ model: provider('mock'), prompt: 'Hello' })
  console.log(`  ${text}`)
  console.log(`  ${usage.totalTokens} tokens, $${providerMetadata.gateway.estimatedCostUsd}`)
}

console.log('A task type: its rule falls back.')
{
  const { providerMetadata } = await generateText({ model: provider('summary'), prompt: 'Sum this up.' })
  const { provider: name, fallbackFrom } = providerMetadata.gateway
  console.log(`  ${name} answered in place of ${fallbackFrom}`)
}

console.log('A stream:')
{
  const { textStream } = streamText({ model: provider('mock'), prompt: 'Tell me more.' })
  process.stdout.write('  ')
  for await (const text of textStream) process.stdout.write(text)
  process.stdout.write('\n')
}

console.log("A failure: the SDK has its own error, and in it the gateway's.")
{
  const failed = await generateText({ model: provider('mock-429'), prompt: 'Hello', maxRetries: 0 }).catch(
    (error) => error,
  )
  console.log(`  ${failed.name} ${failed.statusCode}, ${GatewayError.isInstance(failed.cause) && failed.cause.kind}`)
}
