// The SDK's prompts and options as the gateway is asked, part by part.
import { convertToModelMessages, generateText, jsonSchema, tool } from 'ai'
import { expect, test } from 'vitest'
import { failureOf } from '../helpers/config.mjs'
import { answer, overStub } from './helpers.mjs'

globalThis.AI_SDK_LOG_WARNINGS = false

const PNG = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const PNG64 = 'iVBORw0KGgo='

/** The messages, and warnings, of a prompt as it reaches a model. */
async function sent(prompt, call = {}) {
  const { ai, asked } = overStub({ chat: answer() })
  const { warnings } = await ai('m').doGenerate({ prompt, ...call })
  return { ...asked[0], warnings }
}
const user = (...content) => [{ role: 'user', content }]
const file = (data, mediaType, fields = {}) => ({ type: 'file', data, mediaType, ...fields })

test('images, audio and documents, by URL, bytes and base64', async () => {
  const { messages } = await sent(
    user(
      { type: 'text', text: 'Look' },
      file(new URL('https://x.test/a.png'), 'image/*'),
      file(PNG, 'image/png'),
      file(PNG64, 'image/*'),
      file('AAAA', 'audio/mpeg'),
      file('AAAA', 'application/pdf', { filename: 'a.pdf' }),
      file(new Uint8Array(PNG.buffer, 1, 3), 'text/plain'),
    ),
  )
  expect(messages).toEqual([
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Look' },
        { type: 'image', url: 'https://x.test/a.png' },
        { type: 'image', data: PNG64, mimeType: 'image/png' },
        { type: 'image', data: PNG64, mimeType: 'image/jpeg' },
        { type: 'audio', data: 'AAAA', mimeType: 'audio/mpeg' },
        { type: 'file', data: 'AAAA', mimeType: 'application/pdf', name: 'a.pdf' },
        { type: 'file', data: 'UE5H', mimeType: 'text/plain' },
      ],
    },
  ])
  const { ai } = overStub({ chat: answer() })
  const error = await failureOf(
    ai('m').doGenerate({ prompt: user(file(new URL('https://x.test/a.pdf'), 'application/pdf')) }),
  )
  expect(error).toMatchObject({
    name: 'AI_UnsupportedFunctionalityError',
    functionality: 'application/pdf files by URL',
  })
})

test('reasoning without blocks of a vendor goes on as its text', async () => {
  const { messages } = await sent([
    ...user({ type: 'text', text: 'go' }),
    {
      role: 'assistant',
      content: [
        { type: 'reasoning', text: 'I look ' },
        { type: 'reasoning', text: 'it up.' },
      ],
    },
  ])
  expect(messages[1].reasoningDetails).toEqual([{ type: 'reasoning_content', text: 'I look it up.' }])
})

test('images that a program gives the SDK reach the gateway; URLs are not fetched', async () => {
  const { ai, asked } = overStub({ chat: answer() })
  const content = [
    { type: 'image', image: new URL('https://x.test/a.png') },
    { type: 'image', image: `data:image/png;base64,${PNG64}` },
    { type: 'image', image: PNG },
  ]
  await generateText({ model: ai('m'), messages: [{ role: 'user', content }] })
  const data = { type: 'image', data: PNG64, mimeType: 'image/png' }
  expect(asked[0].messages).toEqual([
    { role: 'user', content: [{ type: 'image', url: 'https://x.test/a.png' }, data, data] },
  ])
})

