// Answers of odd shapes lose nothing in silence: what can be read is, whole or streamed, and what cannot ends the answer.
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { ask, chain, failureOf, gatewayOf, provider } from './helpers/config.mjs'
import { openai, sse, upstream } from './helpers/upstream.mjs'

const tools = ['f', 'g'].map((name) => ({ name, parameters: { type: 'object', properties: {} } }))
const request = ask({ tools })
const end = [openai.chunk({}, 'stop'), '[DONE]']
const call = (fields, text, index = 0) => ({ index, ...fields, function: { name: fields.name, arguments: text } })

/** What the typed events of one stream say. */
async function streamed(gateway) {
  const stream = await gateway.chatStream(request)
  const seen = { text: '', calls: [] }
  for await (const event of stream.events) {
    if (event.type === 'text') seen.text += event.delta
    if (event.type === 'tool_use') seen.calls.push([event.id, event.name, event.input])
  }
  return { ...seen, summary: await stream.getUsageSummary() }
}

const over = async (family, ...answers) => {
  const server = await upstream(...answers)
  return gatewayOf({ providers: [provider('a', server.url, { provider: family, timeoutMs: 600 })] })
}
const read = async (events) => streamed((await over('openai', sse(events))).gateway)
const whole = async (body) => (await over('openai', { body })).gateway.chat(request)

describe('a field of an odd type loses itself alone', () => {
  const fields = [
    ['usage', { usage: [] }],
    ['counts as text', { usage: { prompt_tokens: '12', completion_tokens: '3' } }],
    ['details of counts', { usage: { prompt_tokens: 1, completion_tokens: 1, prompt_tokens_details: [] } }],
    ['an empty error', { error: {} }],
    ['the model', { model: 7 }],
  ]
  test.each(fields)('%s', async (_, odd) => {
    const { text } = await read([
      openai.chunk({ content: 'Hello ' }),
      { ...openai.chunk({ content: 'world' }), ...odd },
      ...end,
    ])
    expect(text).toBe('Hello world')
    expect((await whole({ ...openai.answer('Hello world').body, ...odd })).content).toBe('Hello world')
  })

  test('a call’s number and id', async () => {
    const odd = { ...call({ id: 7, name: 'f' }, '{"a":1}'), index: '0' }
    const { calls } = await read([openai.chunk({ tool_calls: [odd] }), ...end])
    expect(calls).toStrictEqual([['7', 'f', { a: 1 }]])
  })

  test('counts that are text are read; a truth value, a negative and a monstrous one are not believed', async () => {
    const counted = (prompt_tokens) =>
      whole({ ...openai.answer('x').body, usage: { prompt_tokens, completion_tokens: 3 } })
    const read = await counted('12')
    expect(read).toMatchObject({ inputTokens: 12, outputTokens: 3 })
    expect(read.usageSource).toBeUndefined()
    for (const odd of [true, [1], -5, 1e12, undefined]) {
      const estimated = await counted(odd)
      expect(estimated).toMatchObject({ outputTokens: 3, usageSource: 'estimated' })
      expect(estimated.inputTokens).toBeGreaterThan(5)
      expect(estimated.inputTokens).toBeLessThan(50)
    }
  })
})

describe('an event that cannot be read ends the stream as an error', () => {
  test.each([
    ['a raw control character', '{"choices":[{"index":0,"delta":{"content":"00,000\u0001"}}]}'],
    ['a cut event', '{"choices":[{"index":0,"delta":{"content":"00,000'],
  ])('%s', async (_, bad) => {
    const { gateway, logs } = await over(
      'openai',
      sse([openai.chunk({ content: 'Pay 1' }), bad, openai.chunk({ content: ' euro' }), ...end]),
    )
    expect((await failureOf(streamed(gateway))).kind).toBe('provider_response')
    expect(logs[0].success).toBe(false)
  })

  test('but a stray line does not', async () => {
    expect((await read([openai.chunk({ content: 'Hi' }), 'ping', ...end])).text).toBe('Hi')
  })
})

