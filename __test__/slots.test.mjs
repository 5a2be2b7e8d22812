import { expect, test } from 'vitest'
import { Slots } from '../lib/slots.js'

test('a slot that is used again gets another number, and the old one finds nothing', () => {
  const slots = new Slots()
  const first = slots.add('a')
  slots.delete(first)
  const second = slots.add('b')
  expect(second).not.toBe(first)
  expect(slots.get(first)).toBeUndefined()
  expect(slots.get(second)).toBe('b')
  slots.delete(first)
  expect(slots.get(second)).toBe('b')
})

test('numbers stay unsigned 32-bit integers however often a slot is used', () => {
  const slots = new Slots()
  slots.add('other')
  for (let i = 0; i < 10_000; i++) {
    const number = slots.add(i)
    expect(number >>> 0).toBe(number)
    expect(slots.get(number)).toBe(i)
    slots.delete(number)
    expect(slots.get(number)).toBeUndefined()
  }
})

test('values that are there at once have numbers of their own', () => {
  const slots = new Slots()
  const numbers = Array.from({ length: 1_000 }, (_, i) => slots.add(i))
  expect(new Set(numbers).size).toBe(1_000)
  expect(numbers.map((number) => slots.get(number))).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
})