test("an assistant's turn: texts, calls, and the reasoning of any part", async () => {
  const block = (n) => ({ type: 'thinking', thinking: `${n}`, signature: `s${n}` })
  const carrying = (...reasoningDetails) => ({ providerOptions: { gateway: { reasoningDetails } } })
  const turn = {
    role: 'assistant',
    content: [
      { type: 'reasoning', text: '1', ...carrying(block(1)) },
      { type: 'text', text: 'A', ...carrying(block(2)) },
      { type: 'text', text: 'B' },
      {
        type: 'tool-call',
        toolCallId: '1',
        toolName: 'f',
        input: { a: 1 },
        providerOptions: { gateway: { signature: 'sig', reasoningDetails: [block(3)] } },
      },
      { type: 'tool-call', toolCallId: '2', toolName: 'f', input: '{"a":' },
      { type: 'tool-call', toolCallId: '3', toolName: 'f', input: [1] },
      { type: 'tool-call', toolCallId: '4', toolName: 'web', input: {}, providerExecuted: true },
      { type: 'tool-result', toolCallId: '4', toolName: 'web', output: { type: 'text', value: 'x' } },
    ],
  }
  const calls = [
    { id: '1', name: 'f', arguments: { a: 1 }, signature: 'sig' },
    { id: '2', name: 'f', arguments: {}, rawArguments: '{"a":' },
    { id: '3', name: 'f', arguments: {}, rawArguments: '[1]' },
  ]
  const { messages, warnings } = await sent([turn])
  expect(messages).toEqual([
    { role: 'assistant', content: 'AB', toolCalls: calls, reasoningDetails: [block(1), block(2), block(3)] },
  ])
  expect(warnings.map((warning) => warning.feature)).toEqual([
    'tool-call of a tool that a provider ran',
    'tool-result of a tool that a provider ran',
  ])
  const lone = await sent([
    { role: 'assistant', content: [turn.content[4]] },
    { role: 'assistant', content: [{ type: 'text', text: 'See' }, file(PNG, 'image/png')] },
    { role: 'assistant', content: [] },
  ])
  expect(lone.messages).toEqual([
    { role: 'assistant', content: null, toolCalls: [calls[1]] },
    {
      role: 'assistant',
      content: [
        { type: 'text', text: 'See' },
        { type: 'image', data: PNG64, mimeType: 'image/png' },
      ],
    },
    { role: 'assistant', content: '' },
  ])
})

test('results of tools in each of their forms', async () => {
  const outputs = [
    { type: 'text', value: 'ok' },
    { type: 'json', value: { a: [1] } },
    { type: 'error-text', value: 'bad' },
    { type: 'error-json', value: { e: 1 } },
    { type: 'execution-denied', reason: 'Not now.' },
    { type: 'execution-denied' },
    { type: 'content', value: [{ type: 'text', text: 'alone' }] },
    {
      type: 'content',
      value: [
        { type: 'text', text: 'see' },
        { type: 'image-data', data: PNG64, mediaType: 'image/png' },
        { type: 'media', data: PNG64, mediaType: 'image/png' },
        { type: 'file-data', data: 'AAAA', mediaType: 'application/pdf', filename: 'a.pdf' },
        { type: 'image-url', url: 'https://x.test/a.png' },
        { type: 'file-url', url: 'https://x.test/b.png', mediaType: 'image/png' },
        { type: 'file-url', url: 'https://x.test/c.pdf' },
        { type: 'image-file-id', fileId: 'f1' },
      ],
    },
  ]
  const content = outputs.map((output, index) => ({
    type: 'tool-result',
    toolCallId: `${index}`,
    toolName: 'f',
    output,
  }))
  const approval = { type: 'tool-approval-response', approvalId: 'a', approved: true }
  const { messages, warnings } = await sent([{ role: 'tool', content: [approval, ...content] }])
  expect(messages.map(({ role, toolCallId, content }) => [role, toolCallId, content])).toEqual([
    ['tool', '0', 'ok'],
    ['tool', '1', '{"a":[1]}'],
    ['tool', '2', 'bad'],
    ['tool', '3', '{"e":1}'],
    ['tool', '4', 'Not now.'],
    ['tool', '5', 'Tool execution denied.'],
    ['tool', '6', 'alone'],
    [
      'tool',
      '7',
      [
        { type: 'text', text: 'see' },
        { type: 'image', data: PNG64, mimeType: 'image/png' },
        { type: 'image', data: PNG64, mimeType: 'image/png' },
        { type: 'file', data: 'AAAA', mimeType: 'application/pdf', name: 'a.pdf' },
        { type: 'image', url: 'https://x.test/a.png' },
        { type: 'image', url: 'https://x.test/b.png' },
      ],
    ],
  ])
  expect(messages.flatMap(({ toolCallId, isError }) => (isError ? [toolCallId] : []))).toEqual(['2', '3'])
  expect(warnings.map((warning) => warning.feature)).toEqual([
    'tool result content of type "file-url"',
    'tool result content of type "image-file-id"',
  ])
})

