// The declarations and the running code agree: the same values, the same members of each class.
import { createRequire } from 'node:module'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { exportsOf } from './declarations.mjs'
import { values } from './values.mts'

const require = createRequire(import.meta.url)
const cjs = require('../../index.js')
const esm = await import('../../index.mjs')

const exported = Object.values(exportsOf('index.d.ts'))
const classes = exported.filter((symbol) => symbol.flags & ts.SymbolFlags.Class)

test('the CommonJS module exports the declared values', () => {
  const declared = exported.filter((symbol) => symbol.flags & ts.SymbolFlags.Value).map((symbol) => symbol.name)
  expect(declared.sort()).toEqual([...values])
  expect(Object.keys(cjs).sort()).toEqual([...values])
})

test('the ES module exports the same objects', () => {
  expect(Object.keys(esm).sort()).toEqual([...values, 'default'].sort())
  for (const name of values) expect(esm[name], name).toBe(cjs[name])
  expect(esm.default).toBe(cjs)
})

test.each(classes.map((symbol) => [symbol.name, symbol]))('%s has the declared methods', (name, symbol) => {
  for (const [names, holder] of [
    [methods(symbol.members), cjs[name].prototype],
    [methods(symbol.exports), cjs[name]],
  ]) {
    for (const method of names) expect(holder[method], `${name}: ${method}`).toBeTypeOf('function')
  }
})

function methods(table) {
  return [...table.values()].filter(({ flags }) => flags & ts.SymbolFlags.Method).map((member) => member.name)
}
