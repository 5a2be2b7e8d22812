// Streamed answers: read to the end, left early, cancelled. Run it with `node examples/streaming.mjs`.
import { Gateway, loadConfigFromObjects } from 'ai-gateway-native'

const config = loadConfigFromObjects({
  providers: [
    // `delayMs`: the mock waits before each token, as a model would.
    { name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' }, options: { delayMs: 30 } },
  ],
  routes: { rules: [{ name: 'all', priority: 0, match: {}, target: { provider: 'mock' } }] },
  budgets: [],
})
let logged
const gateway = new Gateway({ config, onUsageLog: (log) => (logged = log) })

// The entry is there once the loop has ended, however it ends.
function printLog() {
  const { success, outputTokens, errorCode } = logged
  console.log(`  log: success ${success}, ${outputTokens} tokens out${errorCode ? `, ${errorCode}` : ''}`)
}
const messages = [{ role: 'user', content: 'Count slowly: one two three four five six seven eight nine ten.' }]

console.log('To the end:')
{
  // Resolves at the first content. A failure before that rejects here, or falls back, as with `chat`.
  const { stream, getUsageSummary } = await gateway.chatStream({ messages })
  process.stdout.write('  ')
  for await (const { delta } of stream) process.stdout.write(delta)
  process.stdout.write('\n')
  const usage = await getUsageSummary()
  console.log(`  ${usage.provider}: ${usage.totalTokens} tokens in ${usage.latencyMs} ms`)
  printLog()
}

console.log('Left early: the upstream request is closed, what has come so far is billed.')
{
  const { stream } = await gateway.chatStream({ messages })
  let words = 0
  for await (const { delta } of stream) {
    console.log(`  ${delta}`)
    if (++words === 4) break
  }
  printLog()
}

console.log('Cancelled by a signal: also while the reader waits.')
{
  const { stream } = await gateway.chatStream({ messages, signal: AbortSignal.timeout(150) })
  try {
    for await (const { delta } of stream) console.log(`  ${delta}`)
  } catch (error) {
    // The signal's own reason: here the TimeoutError of AbortSignal.timeout.
    console.log(`  ${error.name}: ${error.message}`)
  }
  printLog()
}
