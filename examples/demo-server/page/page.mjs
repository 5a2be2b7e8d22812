import { WORDS } from './words.mjs'

const $ = (id) => document.getElementById(id)
const main = document.querySelector('main')
const [conversation, form, prompt, route] = ['conversation', 'form', 'prompt', 'route'].map($)

let words
let providers
/** What the model is told again with each question: the turns before, with as much answer as there was. */
let history = []
/** Ends the answer under way; `undefined` when there is none. */
let running

// ── Words ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function speak(language) {
  words = WORDS[language]
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  for (const node of document.querySelectorAll('[data-text]')) node.textContent = words[node.dataset.text]
  for (const node of document.querySelectorAll('optgroup')) node.label = words[node.dataset.label]
  conversation.setAttribute('aria-label', words.conversation)
  prompt.placeholder = words.promptHint
  $('language').textContent = words.other
  $('language').lang = language === 'zh' ? 'en' : 'zh-CN'
  $('language').onclick = () => speak(language === 'zh' ? 'en' : 'zh')
  $('suggestions').replaceChildren(...words.suggestions.map(suggestion))
  showProviders()
}

function suggestion({ text, prompt: question = text, value = '' }) {
  const button = element('button', 'quiet', text)
  button.type = 'button'
  button.addEventListener('click', () => {
    route.value = value
    ask(question)
  })
  return button
}

async function findProviders() {
  try {
    const answer = await fetch('health')
    providers = (await answer.json()).providers
  } catch {
    providers = []
  }
  showProviders()
}

function showProviders() {
  if (providers === undefined) return
  const real = providers.some((name) => !name.startsWith('mock'))
  const text = real ? words.providers(providers) : words.onlyMock
  $('providers').textContent = providers.length > 0 ? text : words.unreachable
}

// ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function ask(question) {
  if (running !== undefined || question.trim() === '') return
  const turn = startTurn(question)
  running = new AbortController()
  update()

  let text = ''
  try {
    const messages = [...history, { role: 'user', content: question }]
    const answer = await fetch('v1/chat/stream', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages, ...Object.fromEntries(new URLSearchParams(route.value)) }),
      signal: running.signal,
    })
    if (!answer.ok) throw new Failure(await answer.json().catch(() => ({})), answer.status)
    let usage
    for await (const event of eventsOf(answer.body)) {
      if (event.type === 'error') throw new Failure(event.error, event.error.httpStatus)
      if (event.type === 'done') usage = event.usage
      else {
        text += event.delta
        turn.show(text)
      }
    }
    // The last event says so when an answer is complete; without it the server has gone away.
    if (usage === undefined) throw new TypeError(words.lost)
    turn.finish(text, usage)
    $('status').textContent = words.done
  } catch (error) {
    turn.fail(error, running.signal.aborted)
  }
  if (text !== '') history.push({ role: 'user', content: question }, { role: 'assistant', content: text })
  running = undefined
  update()
}

/** The JSON of each `data:` line of a stream of server-sent events. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    const events = (rest + value).split('\n\n')
    rest = events.pop()
    for (const event of events) {
      if (event.startsWith('data: ')) yield JSON.parse(event.slice(6))
    }
  }
}

class Failure extends Error {
  constructor(payload, status) {
    super(payload?.message ?? '')
    Object.assign(this, { payload: payload ?? {}, status })
  }
}

// ── Showing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A question on the page, and the ways its answer can go. */
function startTurn(question) {
  $('welcome').hidden = true
  const article = element('article')
  const answer = element('p', 'answer running')
  article.append(element('p', 'question', question), answer)
  conversation.append(article)
  main.scrollTop = main.scrollHeight

  const add = (...nodes) => following(() => article.append(...nodes))
  const end = () => answer.classList.remove('running')
  return {
    show(text) {
      following(() => (answer.textContent = text))
    },
    finish(text, usage) {
      end()
      if (text === '') answer.textContent = words.empty
      if (usage.fallbackTriggered) add(element('p', 'note', words.fellBack(usage.fallbackFrom, usage.provider)))
      add(figures(usage))
    },
    fail(error, stopped) {
      end()
      if (answer.textContent === '') answer.remove()
      add(stopped ? element('p', 'note', words.stopped) : problem(error))
    },
  }
}

function figures({ provider, model, inputTokens, outputTokens, estimatedCostUsd, latencyMs, usageSource }) {
  const list = element('dl', 'figures')
  const tokens = words.tokensValue(inputTokens, outputTokens) + (usageSource === 'estimated' ? words.estimated : '')
  const rows = [
    [words.provider, provider],
    [words.model, model],
    [words.tokens, tokens],
    [words.cost, `$${estimatedCostUsd.toFixed(6)}`],
    [words.latency, `${(latencyMs / 1000).toFixed(2)} s`],
  ]
  for (const [name, value] of rows) {
    const row = element('div')
    row.append(element('dt', '', name), element('dd', '', value))
    list.append(row)
  }
  return list
}

function problem(error) {
  const note = element('div', 'note bad')
  note.setAttribute('role', 'alert')
  if (!(error instanceof Failure)) {
    note.append(element('strong', '', words.lost))
    return note
  }
  const { code, retryable, requestId } = error.payload
  note.append(element('strong', '', words.errors[code] ?? words.unknownError), error.message)
  const details = [code, error.status, requestId].filter(Boolean).join(' · ')
  note.append(element('small', '', retryable ? `${words.retryable} ${details}` : details))
  return note
}

/** Changes the conversation and stays at its end, unless the reader has scrolled away from it. */
function following(change) {
  const atEnd = main.scrollHeight - main.scrollTop - main.clientHeight < 60
  change()
  if (atEnd) main.scrollTop = main.scrollHeight
}

function element(name, className = '', text = '') {
  const node = document.createElement(name)
  if (className) node.className = className
  node.textContent = text
  return node
}

function update() {
  const busy = running !== undefined
  following(() => {
    $('send').hidden = busy
    $('stop').hidden = !busy
    $('fresh').hidden = busy || !$('welcome').hidden
  })
  for (const button of $('suggestions').children) button.disabled = busy
  // Screen readers then read the answer once it is complete, not word by word.
  conversation.setAttribute('aria-busy', busy)
  if (busy) $('status').textContent = words.waiting
  toPrompt()
}

function toPrompt() {
  // Not on a phone, where the keyboard would come up over the answer.
  if (matchMedia('(pointer: fine)').matches) prompt.focus()
}

// ── Input ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function grow() {
  following(() => {
    prompt.style.height = 'auto'
    prompt.style.height = `${prompt.scrollHeight}px`
  })
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  if (running !== undefined || prompt.value.trim() === '') return
  ask(prompt.value)
  prompt.value = ''
  grow()
})

prompt.addEventListener('input', grow)
prompt.addEventListener('keydown', (event) => {
  // While an input method composes a word, Enter belongs to it.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return
  event.preventDefault()
  form.requestSubmit()
})
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.isComposing) running?.abort()
})
$('stop').addEventListener('click', () => running?.abort())
$('fresh').addEventListener('click', () => {
  history = []
  conversation.replaceChildren($('welcome'))
  $('welcome').hidden = false
  update()
})

speak(navigator.language.startsWith('zh') ? 'zh' : 'en')
findProviders()
toPrompt()
