// What cannot be asked: of anybody, and of some. Nothing is sent, and the message says what is wrong where.
import { describe, expect, test } from 'vitest'
import { ask, chain, collect, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { openai, upstream } from './helpers/upstream.mjs'

const user = { role: 'user', content: 'Hi' }
const parts = (...content) => ({ messages: [{ role: 'user', content }] })
const called = { role: 'assistant', toolCalls: [{ id: 'a', name: 'weather', arguments: {} }] }
const weather = { name: 'weather', parameters: { type: 'object' } }

describe('a request that nobody could answer', () => {
  test.each([
    [
      'a part of unknown type',
      parts({ type: 'text', text: 'Hi' }, { type: 'hologram', data: 'AA==' }),
      'messages[0].content[1].type',
    ],
    ['an image without URL or data', parts({ type: 'image' }), 'messages[0].content[0].url'],
    ['an image whose URL is a path', parts({ type: 'image', url: './cat.png' }), 'messages[0].content[0].url'],
    ['an image whose URL is a number', parts({ type: 'image', url: 7 }), 'messages[0].content[0].url'],
    [
      'an image whose data is no base64',
      parts({ type: 'image', data: 'not base64!', mimeType: 'image/png' }),
      'messages[0].content[0].data',
    ],
    [
      'an image whose data is a data: URL',
      parts({ type: 'image', data: 'data:image/png;base64,AA==', mimeType: 'image/png' }),
      'messages[0].content[0].data',
    ],
    ['an image without a type', parts({ type: 'image', data: 'AA==' }), 'messages[0].content[0].mimeType'],
    [
      'a file whose data is a number',
      parts({ type: 'file', data: 7, mimeType: 'application/pdf' }),
      'messages[0].content[0].data',
    ],
    ['sound without data', parts({ type: 'audio', mimeType: 'audio/wav' }), 'messages[0].content[0].data'],
    [
      'an unknown kind of cache mark',
      parts({ type: 'text', text: 'Hi', cacheControl: 'forever' }),
      'messages[0].content[0].cacheControl',
    ],
    ['a tool without a name', ask({ tools: [weather, { parameters: {} }] }), 'tools[1].name'],
    ['a tool with an empty name', ask({ tools: [{ name: '', parameters: {} }] }), 'tools[0].name'],
    ['two tools of one name', ask({ tools: [weather, weather] }), 'tools[1].name'],
    ['a tool whose schema is text', ask({ tools: [{ name: 'a', parameters: '{}' }] }), 'tools[0].parameters'],
    ['a tool whose schema is a list', ask({ tools: [{ name: 'a', parameters: [] }] }), 'tools[0].parameters'],
    ['tools that are no list', ask({ tools: weather }), 'tools'],
    [
      'a choice of a tool that is not there',
      ask({ tools: [weather], toolChoice: { name: 'clock' } }),
      'toolChoice.name',
    ],
    ['a choice that is no word for one', ask({ tools: [weather], toolChoice: 'any' }), 'toolChoice'],
    ['a tool that must be called, and none there', ask({ toolChoice: 'required' }), 'toolChoice'],
    ['a form whose schema is text', ask({ responseFormat: { jsonSchema: '{}' } }), 'responseFormat.jsonSchema'],
    ['a form without a schema', ask({ responseFormat: { name: 'x' } }), 'responseFormat.jsonSchema'],
    ['a form of another word', ask({ responseFormat: 'xml' }), 'responseFormat'],
    [
      'a result for a call that nobody made',
      { messages: [user, called, { role: 'tool', toolCallId: 'b', content: 'x' }] },
      'messages[2].toolCallId',
    ],
    [
      'a result before its call',
      { messages: [user, { role: 'tool', toolCallId: 'a', content: 'x' }, called] },
      'messages[1].toolCallId',
    ],
    [
      'a result that names no call',
      { messages: [user, called, { role: 'tool', content: 'x' }] },
      'messages[2].toolCallId',
    ],
    [
      'a call without a name',
      { messages: [user, { role: 'assistant', toolCalls: [{ id: 'a' }] }] },
      'messages[1].toolCalls[0].name',
    ],
    ['calls that are no list', { messages: [user, { role: 'assistant', toolCalls: {} }] }, 'messages[1].toolCalls'],
    [
      'reasoning of its own making',
      { messages: [{ role: 'assistant', content: 'x', reasoningDetails: ['x'] }] },
      'messages[0].reasoningDetails',
    ],
    ['a stop that is a number', ask({ stop: 7 }), 'stop'],
    ['a seed that is not whole', ask({ seed: 1.5 }), 'seed'],
    ['options that are no object', ask({ providerOptions: { openai: 7 } }), 'providerOptions.openai'],
    ['a bound of no time', ask({ timeoutMs: 0 }), 'timeoutMs'],
  ])('%s', async (_, request, path) => {
    const up = await upstream(openai.answer())
    const { gateway, logs } = gatewayOf({
      providers: [provider('main', up.url), provider('next', up.url)],
      chains: [chain('both', 'main', 'next')],
    })
    for (const method of ['chat', 'chatStream']) {
      const error = await failureOf(gateway[method](request))
      expect(error).toMatchObject({
        code: 'INVALID_REQUEST',
        kind: 'invalid_request',
        httpStatus: 400,
        retryable: false,
        details: { path },
      })
      expect(error.message).toContain(path)
    }
    expect(up.requests).toHaveLength(0)
    expect(logs.filter(({ success }) => success)).toEqual([])
  })
})

const claude = 'us.anthropic.claude-sonnet-4-20250514-v1:0'

describe('a request that one provider cannot answer', () => {
  test.each([
    ['anthropic', 'claude-sonnet-4-5', 'audio parts', parts({ type: 'audio', data: 'AA==', mimeType: 'audio/wav' })],
    ['anthropic', 'claude-sonnet-4-5', 'parts that only OpenAI', parts({ type: 'file', file: { file_id: 'file-1' } })],
    ['bedrock', claude, 'audio parts', parts({ type: 'audio', data: 'AA==', mimeType: 'audio/wav' })],
    ['bedrock', claude, 'image parts by URL', parts({ type: 'image', url: 'https://x.test/a.png' })],
    [
      'bedrock',
      claude,
      'image parts of type image/svg+xml',
      parts({ type: 'image', data: 'AA==', mimeType: 'image/svg+xml' }),
    ],
    [
      'bedrock',
      claude,
      'file parts of type application/zip',
      parts({ type: 'file', data: 'AA==', mimeType: 'application/zip' }),
    ],
    ['gemini', 'gemini-3.8-flash', 'parts that only OpenAI', parts({ type: 'file', file: { file_id: 'file-1' } })],
    ['perplexity', 'sonar', 'tools', ask({ tools: [weather] })],
    [
      'workers-ai',
      '@cf/meta/llama-3.3-70b-instruct-fp8-fast',
      'file parts',
      parts({ type: 'file', data: 'AA==', mimeType: 'application/pdf' }),
    ],
  ])('%s (%s): %s', async (family, model, feature, request) => {
    const [up, next] = [
      await upstream(openai.answer()),
      await upstream(openai.answer('Hello!'), openai.stream(['Hel', 'lo!'])),
    ]
    const auth = { type: 'bearer', envVar: 'AI_GATEWAY_TEST_KEY' }
    const cannot = provider('cannot', up.url, { provider: family, models: [model], auth })

    const alone = gatewayOf({ providers: [cannot] })
    for (const method of ['chat', 'chatStream']) {
      const error = await failureOf(alone.gateway[method](request))
      expect(error).toMatchObject({
        kind: 'invalid_request',
        httpStatus: 400,
        provider: 'cannot',
        requestId: expect.any(String),
      })
      expect(error.message).toContain(`provider "cannot" does not take ${feature}`)
    }

    // Another can: in a chain the step is passed over, as one that failed.
    const both = gatewayOf({
      providers: [cannot, provider('can', next.url)],
      chains: [chain('both', 'cannot', ['can', { when: ['provider_error'] }])],
    })
    const answer = await both.gateway.chat(request)
    expect(answer).toMatchObject({
      content: 'Hello!',
      provider: 'can',
      fallbackTriggered: true,
      fallbackFrom: 'cannot',
    })
    const { stream, getUsageSummary } = await both.gateway.chatStream(request)
    expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe('Hello!')
    expect(await getUsageSummary()).toMatchObject({ provider: 'can', fallbackFrom: 'cannot' })
    expect(up.requests).toHaveLength(0)
    expect(next.requests).toHaveLength(2)

    // Where the next step is for other failures, the chain ends.
    const picky = gatewayOf({
      providers: [cannot, provider('can', next.url)],
      chains: [chain('both', 'cannot', ['can', { when: ['rate_limit'] }])],
    })
    expect(await failureOf(picky.gateway.chat(request))).toMatchObject({ kind: 'invalid_request', provider: 'cannot' })
    expect(next.requests).toHaveLength(2)
  })
})
