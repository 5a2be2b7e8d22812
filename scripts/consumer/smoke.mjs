// Run in a project that has installed the packed tarballs: imports the package, by name and by default.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import byDefault, * as byName from 'ai-gateway-native'
import smoke from './smoke.cjs'

const required = createRequire(import.meta.url)('ai-gateway-native')
assert.equal(byDefault, required)
assert.equal(byName.GatewayError, required.GatewayError)

await smoke.exercise(byName)

// Each sub-export loads both ways, with nothing else installed.
for (const name of ['ai-gateway-native/allowlist', 'ai-gateway-native/ai-sdk']) {
  const both = createRequire(import.meta.url)(name)
  for (const [key, value] of Object.entries(await import(name))) {
    if (key in both) assert.equal(value, both[key], `${name}: ${key}`)
  }
}
console.log(`imported and called under Node ${process.version}`)