describe('several choices', () => {
  test('of a stream: the first alone', async () => {
    const part = (index, content) => ({ model: 'm', choices: [{ index, delta: { content }, finish_reason: null }] })
    expect((await read([part(0, 'one '), part(1, 'eins'), part(0, 'two'), ...end])).text).toBe('one two')
  })

  test('of a whole answer: the first by number, entries of one number added up', async () => {
    const choice = (index, message) => ({ index, message, finish_reason: 'stop' })
    const body = { model: 'm', choices: [choice(1, { content: 'second' }), choice(0, { content: 'first' })] }
    expect((await whole(body)).content).toBe('first')
    const tool_calls = [call({ id: 'c', name: 'f' }, '{}')]
    const parts = { model: 'm', choices: [choice(0, { content: 'text' }), choice(0, { tool_calls })] }
    expect(await whole(parts)).toMatchObject({ content: 'text', toolCalls: [{ id: 'c', name: 'f' }] })
  })

  test('the older form of a call is read', async () => {
    const function_call = { name: 'f', arguments: '{"a":1}' }
    const body = {
      model: 'm',
      choices: [{ index: 0, message: { content: null, function_call }, finish_reason: 'function_call' }],
    }
    expect((await whole(body)).toolCalls).toMatchObject([{ name: 'f', arguments: { a: 1 } }])
    const { calls } = await read([openai.chunk({ function_call }), ...end])
    expect(calls).toMatchObject([[expect.any(String), 'f', { a: 1 }]])
  })
})

describe('the end of an answer', () => {
  const begin = (res, events) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(events.map((data) => `data: ${JSON.stringify(data)}\n\n`).join(''))
  }
  const complete = [openai.chunk({ content: 'hello' }), openai.chunk({}, 'stop'), openai.usageChunk(3, 1)]
  const beat = (res) => {
    const timer = setInterval(() => (res.destroyed ? clearInterval(timer) : res.write(': beat\n\n')), 50)
  }

  test.each([
    ['silence', () => {}],
    ['heartbeats', beat],
    ['a reset', (res) => setTimeout(() => res.socket.resetAndDestroy(), 30)],
  ])('%s after the finish reason takes nothing away', async (_, after) => {
    const { gateway } = await over('openai', (_, res) => (begin(res, complete), after(res)))
    const { text, summary } = await streamed(gateway)
    expect([text, summary.inputTokens, summary.finishReason]).toStrictEqual(['hello', 3, 'stop'])
  })

  test('an empty finish reason is none: a cut answer stays an error', async () => {
    const events = [openai.chunk({ content: 'Half' }, ''), openai.chunk({ content: ' of it' }, '')]
    expect((await failureOf(read(events))).kind).toBe('provider_response')
  })

  test.each([
    ['comments', ': ping\n\n'],
    ['empty deltas', `data: ${JSON.stringify(openai.chunk({ content: '' }))}\n\n`],
  ])('%s do not hold chatStream() beyond the timeout', async (_, noise) => {
    const held = await upstream(async (_, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      while (!res.destroyed) {
        res.write(noise)
        await sleep(30)
      }
    })
    const good = await upstream(sse(openai.events(['rescued'])))
    const providers = [provider('a', held.url, { timeoutMs: 300 }), provider('b', good.url)]
    const { gateway } = gatewayOf({ providers, chains: [chain('c', 'a', 'b')] })
    expect((await streamed(gateway)).text).toBe('rescued')
  })

  test('length and content_filter win over tool_calls', async () => {
    const tool_calls = [call({ id: 'c', name: 'f' }, '{"a":')]
    for (const finish_reason of ['length', 'content_filter']) {
      const body = { model: 'm', choices: [{ index: 0, message: { content: null, tool_calls }, finish_reason }] }
      expect((await whole(body)).finishReason).toBe(finish_reason)
    }
  })
})

