// A pool loses one of its targets and gets it back, live: `node examples/failover/failover.mjs`, for `--seconds 20`.
// Three small servers on this machine stand in for a vendor; there is no network and no key.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Gateway, GatewayError, loadConfigFromObjects } from 'ai-gateway-native'
import { view } from './table.mjs'
import { startUpstream } from './upstream.mjs'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } })
const SECONDS = Number(values.seconds)
if (!(SECONDS >= 1)) {
  console.error('--seconds must be a number of 1 or more')
  process.exit(2)
}
const CALLS_PER_SECOND = 60
/** The one that dies, and the parts of the time between which it is dead. */
const VICTIM = 'b'
const [DIES, RETURNS] = [0.25, 0.55].map((part) => part * SECONDS * 1000)

// Loopback addresses are nobody else's business, whatever proxy this machine has.
process.env.NO_PROXY = '127.0.0.1'

const upstreams = {
  a: await startUpstream({ latencyMs: 25 }),
  b: await startUpstream({ latencyMs: 40 }),
  c: await startUpstream({ latencyMs: 60 }),
}

const gateway = new Gateway({
  config: loadConfigFromObjects({
    providers: Object.entries(upstreams).map(([name, { url }]) => ({
      name,
      provider: 'openai',
      baseUrl: url,
      models: ['demo'],
      auth: { type: 'none' },
      // Short, so that there is something to see; the defaults are 5 failures and 60 s.
      breaker: { failureThreshold: 3, cooldownMs: 500, halfOpenMaxRequests: 2 },
    })),
    routes: {
      rules: [
        {
          name: 'pool',
          priority: 0,
          match: {},
          target: {
            strategy: 'weighted',
            pool: [
              { provider: 'a', weight: 2 },
              { provider: 'b', weight: 2 },
              { provider: 'c', weight: 1 },
            ],
          },
        },
      ],
    },
    budgets: [],
  }),
  onUsageLog: () => {},
})

const started = performance.now()
const elapsed = () => performance.now() - started
const seen = { calls: 0, failures: 0, rescued: 0, lastFailure: undefined }
/** Who answered, and when: of the last second. */
const answered = []
/** The victim's, when it comes back and at the end. */
const shares = {}

async function call(number) {
  seen.calls++
  try {
    const { provider, fallbackTriggered } = await gateway.chat({
      messages: [{ role: 'user', content: `Call ${number}` }],
    })
    answered.push({ provider, at: elapsed() })
    if (fallbackTriggered) seen.rescued++
  } catch (error) {
    seen.failures++
    seen.lastFailure = GatewayError.isInstance(error) ? `${error.kind}: ${error.message}` : String(error)
  }
}

function snapshot() {
  while (answered.length > 0 && answered[0].at < elapsed() - 1000) answered.shift()
  const targets = gateway.health().map(({ provider, state, latencyMs, errorRate, inFlight }) => {
    const share = answered.filter((answer) => answer.provider === provider).length / Math.max(answered.length, 1)
    return { provider, isUp: upstreams[provider].isUp, state, share, p50: latencyMs.p50, errorRate, inFlight }
  })
  return { seconds: elapsed() / 1000, targets, ...seen }
}

async function load() {
  const calls = []
  for (let number = 1; elapsed() < SECONDS * 1000; number++) {
    calls.push(call(number))
    await sleep(Math.max(0, (number * 1000) / CALLS_PER_SECOND - elapsed()))
  }
  await Promise.all(calls)
}

async function trouble() {
  const victim = upstreams[VICTIM]
  await sleep(DIES)
  await victim.die()
  await sleep(RETURNS - elapsed())
  shares.dead = shareOfVictim()
  await victim.comeBack()
}

const shareOfVictim = () => snapshot().targets.find(({ provider }) => provider === VICTIM).share

const table = view(process.stdout)
const drawing = setInterval(() => table.draw(snapshot()), table.everyMs)
await Promise.all([load(), trouble()])
clearInterval(drawing)
shares.end = shareOfVictim()
table.draw(snapshot())

const percent = (share) => `${Math.round(share * 100)} %`
console.log(
  `\n${seen.calls} calls, ${seen.failures} failures seen by callers, ${seen.rescued} answered by a second target.`,
)
console.log(
  `${VICTIM} had ${percent(shares.dead)} of the traffic just before it came back, and ${percent(shares.end)} at the end.`,
)
for (const upstream of Object.values(upstreams)) await upstream.die()
if (seen.failures > 0) {
  console.log(`The last failure: ${seen.lastFailure}`)
  process.exitCode = 1
}
