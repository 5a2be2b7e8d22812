// Answers with status 200 that are not what they should be, and token counts that are missing.
import { describe, expect, test } from 'vitest'
import { anthropic, formats, openai, stream } from './helpers/formats.mjs'
import { RESPONSE, ask, customEntry, failure, gatewayOf, library, readAll } from './helpers/gateway.mjs'
import { upstream } from './helpers/upstream.mjs'

const html = '<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the hotel</body></html>'

const common = (format) => [
  ['a page of HTML', html],
  ['nothing', ''],
  ['blanks', '  \n'],
  ['JSON that is cut', JSON.stringify(format.whole()).slice(0, -10)],
  ['an error object', { error: { message: 'model is overloaded', code: 'busy' } }],
  ['an error text', { error: 'model is overloaded' }],
  ['an empty object', {}],
  ['null', 'null'],
  ['an array', '[]'],
  ['a number', '42'],
  ['text', '"Hello"'],
  ['bytes that are no text', '\u0000\u0001\u0002'],
]

const own = {
  openai: [
    ['no choices', { ...openai.whole(), choices: [] }],
    ['choices that are null', { ...openai.whole(), choices: null }],
    ['choices that are text', { ...openai.whole(), choices: 'none' }],
    ['a choice without a message', { ...openai.whole(), choices: [{ index: 0 }] }],
    ['a message that is null', { ...openai.whole(), choices: [{ index: 0, message: null }] }],
    ['a message that is text', { ...openai.whole(), choices: [{ index: 0, message: 'Hello' }] }],
    ['a choice that is null', { ...openai.whole(), choices: [null] }],
  ],
  anthropic: [
    ['Anthropic’s own error', { type: 'error', error: { type: 'busy', message: 'model is overloaded' } }],
    ['no content', { ...anthropic.whole(), content: undefined }],
    ['content that is null', { ...anthropic.whole(), content: null }],
    ['content that is a number', { ...anthropic.whole(), content: 42 }],
    ['a block that is null', { ...anthropic.whole(), content: [null] }],
  ],
}

