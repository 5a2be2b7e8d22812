// Words that the declarations offer for completion are those that the core knows.
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { declarations, literals } from './declarations.mjs'

const require = createRequire(import.meta.url)
const { families, protocol } = require('../../native.js')
const { GatewayError, validateConfig } = require('../../index.js')

test('the families of a provider entry', () => {
  expect(literals('ProviderConfig', 'provider').sort()).toEqual(families().sort())
  expect(literals('ProviderFamily').sort()).toEqual(families().sort())
})

test('the families that must name their models', () => {
  const entry = (provider) => ({ name: 'a', provider, auth: { type: 'none' } })
  const strict = families().filter((family) => faults({ providers: [entry(family)] }).includes('providers[0].models'))
  expect(literals('FamilyWithoutDefaults').sort()).toEqual(strict.sort())
})

/** The members that the declaration `type` has. */
function members(type) {
  const names = [...declarations()].map(({ name }) => name.split('.'))
  return names.filter(([owner, member, ...rest]) => owner === type && member && rest.length === 0).map(([, m]) => m)
}

test('the fields of a usage log entry', () => {
  const { answer, log } = JSON.parse(protocol()).logEntry
  const fields = [...answer, ...log].map(({ name }) => name)
  // Successes have no error code.
  expect(members('UsageLog').sort()).toEqual([...fields, 'errorCode'].sort())
})

test('the fields of a request that custom providers are given', () => {
  const { customChatFields } = JSON.parse(protocol())
  const declared = [...members('GenerationOptions'), ...members('GatewayRequest'), ...members('RichGatewayRequest')]
  expect(customChatFields.filter((field) => !declared.includes(field))).toEqual([])
})

const NONE = 'no such word'
const target = { pool: [{ provider: 'a' }] }

test.each([
  ['ProviderAuth.type', { providers: [{ auth: { type: NONE } }] }],
  ['ProviderRetry.jitter', { providers: [{ retry: { jitter: NONE } }] }],
  // Any other name may be one of the program's own.
  ['PoolStrategy', { routes: { rules: [{ target: { ...target, strategy: 'round-robin' } }] } }],
  ['FallbackChain.execution', { routes: { rules: [], fallbackChains: [{ execution: NONE }] } }],
  ['FallbackTrigger', { routes: { rules: [], fallbackChains: [{ steps: [{ provider: 'a', when: [NONE] }] }] } }],
  ['BudgetScope.type', { budgets: [{ scope: { type: NONE } }] }],
  ['BudgetPolicy.window', { budgets: [{ window: NONE }] }],
  ['BudgetPolicy.enforcement', { budgets: [{ enforcement: NONE }] }],
])('%s', (place, config) => {
  const [name, ...members] = place.split('.')
  const words = literals(name, ...members).sort()
  // The core lists the words it knows where it is given another one.
  const lists = faults(config).match(/must be(?: one of)?: .*/g) ?? []
  expect(lists.map((list) => list.replace(/.*?: /, '').split(', ').sort())).toContainEqual(words)
})

/** What the core finds wrong with a configuration that is otherwise empty. */
function faults(config) {
  try {
    validateConfig({ providers: [], routes: { rules: [] }, budgets: [], ...config })
    return ''
  } catch (error) {
    if (!GatewayError.isInstance(error)) throw error
    return error.message
  }
}
