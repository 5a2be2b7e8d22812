// Version 2 of the SDK's interfaces, and what loading the sub-export takes.
import { execFileSync } from 'node:child_process'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { expect, test } from 'vitest'
import { collect } from '../helpers/config.mjs'
import { openai } from '../helpers/upstream.mjs'
import { completion, deltas, openaiCall, over, overStub } from './helpers.mjs'

globalThis.AI_SDK_LOG_WARNINGS = false

const V2 = { options: { specificationVersion: 'v2' } }
const counts = {
  ...openai.usage(10, 20),
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 15 },
}
const USAGE = { inputTokens: 10, outputTokens: 20, totalTokens: 30, cachedInputTokens: 4, reasoningTokens: 15 }
const prompt = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }]
const WARNINGS = [{ type: 'unsupported-setting', setting: 'topK', details: expect.stringContaining('main') }]

test('version 2: a whole answer', async () => {
  const { ai } = await over([completion({ role: 'assistant', content: 'Hi' }, 'content_filter', counts)], V2)
  const model = ai('gpt-4o-mini')
  expect([ai.specificationVersion, model.specificationVersion]).toEqual(['v2', 'v2'])
  expect(await model.doGenerate({ prompt, topK: 1 })).toMatchObject({
    content: [{ type: 'text', text: 'Hi' }],
    finishReason: 'content-filter',
    usage: USAGE,
    warnings: WARNINGS,
    providerMetadata: { gateway: { provider: 'main' } },
  })
})

test('version 2: a stream', async () => {
  const { ai } = await over([deltas([{ content: 'Hi' }], 'stop')], V2)
  const parts = await collect((await ai('gpt-4o-mini').doStream({ prompt, topK: 1 })).stream)
  expect(parts[0]).toEqual({ type: 'stream-start', warnings: WARNINGS })
  expect(parts.at(-1)).toMatchObject({
    type: 'finish',
    finishReason: 'stop',
    usage: { inputTokens: 12, outputTokens: 5, totalTokens: 17 },
  })
})

test('version 2: the SDK uses it', async () => {
  const call = openaiCall('c1', 'clock', '{}')
  const { ai } = await over(
    [
      completion({ role: 'assistant', content: null, tool_calls: [call] }, 'tool_calls'),
      openai.answer('Noon.'),
      openai.stream(['Noon', '.']),
    ],
    V2,
  )
  const clock = tool({ inputSchema: jsonSchema({ type: 'object' }), execute: async () => '12:00' })
  const { text, totalUsage } = await generateText({
    model: ai('m'),
    prompt: 'Time?',
    tools: { clock },
    stopWhen: stepCountIs(2),
  })
  expect([text, totalUsage.totalTokens]).toEqual(['Noon.', 34])
  expect(await streamText({ model: ai('m'), prompt: 'Time?' }).text).toBe('Noon.')
})

test('version 2: embeddings', async () => {
  const { ai } = overStub({ embed: { vectors: [[1]], inputTokens: 1 } }, V2.options)
  const model = ai.textEmbeddingModel('m')
  expect(model.specificationVersion).toBe('v2')
  expect(await model.doEmbed({ values: ['a'] })).toMatchObject({ embeddings: [[1]], usage: { tokens: 1 } })
})

test.each(["require('ai-gateway-native/ai-sdk')", "import('ai-gateway-native/ai-sdk')"])(
  '%s needs nothing but this package',
  (load) => {
    const script = `
    const Module = require('node:module')
    const resolve = Module._resolveFilename
    Module._resolveFilename = (name, ...rest) => {
      if (/^(ai$|@ai-sdk)/.test(name)) throw new Error(name + ' was asked for')
      return resolve(name, ...rest)
    }
    Promise.resolve(${load}).then(({ createGatewayProvider }) => console.log(typeof createGatewayProvider))`
    expect(
      execFileSync(process.execPath, ['-e', script], { cwd: new URL('../..', import.meta.url), encoding: 'utf8' }),
    ).toBe('function\n')
  },
)
