import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { dispatch } from '../lib/protocol.js'
import { StreamReader } from '../lib/stream.js'
import native from '../native.js'
import { protocolPath, renderProtocol } from '../scripts/generate-protocol.mjs'

const protocol = JSON.parse(native.protocol())

test('lib/protocol.js is what the addon says: the build writes it', () => {
  expect(readFileSync(protocolPath, 'utf8')).toBe(renderProtocol(native.protocol()))
})

test.each(['messages', 'chunks'])('kinds of %s are numbered without gaps under names of their own', (which) => {
  expect(protocol[which].map(({ kind }) => kind)).toEqual(protocol[which].map((_, index) => index))
  expect(new Set(protocol[which].map(({ name }) => name)).size).toBe(protocol[which].length)
})

test('the bridge has a handler for every kind of message', () => {
  const bridge = readFileSync(new URL('../lib/bridge.js', import.meta.url), 'utf8')
  for (const { name, fields } of protocol.messages) {
    const handler = name[0].toLowerCase() + name.slice(1)
    const [, parameters] = bridge.match(new RegExp(`^  ${handler}\\((.*)\\) \\{$`, 'm')) ?? [undefined, undefined]
    expect(parameters?.split(', '), handler).toHaveLength(fields.length)
  }
})

test('a message of an unknown kind is reported', () => {
  let reported
  dispatch([99, 1], { unknown: (kind) => (reported = kind) })
  expect(reported).toBe(99)
})

const figures = { inputTokens: 1 }
const readerOf = (...batches) => {
  const reader = new StreamReader(0, 'm', (delta) => delta)
  for (const batch of batches) reader.push(batch, false)
  return reader
}

test('a chunk of an unknown kind fails the stream as an internal error, after what came before it', async () => {
  const reader = readerOf(['a', [99, 'b'], 'c'], ['d'])
  expect(await reader.next()).toEqual({ value: 'a', done: false })
  const failing = reader.next()
  reader.push(['e'], false)
  reader.end(figures)
  await expect(failing).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('99') })
  expect(await reader.next()).toEqual({ value: undefined, done: true })
})

test('a chunk of an unknown kind fails the stream if it has ended before it is read, too', async () => {
  const reader = readerOf([[99, 'b']])
  reader.end(figures)
  await expect(reader.next()).rejects.toMatchObject({ kind: 'internal' })
})
