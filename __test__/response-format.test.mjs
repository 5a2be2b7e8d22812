import { describe, expect, test } from 'vitest'
import { ask, collect, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { anthropic, openai, sse, upstream } from './helpers/upstream.mjs'

const SCHEMA = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const JSON_TEXT = '{"city":"Rome"}'
const FENCED = ['``', '`json\n', '{"city":', '"Rome"}', '\n`', '``', '\n']

const of = async (family, ...answers) => {
  const up = await upstream(...answers)
  return { up, ...gatewayOf({ providers: [provider('main', up.url, { provider: family })] }) }
}

describe('where the wire has a field for it', () => {
  test('the field goes out, and the answer comes back as it is', async () => {
    const { up, gateway } = await of('openai', openai.answer(JSON_TEXT))
    const { content } = await gateway.chat(ask({ responseFormat: { jsonSchema: SCHEMA, name: 'city', strict: true } }))
    expect(content).toBe(JSON_TEXT)
    expect(up.last().body.response_format).toEqual({
      type: 'json_schema',
      json_schema: { name: 'city', schema: SCHEMA, strict: true },
    })
    await gateway.chat(ask({ responseFormat: 'json' }))
    expect(up.last().body.response_format).toEqual({ type: 'json_object' })
    await gateway.chat(ask({ responseFormat: 'text' }))
    expect(up.last().body.response_format).toBeUndefined()
  })
})

describe('where it has none, the model is asked in words', () => {
  test('and the JSON is taken out of its fence', async () => {
    const { up, gateway } = await of('anthropic', anthropic.answer(`\`\`\`json\n${JSON_TEXT}\n\`\`\``))
    const request = { responseFormat: { jsonSchema: SCHEMA } }
    expect((await gateway.chat(ask(request))).content).toBe(JSON_TEXT)
    expect(up.last().body.system).toContain(JSON.stringify(SCHEMA))
  })

  test('an answer that is no JSON is a provider_response', async () => {
    const { gateway } = await of('anthropic', anthropic.answer('Sure! It is Rome.'))
    const error = await failureOf(gateway.chat(ask({ responseFormat: 'json' })))
    expect(error).toMatchObject({ kind: 'provider_response', provider: 'main' })
    expect(error.message).toContain('not the JSON that was asked for')
  })

  test('a stream loses its fence on the way', async () => {
    const { gateway, logs } = await of('anthropic', anthropic.stream(FENCED))
    const { stream, getUsageSummary } = await gateway.chatStream(ask({ responseFormat: 'json' }))
    const text = (await collect(stream)).map(({ delta }) => delta).join('')
    expect(text).toBe(JSON_TEXT)
    expect((await getUsageSummary()).content).toBe(JSON_TEXT)
    expect(logs[0].success).toBe(true)
  })

  test('Workers AI has a field for whole answers alone: its streams lose their fence, too', async () => {
    const events = [
      ...FENCED.map((response) => ({ response, p: 'ab' })),
      { response: '', usage: { prompt_tokens: 9, completion_tokens: 6, total_tokens: 15 } },
    ]
    const up = await upstream(
      sse([...events.map((event) => JSON.stringify(event)), '[DONE]']),
      sse([JSON.stringify({ response: 'Sure!' }), '[DONE]']),
    )
    const { gateway } = gatewayOf({
      providers: [
        provider('main', up.url, { provider: 'workers-ai', models: ['@cf/meta/llama-3.3-70b-instruct-fp8-fast'] }),
      ],
    })
    const request = ask({ responseFormat: { jsonSchema: SCHEMA } })
    const { stream } = await gateway.chatStream(request)
    expect((await collect(stream)).map(({ delta }) => delta).join('')).toBe(JSON_TEXT)
    expect(up.last().body.messages[0].content).toContain(JSON.stringify(SCHEMA))
    expect(up.last().body).not.toHaveProperty('response_format')
    const other = await gateway.chatStream(request)
    expect((await failureOf(collect(other.stream))).message).toContain('not the JSON that was asked for')
  })

  test('a stream whose text was no JSON fails at its end', async () => {
    const { gateway, logs } = await of('anthropic', anthropic.stream(['{"city":', '"Ro']))
    const { stream } = await gateway.chatStream(ask({ responseFormat: 'json' }))
    const texts = []
    const error = await failureOf(async () => {
      for await (const { delta } of stream) texts.push(delta)
    })
    expect(texts.join('')).toBe('{"city":"Ro')
    expect(error.message).toContain('not the JSON that was asked for')
    expect(logs[0]).toMatchObject({ success: false, errorCode: 'PROVIDER_RESPONSE' })
  })
})
