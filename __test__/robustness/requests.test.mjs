// What is asked: bad requests are refused before anything is sent, good ones reach each family in its own form.
import { afterEach, describe, expect, test } from 'vitest'
import { anthropic, formats, openai } from './helpers/formats.mjs'
import { INVALID, ask, customEntry, failure, gatewayOf, library } from './helpers/gateway.mjs'
import { upstream } from './helpers/upstream.mjs'

afterEach(() => {
  delete process.env.TEST_KEY
})

const answering = (format) => upstream((exchange) => exchange.reply(format.whole()))

/** The body that reaches the upstream. */
async function sent(format, request, entry) {
  const server = await answering(format)
  const { gateway } = gatewayOf({ providers: [format.entry(server.url, entry)] })
  await gateway.chat(request)
  return server.requests[0]
}

describe('a bad request', () => {
  const user = { role: 'user', content: 'hi' }
  const cyclic = ask()
  cyclic.metadata = { cyclic }

  test.each([
    ['no messages', {}, 'messages'],
    ['messages that are null', { messages: null }, 'messages'],
    ['no message', { messages: [] }, 'messages'],
    ['messages that are text', { messages: 'hi' }, 'messages'],
    ['messages that are an object', { messages: { 0: user, length: 1 } }, 'messages'],
    ['a message that is null', { messages: [user, null] }, 'messages[1]'],
    ['a message that is text', { messages: ['hi'] }, 'messages[0]'],
    ['no role', { messages: [{ content: 'hi' }] }, 'messages[0].role'],
    ['an unknown role', { messages: [user, { role: 'robot', content: 'hi' }] }, 'messages[1].role'],
    ['a role that is a number', { messages: [{ role: 1, content: 'hi' }] }, 'messages[0].role'],
    ['no content', { messages: [{ role: 'user' }] }, 'messages[0].content'],
    ['content that is null', { messages: [{ role: 'user', content: null }] }, 'messages[0].content'],
    ['content that is a number', { messages: [{ role: 'user', content: 5 }] }, 'messages[0].content'],
    ['content that is an object', { messages: [{ role: 'user', content: {} }] }, 'messages[0].content'],
    ['a part that is text', { messages: [{ role: 'user', content: ['hi'] }] }, 'messages[0].content[0]'],
    [
      'a part without a type',
      { messages: [{ role: 'user', content: [{ text: 'hi' }] }] },
      'messages[0].content[0].type',
    ],
    [
      'a text part without text',
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content[0].text',
    ],
    ['maxTokens of 0', { messages: [user], maxTokens: 0 }, 'maxTokens'],
    ['maxTokens below 0', { messages: [user], maxTokens: -5 }, 'maxTokens'],
    ['maxTokens of 1.5', { messages: [user], maxTokens: 1.5 }, 'maxTokens'],
    ['maxTokens that is text', { messages: [user], maxTokens: '5' }, 'maxTokens'],
    ['maxTokens that is NaN', { messages: [user], maxTokens: NaN }, 'maxTokens'],
    ['maxTokens that is infinite', { messages: [user], maxTokens: Infinity }, 'maxTokens'],
    ['a temperature that is text', { messages: [user], temperature: 'x' }, 'temperature'],
    ['a temperature that is NaN', { messages: [user], temperature: NaN }, 'temperature'],
    ['a model that is a number', { messages: [user], model: 4 }, 'model'],
    ['a task type that is an object', { messages: [user], taskType: {} }, 'taskType'],
    ['a signal that is an object', { messages: [user], signal: {} }, 'signal'],
    ['a signal that is a controller', { messages: [user], signal: new AbortController() }, 'signal'],
    ['a signal that is true', { messages: [user], signal: true }, 'signal'],
    ['a BigInt', { messages: [user], maxTokens: 5n }],
    ['a BigInt in a message', { messages: [{ ...user, name: 1n }] }],
    ['a cycle', cyclic],
    ['nothing at all', undefined],
    ['null', null],
    ['text', 'hi'],
    ['an array', [user]],
  ])('%s', async (_, request, path) => {
    const server = await answering(openai)
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url)] })
    for (const method of ['chat', 'chatStream']) {
      const error = await failure(gateway[method](request))
      expect(error).toBeInstanceOf(library.GatewayError)
      expect(error).toMatchObject({ ...INVALID, details: { path: path ?? expect.any(String) } })
      if (path) expect(error.message).toContain(path)
    }
    expect(server.connections).toHaveLength(0)
    expect(logs.filter(({ success }) => success)).toEqual([])
  })

  test('does not reach a provider written in JavaScript', async () => {
    let called = 0
    const { gateway } = gatewayOf(customEntry({ chat: async () => void called++ }))
    expect(await failure(gateway.chat({ messages: [] }))).toMatchObject(INVALID)
    expect(called).toBe(0)
  })
})

test('null counts as unset', async () => {
  const { json } = await sent(
    openai,
    ask({ model: null, maxTokens: null, temperature: null, signal: null, taskType: null, feature: null }),
  )
  expect(json).toEqual({ model: 'm', messages: ask().messages })
})

describe.each(formats)('$family', (format) => {
  test('without authentication, no key is sent', async () => {
    const { headers } = await sent(format, ask())
    expect(headers.authorization).toBeUndefined()
    expect(headers['x-api-key']).toBeUndefined()
  })

  test.each(['', '/', '//'])('a base address that ends in "%s"', async (slash) => {
    const server = await answering(format)
    const entry = format.entry(server.url)
    const { gateway } = gatewayOf({ providers: [{ ...entry, baseUrl: entry.baseUrl + slash }] })
    await gateway.chat(ask())
    expect(server.requests[0].path).toBe(format === openai ? '/v1/chat/completions' : '/v1/messages')
  })

  test('halves of surrogate pairs do not throw', async () => {
    const { json } = await sent(format, { messages: [{ role: 'user', content: 'a\ud83d b\udc4b 👋' }] })
    expect(json.messages[0].content).toMatch(/^a.+ b.+ 👋$/)
  })

  test('fields that are not set are not sent', async () => {
    const { json } = await sent(format, ask())
    const own = format === openai ? [] : ['max_tokens']
    expect(Object.keys(json).sort()).toEqual(['messages', 'model', ...own].sort())
  })
})