test("marks for prompt caching, in Anthropic's words and ours", async () => {
  const anthropic = { providerOptions: { anthropic: { cacheControl: { type: 'ephemeral' } } } }
  const ours = { providerOptions: { gateway: { cacheControl: 'ephemeral' } } }
  const result = (id) => ({ type: 'tool-result', toolCallId: id, toolName: 'f', output: { type: 'text', value: id } })
  const { messages } = await sent([
    { role: 'system', content: 'S', ...anthropic },
    { role: 'user', content: [{ type: 'text', text: 'U', ...ours }] },
    { role: 'user', content: [{ type: 'text', text: 'V' }], ...ours },
    { role: 'assistant', content: [{ type: 'text', text: 'A', ...anthropic }] },
    { role: 'tool', content: [result('1'), result('2')], ...anthropic },
  ])
  const cacheControl = 'ephemeral'
  expect(messages).toEqual([
    { role: 'system', content: 'S', cacheControl },
    { role: 'user', content: [{ type: 'text', text: 'U', cacheControl }] },
    { role: 'user', content: 'V', cacheControl },
    { role: 'assistant', content: 'A', cacheControl },
    { role: 'tool', toolCallId: '1', content: '1' },
    { role: 'tool', toolCallId: '2', content: '2', cacheControl },
  ])
})

test('tools and which of them', async () => {
  const inputSchema = { type: 'object', properties: {} }
  const tools = [
    { type: 'function', name: 'f', description: 'F', inputSchema, strict: true, inputExamples: [{ input: {} }] },
    { type: 'function', name: 'g', inputSchema },
    { type: 'provider', id: 'openai.web_search', name: 'search', args: {} },
  ]
  const chosen = async (toolChoice, list = tools) => (await sent(user(), { tools: list, toolChoice })).toolChoice
  const { tools: offered, warnings } = await sent(user(), { tools })
  expect(offered).toEqual([
    { name: 'f', description: 'F', parameters: inputSchema, strict: true },
    { name: 'g', parameters: inputSchema },
  ])
  expect(warnings.map((warning) => warning.feature)).toEqual([
    'inputExamples of tool "f"',
    'tool "search" (openai.web_search)',
  ])
  for (const type of ['auto', 'none', 'required']) expect(await chosen({ type })).toBe(type)
  expect(await chosen({ type: 'tool', toolName: 'g' })).toEqual({ name: 'g' })
  expect(await chosen({ type: 'auto' }, tools.slice(2))).toBe(undefined)
})

test("a call's own fields go before a model's, and those before the provider's", async () => {
  const request = {
    feature: 'all',
    userTier: 'free',
    timeoutMs: 9,
    temperature: 1,
    providerOptions: { openai: { a: 1, b: 1 } },
  }
  const { ai, asked } = overStub({ chat: answer() }, { request })
  const model = ai({ taskType: 'chat', userTier: 'pro', providerOptions: { openai: { b: 2 }, anthropic: { c: 2 } } })
  const signal = new AbortController().signal
  await model.doGenerate({
    prompt: user({ type: 'text', text: 'Hi' }),
    abortSignal: signal,
    temperature: 0,
    providerOptions: {
      gateway: { feature: 'own', sensitivity: 'high', metadata: { a: 1 }, cache: { ttlMs: 5 }, timeoutMs: undefined },
      openai: { d: 3 },
    },
  })
  expect(asked[0]).toEqual({
    taskType: 'chat',
    feature: 'own',
    userTier: 'pro',
    sensitivity: 'high',
    metadata: { a: 1 },
    cache: { ttlMs: 5 },
    timeoutMs: 9,
    temperature: 0,
    messages: [{ role: 'user', content: 'Hi' }],
    signal,
    providerOptions: { openai: { a: 1, b: 2, d: 3 }, anthropic: { c: 2 } },
  })
  expect(request.providerOptions).toEqual({ openai: { a: 1, b: 1 } })
})

test('a conversation kept by a user interface carries signatures through', async () => {
  const block = { type: 'thinking', thinking: 'Hm', signature: 's' }
  const metadata = { gateway: { reasoningDetails: [block] } }
  const part = {
    type: 'tool-weather',
    toolCallId: '1',
    state: 'output-available',
    input: {},
    output: 'ok',
    callProviderMetadata: metadata,
  }
  const messages = await convertToModelMessages([
    { id: 'u', role: 'user', parts: [{ type: 'text', text: 'Rome?' }] },
    {
      id: 'a',
      role: 'assistant',
      parts: [{ type: 'step-start' }, part, { type: 'step-start' }, { type: 'text', text: 'Clear.' }],
    },
    { id: 'v', role: 'user', parts: [{ type: 'text', text: 'And Oslo?' }] },
  ])
  const { ai, asked } = overStub({ chat: answer() })
  await generateText({
    model: ai('m'),
    messages,
    tools: { weather: tool({ inputSchema: jsonSchema({ type: 'object' }) }) },
  })
  expect(asked[0].messages[1]).toMatchObject({ role: 'assistant', reasoningDetails: [block] })
})
