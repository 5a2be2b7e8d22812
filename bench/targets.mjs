// Who is measured. An opener gives `{chat, stream}`: `chat()` resolves to the answer's text, `stream()` is an async
// iterable of pieces of text. All send the same request. Libraries load in the opener: a cold start includes them.

const MODEL = 'gpt-4o-mini'
const MAX_TOKENS = 1024
const KEY = 'sk-local-benchmark'
/** Targets of the pool. */
const POOL = 200
const SYSTEM =
  'You are a careful assistant. Answer briefly, in plain prose, and say so when you are not sure.' +
  ' Keep to the facts given.'.repeat(6)
const USER =
  'Summarise what a gateway between an application and several language-model providers does, in two sentences, for ' +
  'a reader who builds web services but has never used one. Mention routing and budgets.'
const messages = [
  { role: 'system', content: SYSTEM },
  { role: 'user', content: USER },
]
const request = { model: MODEL, messages, max_tokens: MAX_TOKENS }
const streamed = { ...request, stream: true, stream_options: { include_usage: true } }
const headers = { 'content-type': 'application/json', authorization: `Bearer ${KEY}` }

/** The texts in server-sent events, read by hand from any async iterable of bytes. */
async function* deltas(body) {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop()
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue
      if (line === 'data: [DONE]') return
      const text = JSON.parse(line.slice(6)).choices[0]?.delta.content
      if (text) yield text
    }
  }
}

const openers = {
  async fetch(base) {
    const post = async (body) => {
      const response = await fetch(`${base}/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body) })
      if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`)
      return response
    }
    return {
      chat: async () => (await (await post(request)).json()).choices[0].message.content,
      async *stream() {
        yield* deltas((await post(streamed)).body)
      },
    }
  },

  async undici(base) {
    const undici = await import('undici')
    const post = async (body) => {
      const options = { method: 'POST', headers, body: JSON.stringify(body) }
      const response = await undici.request(`${base}/chat/completions`, options)
      if (response.statusCode !== 200) throw new Error(`HTTP ${response.statusCode}: ${await response.body.text()}`)
      return response.body
    }
    return {
      chat: async () => (await (await post(request)).json()).choices[0].message.content,
      async *stream() {
        yield* deltas(await post(streamed))
      },
    }
  },

  async openai(base) {
    const { default: OpenAI } = await import('openai')
    const client = new OpenAI({ apiKey: KEY, baseURL: base, maxRetries: 0 })
    return {
      chat: async () => (await client.chat.completions.create(request)).choices[0].message.content,
      async *stream() {
        for await (const chunk of await client.chat.completions.create(streamed)) {
          const text = chunk.choices[0]?.delta.content
          if (text) yield text
        }
      },
    }
  },

  async ai(base) {
    const [{ generateText, streamText }, { createOpenAI }] = await Promise.all([import('ai'), import('@ai-sdk/openai')])
    const model = createOpenAI({ apiKey: KEY, baseURL: base }).chat(MODEL)
    const call = { model, system: SYSTEM, prompt: USER, maxOutputTokens: MAX_TOKENS, maxRetries: 0 }
    return {
      chat: async () => (await generateText(call)).text,
      stream: () => streamText(call).textStream,
    }
  },

  async gateway(base, { pools = false, http2 = false } = {}) {
    const { Gateway, loadConfigFromObjects } = await import('ai-gateway-native')
    process.env.BENCH_KEY = KEY
    const entry = (name) => ({
      name,
      provider: 'openai',
      baseUrl: base,
      models: [MODEL],
      auth: { type: 'apiKey', envVar: 'BENCH_KEY' },
      http2,
    })
    const pooled = Array.from({ length: POOL }, (_, number) => entry(`pooled-${number}`))
    const pool = pooled.map(({ name }) => ({ provider: name }))
    const config = loadConfigFromObjects({
      providers: [entry('main'), ...(pools ? pooled : [])],
      routes: {
        rules: [
          ...(pools
            ? [{ name: 'pool', priority: 20, match: { taskType: 'pool' }, target: { pool, strategy: 'round_robin' } }]
            : []),
          { name: 'summaries', priority: 10, match: { taskType: 'summary' }, target: { provider: 'main' } },
          { name: 'everything-else', priority: 0, match: {}, target: { provider: 'main' } },
        ],
      },
      budgets: [
        {
          name: 'daily',
          scope: { type: 'global' },
          window: 'day',
          limits: { maxCostUsd: 1_000, warnAt: 0.8 },
          enforcement: 'hard',
        },
      ],
    })
    const totals = { calls: 0, costUsd: 0 }
    const gateway = new Gateway({
      config,
      onUsageLog(log) {
        totals.calls += 1
        totals.costUsd += log.estimatedCostUsd ?? 0
      },
    })
    const call = { messages, taskType: 'summary', maxTokens: MAX_TOKENS }
    const cached = { ...call, cache: true }
    const toPool = { ...call, taskType: 'pool' }
    return {
      chat: async () => (await gateway.chat(call)).content,
      async *stream() {
        const { stream } = await gateway.chatStream(call)
        for await (const { delta } of stream) if (delta) yield delta
      },
      cached: async () => (await gateway.chat(cached)).content,
      pooled: async () => (await gateway.chat(toPool)).content,
    }
  },
}

openers.http1 = openers.gateway
openers.http2 = (base, options) => openers.gateway(base, { ...options, http2: true })

/** Names on the command line, and in the tables. */
export const targets = {
  gateway: 'ai-gateway-native',
  fetch: 'fetch',
  undici: 'undici.request',
  openai: 'openai SDK',
  ai: 'Vercel AI SDK',
  http1: 'ai-gateway-native, HTTP/1.1',
  http2: 'ai-gateway-native, HTTP/2',
}

export const open = (name, base, options) => openers[name](base, options)
