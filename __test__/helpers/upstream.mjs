// A scriptable upstream: a real HTTP server on the loopback interface, and the answers it plays.
import http from 'node:http'
import { onTestFinished } from 'vitest'

/**
 * Starts a server that plays `answers` in order, the last one again and again. It is closed when the test ends.
 *
 * An answer is `{status?, headers?, body?}`, where a body that is not text is sent as JSON, or a function
 * `(req, res, recorded)` that does what it likes with the connection.
 */
export async function upstream(...answers) {
  const requests = []
  const server = http.createServer(async (req, res) => {
    const recorded = {
      method: req.method,
      url: req.url,
      headers: req.headers,
      body: undefined,
      arrivedAt: performance.now(),
    }
    const answer = answers[Math.min(requests.length, answers.length - 1)]
    requests.push(recorded)
    let text = ''
    for await (const piece of req.setEncoding('utf8')) text += piece
    recorded.text = text
    recorded.body = text === '' ? undefined : JSON.parse(text)
    recorded.answeredAt = performance.now()
    if (typeof answer === 'function') return answer(req, res, recorded)
    send(res, answer)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
  onTestFinished(close)
  const host = `127.0.0.1:${server.address().port}`
  return { server, host, url: `http://${host}`, requests, close, last: () => requests.at(-1) }
}

function send(res, { status = 200, headers = {}, body = '' }) {
  const isText = typeof body === 'string' || Buffer.isBuffer(body)
  res.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json', ...headers })
  res.end(isText ? body : JSON.stringify(body))
}

/** An answer that does not come while the test lasts. */
export const never = () => {}

/** Takes the request and cuts the connection. */
export const cut = (req) => req.socket.destroy()

export const status = (code, body = `status ${code}`, headers = {}) => ({ status: code, body, headers })

// ── Server-sent events ───────────────────────────────────────────────────────────────────────────────────────────

/** An event as it goes over the wire: text is sent as it is, an object with a `type` gets an `event:` line. */
export function event(data) {
  const name = data?.type === undefined ? '' : `event: ${data.type}\n`
  return `${name}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
}

export const sse = (events, headers = {}) => ({
  headers: { 'content-type': 'text/event-stream', ...headers },
  body: events.map(event).join(''),
})

/**
 * A stream that the test feeds: `send(...events)`, `end()`, `cut()`. `opened` resolves when the request is there,
 * `closed` when its connection is.
 */
export function live() {
  let response
  let open, close
  const opened = new Promise((resolve) => (open = resolve))
  const closed = new Promise((resolve) => (close = resolve))
  const answer = (req, res) => {
    response = res
    res.on('close', close)
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.flushHeaders()
    open()
  }
  return Object.assign(answer, {
    opened,
    closed,
    send: (...events) => {
      for (const data of events) response.write(event(data))
    },
    end: () => response.end(),
    cut: () => response.destroy(),
  })
}

// ── What vendors answer ──────────────────────────────────────────────────────────────────────────────────────────

export const openai = {
  /** A whole answer; `usage` is `[prompt, completion]`. */
  answer(content = 'Hello!', { model = 'gpt-4o-mini', usage = [12, 5] } = {}) {
    return {
      body: {
        id: 'chatcmpl-1',
        object: 'chat.completion',
        created: 1,
        model,
        choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
        ...(usage && { usage: openai.usage(...usage) }),
      },
    }
  },

  usage: (prompt, completion) => ({
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  }),

  chunk: (delta, finish_reason = null, model = 'gpt-4o-mini') => ({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model,
    choices: [{ index: 0, delta, finish_reason }],
  }),

  usageChunk: (prompt, completion, model = 'gpt-4o-mini') => ({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model,
    choices: [],
    usage: openai.usage(prompt, completion),
  }),

  /** The events of a stream as OpenAI sends it: role, texts, finish reason, usage, `[DONE]`. */
  events(texts, { finish = 'stop', usage = [12, 5], model } = {}) {
    return [
      openai.chunk({ role: 'assistant', content: '' }, null, model),
      ...texts.map((content) => openai.chunk({ content }, null, model)),
      openai.chunk({}, finish, model),
      openai.usageChunk(...usage, model),
      '[DONE]',
    ]
  },

  stream: (texts, options) => sse(openai.events(texts, options)),
}

export const anthropic = {
  answer(content = 'Hello!', { model = 'claude-3-haiku-20240307', usage = [12, 5] } = {}) {
    return {
      body: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        model,
        content: [{ type: 'text', text: content }],
        stop_reason: 'end_turn',
        stop_sequence: null,
        usage: { input_tokens: usage[0], output_tokens: usage[1] },
      },
    }
  },

  events(texts, { finish = 'end_turn', usage = [12, 5], model = 'claude-3-haiku-20240307' } = {}) {
    return [
      {
        type: 'message_start',
        message: {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          model,
          content: [],
          stop_reason: null,
          usage: { input_tokens: usage[0], output_tokens: 1 },
        },
      },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'ping' },
      ...texts.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
      { type: 'content_block_stop', index: 0 },
      {
        type: 'message_delta',
        delta: { stop_reason: finish, stop_sequence: null },
        usage: { output_tokens: usage[1] },
      },
      { type: 'message_stop' },
    ]
  },

  stream: (texts, options) => sse(anthropic.events(texts, options)),
}
