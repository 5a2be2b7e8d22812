import { expect, test } from 'vitest'
import { HandleTable } from '../lib/handle-table.js'

test('a slot that is used again gets another handle, and the old one finds nothing', () => {
  const table = new HandleTable()
  const first = table.add('a')
  table.delete(first)
  const second = table.add('b')
  expect(second).not.toBe(first)
  expect(table.get(first)).toBeUndefined()
  expect(table.get(second)).toBe('b')
  table.delete(first)
  expect(table.get(second)).toBe('b')
})

test('handles stay unsigned 32-bit integers however often a slot is used', () => {
  const table = new HandleTable()
  table.add('other')
  for (let i = 0; i < 10_000; i++) {
    const handle = table.add(i)
    expect(handle >>> 0).toBe(handle)
    expect(table.get(handle)).toBe(i)
    table.delete(handle)
    expect(table.get(handle)).toBeUndefined()
  }
})

test('values that are in the table at once have handles of their own', () => {
  const table = new HandleTable()
  const handles = Array.from({ length: 1_000 }, (_, i) => table.add(i))
  expect(new Set(handles).size).toBe(1_000)
  expect(handles.map((handle) => table.get(handle))).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
})
