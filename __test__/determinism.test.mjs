// The same request is the same bytes, each time: vendors' prompt caches go by the bytes.
import { describe, expect, test } from 'vitest'
import { gatewayOf, provider } from './helpers/config.mjs'
import { anthropic, openai, upstream } from './helpers/upstream.mjs'

const JSON_TEXT = '{"n":1}'

// Entry and answer of each wire format; the answers fit what REQUEST asks.
const FORMATS = {
  openai: { entry: { models: ['gpt-4.1'] }, answer: openai.answer(JSON_TEXT) },
  anthropic: { entry: { models: ['claude-sonnet-4-5'] }, answer: anthropic.answer(JSON_TEXT) },
  gemini: {
    entry: { models: ['gemini-3.8-flash'] },
    answer: {
      body: {
        candidates: [{ content: { parts: [{ text: JSON_TEXT }], role: 'model' }, finishReason: 'STOP', index: 0 }],
      },
    },
  },
  bedrock: {
    entry: {
      models: ['us.anthropic.claude-sonnet-4-5-20250929-v1:0'],
      auth: { type: 'bearer', envVar: 'AI_GATEWAY_TEST_KEY' },
    },
    answer: {
      body: {
        output: { message: { role: 'assistant', content: [{ text: JSON_TEXT }] } },
        stopReason: 'end_turn',
        usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
        metrics: { latencyMs: 12 },
      },
    },
  },
  mistral: { entry: { models: ['mistral-large-latest'] }, answer: openai.answer(JSON_TEXT) },
  responses: {
    entry: { provider: 'openai', models: ['gpt-5-mini'], options: { api: 'responses' } },
    answer: {
      body: {
        id: 'resp_1',
        object: 'response',
        status: 'completed',
        model: 'gpt-5-mini',
        output: [
          {
            id: 'msg_1',
            type: 'message',
            status: 'completed',
            role: 'assistant',
            content: [{ type: 'output_text', annotations: [], text: JSON_TEXT }],
          },
        ],
        usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
      },
    },
  },
  'workers-ai': {
    entry: { models: ['@cf/meta/llama-3.3-70b-instruct-fp8-fast'] },
    answer: { body: { result: { response: { n: 1 } }, success: true, errors: [], messages: [] } },
  },
}
const families = Object.keys(FORMATS)

const entryOf = (family, url) => provider('main', url, { provider: family, ...FORMATS[family].entry })

/** Keys in an order that no sorting gives, names that hash apart, numbers of every kind. */
const SCHEMA = {
  type: 'object',
  required: ['n'],
  properties: {
    zeta: { type: 'string' },
    n: { type: 'integer', minimum: 0 },
    alpha: { anyOf: [{ type: 'null' }, { type: 'number', multipleOf: 0.1 }] },
    'é "x"': { const: 1e21 },
  },
  additionalProperties: false,
}
const TOOLS = [
  {
    name: 'weather',
    description: 'Weather of a place',
    parameters: {
      type: 'object',
      properties: { unit: { enum: ['c', 'f'] }, place: { type: 'string' } },
      required: ['place'],
    },
  },
  { name: 'clock', parameters: SCHEMA, strict: true },
  { name: 'a_search', parameters: { type: 'object', properties: {} } },
]
const REQUEST = {
  messages: [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is "this"? \u2028 é 👋' },
        { type: 'image', data: 'iVBORw0KGgo=', mimeType: 'image/png' },
      ],
    },
    {
      role: 'assistant',
      content: 'Let me look.',
      toolCalls: [
        { id: 'a', name: 'weather', arguments: { unit: 'c', place: 'Rome', deep: { z: 1.5, a: [true, null] } } },
      ],
    },
    { role: 'tool', toolCallId: 'a', content: '{"t": 21.0}' },
    { role: 'user', content: 'And now?' },
  ],
  tools: TOOLS,
  toolChoice: 'auto',
  responseFormat: { jsonSchema: SCHEMA, name: 'n', strict: true },
  maxTokens: 500,
  temperature: 0.3,
  topP: 0.9,
  stop: ['END', 'FIN'],
  seed: 7,
  userId: 'u-1',
  metadata: { zone: 'b', app: 'a', trace: 'c' },
  providerOptions: Object.fromEntries(
    families.map((family) => [FORMATS[family].entry.provider ?? family, { zebra: { b: 1, a: 2 }, apple: [3, 1, 2] }]),
  ),
}

describe.each(families)('%s', (family) => {
  test('an identical request is identical bytes: again, from another gateway, after a way through JSON', async () => {
    const up = await upstream(FORMATS[family].answer)
    const gateways = [0, 1].map(() => gatewayOf({ providers: [entryOf(family, up.url)] }).gateway)
    const times = 50
    for (let time = 0; time < times; time++) {
      const request = time % 2 === 0 ? REQUEST : JSON.parse(JSON.stringify(REQUEST))
      const answer = await gateways[time % 3 === 0 ? 1 : 0].chat(request)
      expect(JSON.parse(answer.content)).toEqual({ n: 1 })
    }
    expect(up.requests).toHaveLength(times)
    expect([...new Set(up.requests.map(({ text, url }) => `${url} ${text}`))]).toHaveLength(1)
    // What the caller wrote keeps its order, inside of whatever the vendor puts around it.
    const { text } = up.requests[0]
    expect(text).toContain(JSON.stringify(TOOLS[0].parameters))
    expect(text.indexOf('"weather"')).toBeLessThan(text.indexOf('"clock"'))
    expect(text.indexOf('"clock"')).toBeLessThan(text.indexOf('"a_search"'))
    expect(text).toContain('"zebra":{"b":1,"a":2},"apple":[3,1,2]')
  })
})