describe('calls', () => {
  test('hold together by their ids, whatever their numbers do', async () => {
    const part = (fields, text, index) => openai.chunk({ tool_calls: [call(fields, text, index)] })
    const { calls } = await read([
      part({ id: 'id1', name: 'f' }, '{"x":', 0),
      part({ id: 'id1' }, '1}', 1),
      part({ id: 'id2', name: 'g' }, '', 0),
      part({}, '{"y":2}', 2),
      ...end,
    ])
    expect(calls).toStrictEqual([
      ['id1', 'f', { x: 1 }],
      ['id2', 'g', { y: 2 }],
    ])
  })

  test('tell the text of arguments whose numbers JavaScript would change', async () => {
    const text = '{"id":2512292042121000001}'
    const message = (args) => ({ content: null, tool_calls: [call({ id: 'c', name: 'f' }, args)] })
    const answer = (args) => ({
      model: 'm',
      choices: [{ index: 0, message: message(args), finish_reason: 'tool_calls' }],
    })
    expect((await whole(answer(text))).toolCalls[0].rawArguments).toBe(text)
    expect((await whole(answer('{"id":12,"x":0.1}'))).toolCalls[0]).not.toHaveProperty('rawArguments')
  })
})

describe('Anthropic', () => {
  const message = (fields) => ({
    type: 'message_start',
    message: { model: 'claude-sonnet-4-5', content: [], ...fields },
  })
  const stop = (usage = { output_tokens: 20 }) => [
    { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage },
    { type: 'message_stop' },
  ]
  const tool = (input) => ({ type: 'tool_use', id: 'toolu_1', name: 'f', input })
  const heard = async (...events) => streamed((await over('anthropic', sse(events))).gateway)

  test('calls in message_start are a part of the answer', async () => {
    const { calls } = await heard(message({ content: [tool({ harbour: 'Cuxhaven' })] }), ...stop())
    expect(calls).toStrictEqual([['toolu_1', 'f', { harbour: 'Cuxhaven' }]])
  })

  test.each([
    ['alone', [], { path: '/a' }],
    ['before an empty part', [''], { path: '/a' }],
    ['before parts, which replace it', ['{"path"', ':"/b"}'], { path: '/b' }],
  ])('input at a block’s start, %s', async (_, parts, input) => {
    const deltas = parts.map((partial_json) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'input_json_delta', partial_json },
    }))
    const start = { type: 'content_block_start', index: 0, content_block: tool({ path: '/a' }) }
    const { calls } = await heard(message(), start, ...deltas, { type: 'content_block_stop', index: 0 }, ...stop())
    expect(calls).toStrictEqual([['toolu_1', 'f', input]])
  })

  test('zeros replace no counts that are known', async () => {
    const usage = { input_tokens: 1500, cache_read_input_tokens: 300, output_tokens: 1 }
    const { summary } = await heard(
      message({ usage }),
      ...stop({ input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 40 }),
    )
    expect([summary.inputTokens, summary.outputTokens, summary.cacheReadTokens]).toStrictEqual([1800, 40, 300])
  })
})

test.each(['workers-ai', 'bedrock', 'gemini'])(
  'a model’s name does not climb out of the address of %s',
  async (family) => {
    const server = await upstream({ status: 500 })
    const options = { accountId: 'acc', region: 'eu-west-1' }
    const fields = { provider: family, options, auth: { type: 'bearer', envVar: 'AI_GATEWAY_TEST_KEY' } }
    const { gateway } = gatewayOf({ providers: [provider('a', server.url, fields)] })
    for (const model of ['../../workers/scripts', '@cf/../../user/tokens', '..', './x']) {
      for (const sent of [gateway.chat(ask({ model })), gateway.embed({ input: 'x', model })]) {
        expect((await failureOf(sent)).kind).toBe('invalid_request')
      }
    }
    expect(server.requests).toHaveLength(0)
  },
)
