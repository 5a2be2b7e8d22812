// The same package with require(). Run it with `node examples/commonjs.cjs`.
const path = require('node:path')
const { Gateway, GatewayError, loadConfig } = require('ai-gateway-native')

async function main() {
  // The three files of a directory: gateway.providers.json, gateway.routes.json, gateway.budgets.json. Here those of
  // the demo; its real providers are left out, so that nothing is sent whatever keys are set.
  const config = await loadConfig(path.join(__dirname, 'demo-server'))
  config.providers = config.providers.filter((entry) => entry.provider === 'mock')

  const gateway = new Gateway({ config })
  console.log('providers:', gateway.listProviders())

  // The usage log without a handler: one line of JSON.
  const answer = await gateway.chat({ messages: [{ role: 'user', content: 'Hello from CommonJS' }], taskType: 'fault' })
  console.log(answer.content)

  // Both ways of loading give the same objects: errors of one are instances of the other's class.
  const imported = await import('ai-gateway-native')
  console.log('one GatewayError for both:', imported.GatewayError === GatewayError)
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
