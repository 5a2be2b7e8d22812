// Tools: the model asks for a function, the program runs it and gives back what it gave. Run it with `node examples/tools.mjs`.
import { Gateway, loadConfigFromObjects } from 'ai-gateway-native'

const gateway = new Gateway({
  config: loadConfigFromObjects({
    providers: [{ name: 'mock', provider: 'mock', models: ['mock'], auth: { type: 'none' } }],
    routes: { rules: [{ name: 'all', priority: 0, match: {}, target: { provider: 'mock' } }] },
    budgets: [],
  }),
  onUsageLog: (log) => console.log(`  log: ${log.inputTokens} tokens in, ${log.outputTokens} out`),
})

// What the model may call, and the functions behind it. The mock calls a tool whose name's words are in the question.
const tools = [
  {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string', examples: ['Rome'] } }, required: ['city'] },
  },
  { name: 'get_time', description: 'The time of day', parameters: { type: 'object', properties: {} } },
]
const functions = {
  get_weather: async ({ city }) => ({ city, sky: 'clear', celsius: 21 }),
  get_time: async () => ({ time: '12:00' }),
}

/** Runs the calls of an answer, all at once. A function that fails tells the model so. */
const run = (toolCalls) =>
  Promise.all(
    toolCalls.map(async ({ id, name, arguments: input, rawArguments }) => {
      // `rawArguments` is there where the model wrote no JSON object.
      const output = rawArguments
        ? { error: 'the arguments are no JSON object' }
        : await functions[name](input).catch((error) => ({ error: error.message }))
      console.log(`  ${name}(${JSON.stringify(input)}) gave ${JSON.stringify(output)}`)
      return { role: 'tool', toolCallId: id, content: JSON.stringify(output) }
    }),
  )

/** Asks until the answer is one without calls, but not for ever. */
async function converse(question, turns = 5) {
  const messages = [{ role: 'user', content: question }]
  for (let turn = 0; turn < turns; turn++) {
    const { content, toolCalls, reasoningDetails } = await gateway.chat({ messages, tools })
    if (!toolCalls) return content
    // The turn goes back as it came, signatures of the reasoning included, and a result for each call.
    messages.push({ role: 'assistant', content, toolCalls, reasoningDetails }, ...(await run(toolCalls)))
  }
  throw new Error(`no answer after ${turns} turns`)
}

console.log('One call:')
console.log(await converse('What is the weather in Rome?'))
console.log('Two at once:')
console.log(await converse('What are the weather and the time in Rome?'))

console.log('In a stream, calls come whole, after the text:')
const { events } = await gateway.chatStream({
  messages: [{ role: 'user', content: 'What is the weather in Rome?' }],
  tools,
  toolChoice: { name: 'get_weather' },
})
for await (const event of events) {
  if (event.type === 'text') process.stdout.write(event.delta)
  if (event.type === 'tool_use') console.log(`  wants ${event.name}(${JSON.stringify(event.input)})`)
  if (event.type === 'done') console.log(`  ${event.finishReason}, ${event.usage.totalTokens} tokens`)
}
