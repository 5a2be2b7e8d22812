import { expect, test } from 'vitest'
import { GatewayError } from '../index.mjs'
import { ask, collect, failureOf, gatewayOf, KEY, provider } from './helpers/config.mjs'
import { anthropic, live, openai, sse, status, upstream } from './helpers/upstream.mjs'

const streaming = async (...answers) => {
  const up = await upstream(...answers)
  return { up, ...gatewayOf({ providers: [provider('main', up.url)] }) }
}

const claude = async (...answers) => {
  const up = await upstream(...answers)
  return { up, ...gatewayOf({ providers: [provider('claude', up.url, { provider: 'anthropic' })] }) }
}

test('a stream is {requestId, stream, getUsageSummary}', async () => {
  const { gateway } = await streaming(openai.stream(['Hi']))
  const answer = await gateway.chatStream(ask())
  expect(answer.requestId).toMatch(/^[0-9a-f-]{36}$/)
  expect(answer.stream[Symbol.asyncIterator]).toBeTypeOf('function')
  expect(answer.getUsageSummary).toBeTypeOf('function')
})

test('there is a chunk for each event of the upstream, empty deltas included', async () => {
  const { gateway } = await streaming(openai.stream(['Hel', 'lo']))
  const chunks = await collect((await gateway.chatStream(ask())).stream)
  expect(chunks.map((chunk) => chunk.delta)).toEqual(['', 'Hel', 'lo', '', ''])
})

test('a chunk names request, provider, delta and model', async () => {
  const { gateway } = await streaming(openai.stream(['Hi'], { model: 'gpt-4o-mini-2024' }))
  const { requestId, stream } = await gateway.chatStream(ask())
  const chunks = await collect(stream)
  expect(chunks[1]).toEqual({ requestId, provider: 'main', delta: 'Hi', model: 'gpt-4o-mini-2024', finishReason: null })
  for (const chunk of chunks) expect(chunk).toMatchObject({ requestId, provider: 'main' })
})

test('the finish reason comes where the upstream says it, and is null before', async () => {
  const { gateway } = await streaming(openai.stream(['a', 'b'], { finish: 'length' }))
  const chunks = await collect((await gateway.chatStream(ask())).stream)
  expect(chunks.slice(0, 4).map((chunk) => chunk.finishReason)).toEqual([null, null, null, 'length'])
})

test('a finish reason in the event of the last text stays with it', async () => {
  const { gateway } = await streaming(sse([openai.chunk({ content: 'all' }, 'stop'), '[DONE]']))
  const chunks = await collect((await gateway.chatStream(ask())).stream)
  expect(chunks).toMatchObject([{ delta: 'all', finishReason: 'stop' }])
})

test('the usage event has no finish reason', async () => {
  const { gateway } = await streaming(openai.stream(['a']))
  const chunks = await collect((await gateway.chatStream(ask())).stream)
  expect(chunks.at(-1).delta).toBe('')
  expect(chunks.at(-1).finishReason ?? undefined).toBeUndefined()
})

test('an Anthropic stream gives its texts in order and its own word for the end', async () => {
  const { gateway } = await claude(anthropic.stream(['Bon', 'jour'], { finish: 'max_tokens' }))
  const chunks = await collect((await gateway.chatStream(ask())).stream)
  expect(chunks.map((chunk) => chunk.delta).filter(Boolean)).toEqual(['Bon', 'jour'])
  expect(chunks.map((chunk) => chunk.finishReason).filter(Boolean)).toEqual(['max_tokens'])
  expect(chunks.every((chunk) => chunk.provider === 'claude')).toBe(true)
})

test('the summary of an ended stream is a whole answer', async () => {
  const { gateway } = await streaming(openai.stream(['Hel', 'lo'], { usage: [1000, 2000] }))
  const { requestId, stream, getUsageSummary } = await gateway.chatStream(ask())
  await collect(stream)
  const summary = await getUsageSummary()
  expect(summary).toMatchObject({
    requestId,
    provider: 'main',
    model: 'gpt-4o-mini',
    content: 'Hello',
    inputTokens: 1000,
    outputTokens: 2000,
    totalTokens: 3000,
    fallbackTriggered: false,
  })
  expect(summary.estimatedCostUsd).toBeCloseTo(0.00015 + 2 * 0.0006, 12)
  expect(Number.isInteger(summary.latencyMs)).toBe(true)
  expect(Object.keys(summary)).toContain('fallbackFrom')
})

test('the summary of an Anthropic stream has the counts of start and end', async () => {
  const { gateway } = await claude(anthropic.stream(['a', 'b'], { usage: [21, 9] }))
  const { stream, getUsageSummary } = await gateway.chatStream(ask())
  await collect(stream)
  expect(await getUsageSummary()).toMatchObject({
    content: 'ab',
    model: 'claude-3-haiku-20240307',
    inputTokens: 21,
    outputTokens: 9,
    totalTokens: 30,
  })
})

test('a summary can be asked for twice', async () => {
  const { gateway } = await streaming(openai.stream(['x']))
  const { stream, getUsageSummary } = await gateway.chatStream(ask())
  await collect(stream)
  expect(await getUsageSummary()).toEqual(await getUsageSummary())
})