test('OpenRouter works without authentication as well', async () => {
  const { headers, path } = await sent(openai, ask(), { provider: 'openrouter' })
  expect([headers.authorization, path]).toEqual([undefined, '/v1/chat/completions'])
})

describe('keys', () => {
  const key = 'sk-the-key'
  test.each([
    ['openai', { type: 'apiKey' }, { authorization: `Bearer ${key}` }],
    ['openai', { type: 'bearer' }, { authorization: `Bearer ${key}` }],
    ['openrouter', { type: 'apiKey' }, { authorization: `Bearer ${key}` }],
    ['anthropic', { type: 'apiKey' }, { 'x-api-key': key }],
    ['openai', { type: 'customHeader', headerName: 'api-key' }, { 'api-key': key }],
  ])('of %s, %o', async (provider, auth, expected) => {
    process.env.TEST_KEY = key
    const format = provider === 'anthropic' ? anthropic : openai
    const { headers } = await sent(format, ask(), { provider, auth: { ...auth, envVar: 'TEST_KEY' } })
    const seen = Object.fromEntries(Object.entries(headers).filter(([, value]) => value.includes(key)))
    expect(seen).toEqual(expected)
  })
})

describe('system messages', () => {
  const messages = [
    { role: 'system', content: 'First.' },
    { role: 'user', content: 'hi' },
    { role: 'system', content: 'Second.' },
    { role: 'assistant', content: 'Hello' },
    { role: 'developer', content: 'Third.' },
    { role: 'user', content: 'more' },
  ]

  test('all reach Anthropic, in order', async () => {
    const { json } = await sent(anthropic, { messages })
    const text = typeof json.system === 'string' ? json.system : json.system.map((block) => block.text).join(' ')
    expect(text).toMatch(/^First\.\s+Second\.\s+Third\.$/)
    expect(json.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
  })

  test('stay where they are for OpenAI', async () => {
    expect((await sent(openai, { messages })).json.messages).toEqual(messages)
  })
})

describe('messages in OpenAI’s own form', () => {
  const messages = [
    { role: 'system', content: 'Be brief.', name: 'boss' },
    {
      role: 'user',
      name: 'ada',
      content: [
        { type: 'text', text: 'What is "here"? \u2028 é 👋 </script>' },
        { type: 'image_url', image_url: { url: 'https://example.test/a.png', detail: 'low' } },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
      ],
    },
    {
      content: null,
      role: 'assistant',
      tool_calls: [
        {
          id: 'call_1',
          type: 'function',
          function: { name: 'look', arguments: '{"at": 1.0,\n "deep": {"er": [1e3]}}' },
        },
        { id: 'call_2', type: 'function', function: { name: 'listen', arguments: '{}' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call_1', content: 'a cat' },
    { role: 'tool', tool_call_id: 'call_2', content: [{ type: 'text', text: 'purring' }] },
    { role: 'user', content: 'Thanks', unheard_of: { kept: true } },
  ]

  test.each(['openai', 'openrouter'])('reach %s byte for byte', async (provider) => {
    const { body } = await sent(openai, { messages }, { provider })
    expect(body).toContain(`"messages":${JSON.stringify(messages)}`)
  })

  test('reach Anthropic in its own form', async () => {
    const { json } = await sent(anthropic, { messages })
    expect(json.system).toBe('Be brief.')
    expect(json.messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: messages[1].content[0].text },
          { type: 'image', source: { type: 'url', url: 'https://example.test/a.png' } },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'call_1', name: 'look', input: { at: 1, deep: { er: [1000] } } },
          { type: 'tool_use', id: 'call_2', name: 'listen', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'call_1', content: 'a cat' },
          { type: 'tool_result', tool_use_id: 'call_2', content: 'purring' },
        ],
      },
      { role: 'user', content: 'Thanks' },
    ])
  })

  test('text beside calls is kept for Anthropic', async () => {
    const { json } = await sent(anthropic, {
      messages: [
        { role: 'user', content: 'hi' },
        {
          role: 'assistant',
          content: 'Let me look.',
          tool_calls: [{ id: '1', type: 'function', function: { name: 'look', arguments: 'no JSON' } }],
        },
        { role: 'tool', tool_call_id: '1', content: 'nothing' },
      ],
    })
    expect(json.messages[1].content).toEqual([
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', id: '1', name: 'look', input: {} },
    ])
  })

  test('reach a provider written in JavaScript as the very objects', async () => {
    let seen
    const chat = async (options) => {
      seen = options
      return { content: '', model: 'm', inputTokens: 1, outputTokens: 1, totalTokens: 2 }
    }
    await gatewayOf(customEntry({ chat })).gateway.chat({ messages })
    expect(seen.messages).toBe(messages)
    expect(Object.keys(seen).sort()).toEqual(['maxTokens', 'messages', 'model', 'temperature'])
  })
})

test('the caller’s request is left as it was', async () => {
  const request = ask({ maxTokens: 5, signal: new AbortController().signal })
  const before = JSON.stringify(request)
  Object.freeze(request)
  Object.freeze(request.messages)
  Object.freeze(request.messages[0])
  await sent(openai, request)
  expect(JSON.stringify(request)).toBe(before)
})
