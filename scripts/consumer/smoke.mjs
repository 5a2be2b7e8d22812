// Run in a project that has installed the packed tarballs: imports the package, by name and by default.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import byDefault, * as byName from 'ai-gateway-native'
import smoke from './smoke.cjs'

const required = createRequire(import.meta.url)('ai-gateway-native')
assert.equal(byDefault, required)
assert.equal(byName.GatewayError, required.GatewayError)

await smoke.exercise(byName)
console.log(`imported and called under Node ${process.version}`)