describe.each(formats)('$family', (format) => {
  const cases = [...common(format), ...own[format.family]]

  function expectRefusal(error, logs, body) {
    expect(error).toBeInstanceOf(library.GatewayError)
    expect(error).toMatchObject({ ...RESPONSE, provider: 'p', details: { upstreamStatus: 200 } })
    if (JSON.stringify(body).includes('model is overloaded')) expect(error.message).toContain('model is overloaded')
    expect(logs).toEqual([
      expect.objectContaining({ success: false, errorCode: 'PROVIDER_RESPONSE', requestId: error.requestId }),
    ])
  }

  test.each(cases)('a 200 that holds %s is a provider_response', async (_, body) => {
    const server = await upstream((exchange) => exchange.reply(body))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    expectRefusal(await failure(gateway.chat(ask())), logs, body)
    expect(server.requests).toHaveLength(1)
  })

  test.each(common(format))('a stream’s 200 that holds %s is a provider_response', async (_, body) => {
    const server = await upstream((exchange) => exchange.reply(body))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    expectRefusal(await failure(gateway.chatStream(ask())), logs, body)
  })

  test('a 200 that is no answer leads to the next step', async () => {
    const bad = await upstream((exchange) => exchange.reply(html))
    const good = await upstream((exchange) => exchange.reply(format.whole()))
    const { gateway } = gatewayOf({
      providers: [format.entry(bad.url), format.entry(good.url, { name: 'q' })],
      steps: [{ provider: 'p' }, { provider: 'q', when: ['provider_error'] }],
    })
    expect(await gateway.chat(ask())).toMatchObject({ content: 'Hello', provider: 'q', fallbackFrom: 'p' })
  })

  test('an answer without text is an answer', async () => {
    const server = await upstream((exchange) => exchange.reply(format.whole(null)))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    expect(await gateway.chat(ask())).toMatchObject({ content: '', totalTokens: 5 })
    expect(logs[0].success).toBe(true)
  })

  test('a stream without text is an answer', async () => {
    const server = await upstream((exchange) => exchange.events().end(stream(format, [])))
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect([text, error]).toEqual(['', undefined])
    expect(logs[0]).toMatchObject({ success: true, totalTokens: 5 })
  })

  describe('token counts', () => {
    test.each([
      ['missing', null],
      ['empty', {}],
    ])('that are %s are estimated, and marked', async (_, usage) => {
      const server = await upstream((exchange) => exchange.reply(format.whole('Hello', usage)))
      const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
      const answer = await gateway.chat(ask())
      // One token for "hi", three for its message, three for the answer's start; one for "Hello".
      const counts = { inputTokens: 7, outputTokens: 1, totalTokens: 8, usageSource: 'estimated' }
      expect(answer).toMatchObject(counts)
      expect(logs[0]).toMatchObject(counts)
    })

    test('missing from a stream are estimated, and marked', async () => {
      const server = await upstream((exchange) => exchange.events().end(stream(format, ['Hello'], null)))
      const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
      const { stream: reader, getUsageSummary } = await gateway.chatStream(ask())
      await readAll(reader)
      const counts = { inputTokens: 7, outputTokens: 1, totalTokens: 8, usageSource: 'estimated' }
      expect(await getUsageSummary()).toMatchObject(counts)
      expect(logs).toEqual([expect.objectContaining(counts)])
    })

    test('of zero stay zero', async () => {
      const server = await upstream((exchange) => {
        if (exchange.json.stream) exchange.events().end(stream(format, ['Hello'], [0, 0]))
        else exchange.reply(format.whole('Hello', format.zeroUsage))
      })
      const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
      const zero = { inputTokens: 0, outputTokens: 0, totalTokens: 0 }
      expect(await gateway.chat(ask())).toMatchObject(zero)
      const { stream: reader, getUsageSummary } = await gateway.chatStream(ask())
      await readAll(reader)
      expect(await getUsageSummary()).toMatchObject(zero)
      expect(logs).toEqual([expect.objectContaining(zero), expect.objectContaining(zero)])
      for (const entry of logs) expect(entry.usageSource).toBeUndefined()
    })

    test('that the provider gives are not marked', async () => {
      const server = await upstream((exchange) => exchange.reply(format.whole()))
      const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url)] })
      expect((await gateway.chat(ask())).usageSource).toBeUndefined()
      expect(logs[0].usageSource).toBeUndefined()
    })
  })
})

test('OpenAI: a message whose content is missing is an answer', async () => {
  const server = await upstream((exchange) =>
    exchange.reply({ ...openai.whole(), choices: [{ index: 0, message: { role: 'assistant' } }] }),
  )
  const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
  expect((await gateway.chat(ask())).content).toBe('')
})

test.each(formats)('$family: half a surrogate pair in an answer does not spoil it', async (format) => {
  const server = await upstream((exchange) => {
    if (exchange.json.stream) exchange.events().end(stream(format, ['Hel', 'lo \ud83d']))
    else exchange.reply(format.whole('Hello \ud83d'))
  })
  const { gateway } = gatewayOf({ providers: [format.entry(server.url)] })
  const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
  expect(error).toBeUndefined()
  expect(text).toMatch(/^Hello /)
  expect((await gateway.chat(ask())).content).toMatch(/^Hello /)
})

test.each([
  ['undefined', undefined],
  ['null', null],
  ['text', 'Hello'],
  ['a number in place of the content', { content: 42 }],
])('a provider written in JavaScript that answers %s is a provider_response', async (_, answer) => {
  const { gateway } = gatewayOf(customEntry({ chat: async () => answer }))
  expect(await failure(gateway.chat(ask()))).toMatchObject({ ...RESPONSE, provider: 'js' })
})

test('a provider written in JavaScript that gives no counts has them estimated, and its zeros kept', async () => {
  const counts = {}
  const { gateway, logs } = gatewayOf(
    customEntry({ chat: async ({ model }) => ({ content: 'Hello', model, ...counts }) }),
  )
  expect(await gateway.chat(ask())).toMatchObject({ inputTokens: 7, outputTokens: 1, usageSource: 'estimated' })
  Object.assign(counts, { inputTokens: 0, outputTokens: 0, totalTokens: 0 })
  const answer = await gateway.chat(ask())
  expect(answer).toMatchObject({ inputTokens: 0, outputTokens: 0, totalTokens: 0 })
  expect(logs[1].usageSource).toBeUndefined()
})