// ── Breakpoints of prompt caches ─────────────────────────────────────────────────────────────────────────────────

const cacheControl = 'ephemeral'
const MARKED = {
  messages: [
    { role: 'system', content: 'Rules.' },
    {
      role: 'system',
      content: [
        { type: 'text', text: 'A long law.', cacheControl },
        { type: 'text', text: 'Its gloss.' },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'A book.', cacheControl },
        { type: 'image', data: 'iVBORw0KGgo=', mimeType: 'image/png', cacheControl },
        { type: 'text', text: 'And?' },
      ],
    },
    { role: 'assistant', content: 'See.', toolCalls: [{ id: 'a', name: 'weather', arguments: {} }], cacheControl },
    { role: 'tool', toolCallId: 'a', content: 'sunny', cacheControl },
    { role: 'assistant', toolCalls: [{ id: 'b', name: 'weather', arguments: {} }] },
    { role: 'tool', toolCallId: 'b', content: [{ type: 'text', text: 'rain', cacheControl }] },
    { role: 'user', content: 'So?', cacheControl },
  ],
  tools: [TOOLS[0]],
}

async function sent(family, request) {
  const up = await upstream(FORMATS[family].answer)
  await gatewayOf({ providers: [entryOf(family, up.url)] }).gateway.chat(request)
  return up.requests[0]
}

describe('a caller’s cache breakpoints', () => {
  test('stand where they were at Anthropic', async () => {
    const cache_control = { type: 'ephemeral' }
    const { body } = await sent('anthropic', MARKED)
    expect(body.system).toEqual([
      { type: 'text', text: 'Rules.' },
      { type: 'text', text: 'A long law.', cache_control },
      { type: 'text', text: 'Its gloss.' },
    ])
    const result = (id, content, fields) => ({ type: 'tool_result', tool_use_id: id, content, ...fields })
    expect(body.messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'A book.', cache_control },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' }, cache_control },
          { type: 'text', text: 'And?' },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'See.' },
          { type: 'tool_use', id: 'a', name: 'weather', input: {}, cache_control },
        ],
      },
      { role: 'user', content: [result('a', 'sunny', { cache_control })] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'b', name: 'weather', input: {} }] },
      { role: 'user', content: [result('b', [{ type: 'text', text: 'rain', cache_control }])] },
      { role: 'user', content: [{ type: 'text', text: 'So?', cache_control }] },
    ])
  })

  test('are points behind their blocks at Bedrock', async () => {
    const point = { cachePoint: { type: 'default' } }
    const { body } = await sent('bedrock', MARKED)
    expect(body.system).toEqual([{ text: 'Rules.' }, { text: 'A long law.' }, point, { text: 'Its gloss.' }])
    const call = (id) => ({ toolUse: { toolUseId: id, name: 'weather', input: {} } })
    const result = (id, text) => ({ toolResult: { toolUseId: id, content: [{ text }] } })
    expect(body.messages).toEqual([
      {
        role: 'user',
        content: [
          { text: 'A book.' },
          point,
          { image: { format: 'png', source: { bytes: 'iVBORw0KGgo=' } } },
          point,
          { text: 'And?' },
        ],
      },
      { role: 'assistant', content: [{ text: 'See.' }, call('a'), point] },
      { role: 'user', content: [result('a', 'sunny'), point] },
      { role: 'assistant', content: [call('b')] },
      { role: 'user', content: [result('b', 'rain'), point, { text: 'So?' }, point] },
    ])
  })

  test.each(families.filter((family) => !['anthropic', 'bedrock'].includes(family)))(
    'are left out at %s',
    async (family) => {
      const bare = JSON.parse(JSON.stringify(MARKED), (key, value) => (key === 'cacheControl' ? undefined : value))
      const marked = await sent(family, MARKED)
      expect(marked.text).not.toMatch(/cache|ephemeral/i)
      expect(marked.body).toEqual((await sent(family, bare)).body)
    },
  )
})

// ── OpenAI's own form ────────────────────────────────────────────────────────────────────────────────────────────

// DeepSeek wants its reasoning back, and Mistral has ids of its own.
test.each(['openai', 'azure', 'groq', 'ollama', 'vllm'])(
  'messages in OpenAI’s own form reach %s byte for byte, whatever else is asked',
  async (family) => {
    const messages = [
      { content: 'Be brief, in JSON.', role: 'system', name: 'boss' },
      {
        role: 'user',
        content: [
          { text: 'é 👋 \u2028 1.0', type: 'text' },
          { type: 'image_url', image_url: { url: 'https://x.test/a.png', detail: 'low' } },
        ],
      },
      {
        role: 'assistant',
        // As the service wants it: an id of nine letters and digits, and reasoning with its calls.
        tool_calls: [
          { type: 'function', id: 'abcdefghi', function: { arguments: '{"b": 1.0,\n"a":[1e3]}', name: 'weather' } },
        ],
        ...(family === 'deepseek' && { reasoning_content: 'Look.' }),
      },
      { role: 'tool', content: 'sunny', tool_call_id: 'abcdefghi', extra: null },
    ]
    const up = await upstream(openai.answer(JSON_TEXT))
    const { gateway } = gatewayOf({ providers: [provider('main', up.url, { provider: family, models: ['m'] })] })
    await gateway.chat({
      messages,
      tools: TOOLS,
      temperature: 0.1,
      responseFormat: 'json',
      userId: 'u',
      providerOptions: { [family]: { x: 1.5 } },
    })
    expect(up.last().text).toContain(`"messages":${JSON.stringify(messages)}`)
  },
)