test('a summary before the end has the text so far', async () => {
  const feed = live()
  const { gateway } = await streaming(feed)
  const opening = gateway.chatStream(ask())
  await feed.opened
  feed.send(openai.chunk({ content: 'first' }))
  const { requestId, stream, getUsageSummary } = await opening
  await stream[Symbol.asyncIterator]().next()
  expect(await getUsageSummary()).toMatchObject({ requestId, provider: 'main', content: 'first' })
})

test('chunks arrive while the upstream still writes', async () => {
  const feed = live()
  const { gateway } = await streaming(feed)
  const opening = gateway.chatStream(ask())
  await feed.opened
  feed.send(openai.chunk({ content: 'now' }))
  const { stream } = await opening
  const iterator = stream[Symbol.asyncIterator]()
  expect((await iterator.next()).value.delta).toBe('now')
  feed.send(openai.chunk({ content: 'then' }))
  expect((await iterator.next()).value.delta).toBe('then')
  feed.send(openai.chunk({}, 'stop'), '[DONE]')
  feed.end()
  expect((await iterator.next()).value.finishReason).toBe('stop')
  expect(await iterator.next()).toEqual({ value: undefined, done: true })
})

test('overlapping next() calls are answered in order', async () => {
  const feed = live()
  const { gateway } = await streaming(feed)
  const opening = gateway.chatStream(ask())
  await feed.opened
  feed.send(openai.chunk({ content: 'a' }))
  const iterator = (await opening).stream[Symbol.asyncIterator]()
  const settled = []
  const waiting = [0, 1, 2, 3, 4].map((i) => iterator.next().then((item) => (settled.push(i), item)))
  feed.send(openai.chunk({ content: 'b' }), openai.chunk({ content: 'c' }, 'stop'), '[DONE]')
  feed.end()
  const items = await Promise.all(waiting)
  expect(items.map((item) => item.value?.delta)).toEqual(['a', 'b', 'c', undefined, undefined])
  expect(items.map((item) => item.done)).toEqual([false, false, false, true, true])
  expect(settled).toEqual([0, 1, 2, 3, 4])
})

test('a stream that has ended stays ended', async () => {
  const { gateway } = await streaming(openai.stream(['x']))
  const { stream } = await gateway.chatStream(ask())
  await collect(stream)
  expect(await stream[Symbol.asyncIterator]().next()).toEqual({ value: undefined, done: true })
})

test('a long stream loses nothing', async () => {
  const texts = Array.from({ length: 3000 }, (_, i) => `${i} `)
  const { gateway } = await streaming(openai.stream(texts))
  const { stream, getUsageSummary } = await gateway.chatStream(ask())
  const chunks = await collect(stream)
  expect(chunks.map((chunk) => chunk.delta).join('')).toBe(texts.join(''))
  expect(chunks.length).toBe(texts.length + 3)
  expect((await getUsageSummary()).content).toBe(texts.join(''))
})

test('characters cut between packets arrive whole', async () => {
  const bytes = Buffer.from(openai.stream(['naïve 🦀 你好']).body)
  const { gateway } = await streaming(async (req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let at = 0; at < bytes.length; at += 7) {
      res.write(bytes.subarray(at, at + 7))
      await new Promise(setImmediate)
    }
    res.end()
  })
  const chunks = await collect((await gateway.chatStream(ask())).stream)
  expect(chunks.map((chunk) => chunk.delta).join('')).toBe('naïve 🦀 你好')
})

test('streams beside each other do not mix', async () => {
  const { gateway } = await streaming((req, res, { body }) => {
    const { content } = body.messages[0]
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(openai.stream([content, '-', content]).body)
  })
  const names = Array.from({ length: 20 }, (_, i) => `s${i}`)
  const texts = await Promise.all(
    names.map(async (content) => {
      const { stream } = await gateway.chatStream({ messages: [{ role: 'user', content }] })
      return (await collect(stream)).map((chunk) => chunk.delta).join('')
    }),
  )
  expect(texts).toEqual(names.map((name) => `${name}-${name}`))
})

test('the upstream is asked for a stream with usage', async () => {
  const { up, gateway } = await streaming(openai.stream(['x']))
  await collect((await gateway.chatStream(ask({ maxTokens: 9, temperature: 0.5 }))).stream)
  expect(up.last().headers.authorization).toBe(`Bearer ${KEY}`)
  expect(up.last().body).toEqual({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: 9,
    temperature: 0.5,
  })
})

test('a refusal by the upstream rejects chatStream itself', async () => {
  const { gateway } = await streaming(status(401))
  const error = await failureOf(gateway.chatStream(ask()))
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({ code: 'PROVIDER_AUTH', provider: 'main' })
})

test('a stream that breaks off throws where it is read', async () => {
  const feed = live()
  const { gateway } = await streaming(feed)
  const opening = gateway.chatStream(ask())
  await feed.opened
  feed.send(openai.chunk({ content: 'half' }))
  const { stream } = await opening
  const iterator = stream[Symbol.asyncIterator]()
  expect((await iterator.next()).value.delta).toBe('half')
  feed.cut()
  expect(await failureOf(iterator.next())).toBeInstanceOf(GatewayError)
  expect(await iterator.next()).toEqual({ value: undefined, done: true })
})

test('leaving a stream early closes the upstream’s connection', async () => {
  const feed = live()
  const { gateway } = await streaming(feed)
  const opening = gateway.chatStream(ask())
  await feed.opened
  feed.send(openai.chunk({ content: 'enough' }))
  for await (const chunk of (await opening).stream) {
    expect(chunk.delta).toBe('enough')
    break
  }
  await feed.closed
})
