// The two wire formats, as an upstream writes them.

const data = (value) => `data: ${JSON.stringify(value)}\n\n`
const event = (type, value) => `event: ${type}\n${data({ type, ...value })}`

const chunk = (delta, finish_reason = null) =>
  data({ id: 'c', object: 'chat.completion.chunk', model: 'up-model', choices: [{ index: 0, delta, finish_reason }] })

export const openai = {
  family: 'openai',
  entry: (url, more) => ({
    name: 'p',
    provider: 'openai',
    baseUrl: `${url}/v1`,
    models: ['m'],
    auth: { type: 'none' },
    timeoutMs: 5000,
    ...more,
  }),
  whole: (content = 'Hello', usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }) => ({
    id: 'c',
    object: 'chat.completion',
    model: 'up-model',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    ...(usage === null ? {} : { usage }),
  }),
  zeroUsage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
  /** Before any content. */
  start: chunk({ role: 'assistant', content: '' }),
  delta: (content) => chunk({ content }),
  finish: chunk({}, 'stop'),
  usage: (input, output) =>
    data({
      model: 'up-model',
      choices: [],
      usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output },
    }),
  done: 'data: [DONE]\n\n',
  error: (message) => data({ error: { message, type: 'server_error' } }),
}

export const anthropic = {
  family: 'anthropic',
  entry: (url, more) => ({
    name: 'p',
    provider: 'anthropic',
    baseUrl: url,
    models: ['m'],
    auth: { type: 'none' },
    timeoutMs: 5000,
    ...more,
  }),
  whole: (content = 'Hello', usage = { input_tokens: 3, output_tokens: 2 }) => ({
    id: 'c',
    type: 'message',
    role: 'assistant',
    model: 'up-model',
    content: content === null ? [] : [{ type: 'text', text: content }],
    stop_reason: 'end_turn',
    ...(usage === null ? {} : { usage }),
  }),
  zeroUsage: { input_tokens: 0, output_tokens: 0 },
  start:
    event('message_start', { message: { id: 'c', role: 'assistant', model: 'up-model', content: [] } }) +
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
  delta: (text) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
  finish: event('content_block_stop', { index: 0 }) + event('message_delta', { delta: { stop_reason: 'end_turn' } }),
  usage: (input, output) =>
    event('message_delta', { delta: {}, usage: { input_tokens: input, output_tokens: output } }),
  done: event('message_stop', {}),
  error: (message) => event('error', { error: { type: 'overloaded_error', message } }),
}

export const formats = [openai, anthropic]

/** A whole stream of these deltas. */
export const stream = (format, deltas = ['Hel', 'lo'], usage = [3, 2]) =>
  [
    format.start,
    ...deltas.map(format.delta),
    format.finish,
    ...(usage ? [format.usage(...usage)] : []),
    format.done,
  ].join('')
