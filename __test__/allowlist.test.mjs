import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { createModelAllowlist, isAllowedModel } from '../lib/allowlist.mjs'

const { isAllowed } = createModelAllowlist({ openai: ['gpt-4o', { prefix: 'o3-' }], none: [] })

test('names and prefixes of a listed provider are allowed, nothing else', () => {
  expect(isAllowed('openai', 'gpt-4o')).toBe(true)
  expect(isAllowed('openai', 'o3-mini')).toBe(true)
  expect(isAllowed('openai', 'gpt-4o-mini')).toBe(false)
  expect(isAllowed('none', 'gpt-4o')).toBe(false)
  expect(isAllowed('other', 'gpt-4o')).toBe(false)
  expect(isAllowed('constructor', 'name')).toBe(false)
  expect(isAllowed('openai', undefined)).toBe(false)
})

test('one question needs no list that is kept', () => {
  const lists = { openai: ['gpt-4o', { prefix: 'o3-' }] }
  expect(isAllowedModel(lists, 'openai', 'o3-mini')).toBe(true)
  expect(isAllowedModel(lists, 'openai', 'gpt-4')).toBe(false)
  expect(isAllowedModel(lists, 'other', 'gpt-4o')).toBe(false)
  expect(() => isAllowedModel({ openai: 'gpt-4o' }, 'openai', 'gpt-4o')).toThrow('openai: must be an array')
})

test('what is no list is refused with its place', () => {
  expect(() => createModelAllowlist(null)).toThrow(TypeError)
  expect(() => createModelAllowlist({ a: 'x' })).toThrow('a: must be an array')
  expect(() => createModelAllowlist({ a: ['x', { prefix: 1 }] })).toThrow('a[1]: must be a string or {prefix}')
})

test.each(["require('ai-gateway-native/allowlist')", "import('ai-gateway-native/allowlist')"])(
  '%s loads no native code',
  (load) => {
    const script = `Promise.resolve(${load}).then(({ createModelAllowlist }) => {
    const loaded = process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node'))
    console.log(createModelAllowlist({ a: ['m'] }).isAllowed('a', 'm'), loaded.length)
  })`
    expect(
      execFileSync(process.execPath, ['-e', script], { cwd: new URL('..', import.meta.url), encoding: 'utf8' }),
    ).toBe('true 0\n')
  },
)
