// One repetition of one target: measures itself, and says so to `run.mjs`.
import { scenarios, upstreamUrl } from './scenarios.mjs'
import { open } from './targets.mjs'

process.on('disconnect', () => process.exit())
const [name, scenario, size, port] = process.argv.slice(2)
const sizes = scenarios[scenario][size]

try {
  const target = await open(name, upstreamUrl(port, sizes), sizes)
  const figures = await scenarios[scenario].run(target, sizes)
  process.send({ figures }, () => process.exit())
} catch (error) {
  process.send({ error: String(error?.message ?? error) }, () => process.exit(1))
}
