'use strict'

const native = require('./addon.js')
const { batch } = require('./batch.js')
const { bridge, callsOf, whenEnded } = require('./bridge.js')
const { Call } = require('./call.js')
const { warn } = require('./console.js')
const { GatewayError, configFault, invalidRequest, refuseNonFinite, stringify, unwrap } = require('./errors.js')
const { withEnvironment } = require('./environment.js')
const { ProviderRegistry, providerTable } = require('./providers.js')
const { EventReader, toReadableStream } = require('./events.js')
const { LONGEST_TIMER_MS, TASK_TYPES } = require('./internal.js')
const { KeysInCode } = require('./keys.js')
const { logEntryOf } = require('./protocol.js')
const { StreamReader } = require('./stream.js')
const { UsageLog, numberOf } = require('./usage.js')

/** How long a log handler is waited for, in milliseconds. */
const USAGE_LOG_TIMEOUT_MS = 5000

const CLOSED = {
  code: 'ABORTED',
  kind: 'aborted',
  message: 'The call was aborted: the gateway is closed',
  retryable: false,
  httpStatus: 499,
}

class Gateway {
  #native
  #registry
  #customs
  /** Factories of the program's own, by family. */
  #factories
  #logger
  #taskTypes
  /** Strategies of the program's own, by name; absent where no rule names one. */
  #strategies = undefined
  #ownStrategies
  /** The way of a call through middleware, outermost first; absent while there is none. */
  #withMiddleware = undefined
  #layers = []
  /** The same of a stream. */
  #withStreamMiddleware = undefined
  #streamLayers = []
  #closed = false

  constructor(options) {
    this.#factories = Object.entries(options?.customProviders ?? {})
    this.#logger = new UsageLog(options ?? {}, usageLogTimeoutOf(options))
    this.#ownStrategies = strategiesOf(options)
    if (options?.keys != null) this.#logger.keys = new KeysInCode(options.keys)
    this.#configure(options?.config, (text, names, table) => {
      this.#native = new native.NativeGateway(bridge, text, names, table, numberOf(this.#logger))
    })
  }

  /** Takes a configuration once it is found right, its providers are built, and `install` has taken them. */
  #configure(written, install) {
    if (written === null || typeof written !== 'object') throw GatewayError.configInvalid('config: must be an object')
    const config = withEnvironment(written)
    const text = stringify(config, 'config', configFault)
    refuseNonFinite(config, '', configFault)
    const names = [...this.#ownStrategies.keys()]
    const warnings = unwrap(native.checkGatewayConfig(text, names))

    const { keys } = this.#logger
    if (keys !== undefined && this.#native === undefined) unwrap(native.checkKeys(text, keys.names))
    const inCode = keys === undefined ? undefined : { keys, logger: numberOf(this.#logger) }

    const registry = new ProviderRegistry()
    for (const [family, factory] of this.#factories) registry.registerFactory(family, factory)
    ProviderRegistry.loadWithKeys(registry, config.providers, inCode)
    const entries = registry.list().map((name) => ({
      name,
      provider: registry.get(name),
      config: ProviderRegistry.configOf(registry, name),
    }))
    // Calls in flight keep the objects that they began with.
    const customs = []
    try {
      install(text, names, providerTable(entries, customs))
    } catch (error) {
      throw GatewayError.configInvalid(error.message)
    }
    this.#registry = registry
    this.#customs = customs
    this.#taskTypes = taskTypesOf(config)
    const isOwn = ({ target }) => this.#ownStrategies.has(target?.strategy)
    this.#strategies = config.routes?.some(isOwn) ? this.#ownStrategies : undefined
    for (const line of warnings) warn(`[gateway] Configuration: ${line}`)
  }

  /**
   * Puts another configuration in place of this one, at once, or throws and leaves everything as it is. Calls in flight
   * finish on the old one; budgets, breakers and limits of what stays keep their counts.
   */
  async reload(config) {
    this.#configure(config, (text, names, table) => this.#native.reload(text, names, table))
  }

  /**
   * Stops: calls from now on are refused, and those in flight are aborted once `graceMs` are over. Resolves when none is
   * left, and no log handler runs.
   */
  async close({ graceMs = 0 } = {}) {
    this.#closed = true
    const cancelAll = () => {
      for (const id of callsOf(this.#logger)) bridge.cancel(id)
    }
    const ended = whenEnded(callsOf(this.#logger))
    if (!(graceMs > 0)) cancelAll()
    const timer = setTimeout(cancelAll, Math.min(graceMs, LONGEST_TIMER_MS))
    await ended
    clearTimeout(timer)
    await new Call().run(this.#native, 'close')
    await this.#logger.whenIdle()
  }

  [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    return this.close()
  }

  /** A call of this gateway in its caller's async context, unless the gateway is closed. */
  #call() {
    if (this.#closed) throw new GatewayError(CLOSED)
    return new Call(this.#customs, this.#logger).keepContext()
  }

  /** How each provider is doing. */
  health() {
    return JSON.parse(this.#native.health())
  }

  /** What is spent and reserved of each budget. */
  budgets() {
    return JSON.parse(this.#native.budgets())
  }

  /** What was used, in groups, from the records that are kept. */
  usage(query) {
    return new Call().run(this.#native, 'usage', query ?? {})
  }

  /** What would become of a request; nobody is asked. */
  explain(request) {
    return unwrap(this.#native.explain(stringify(request ?? {}, 'request')))
  }

  [TASK_TYPES]() {
    return this.#taskTypes
  }

  // No async function: its suspended frame would be a third of what a call in flight costs.
  chat(request) {
    return this.#withMiddleware === undefined ? this.#send(request) : this.#withMiddleware(request)
  }

  /** Adds middleware around `chat`: what is added first is outermost. */
  use(middleware) {
    this.#layers = withLayer(this.#layers, middleware)
    this.#withMiddleware = through(this.#layers, (request) => this.#send(request))
    return this
  }

  /** Adds middleware around `chatStream`: what is added first is outermost. */
  useStream(middleware) {
    this.#streamLayers = withLayer(this.#streamLayers, middleware)
    this.#withStreamMiddleware = through(this.#streamLayers, (request) => this.#open(request))
    return this
  }

  /** `chat` on each request, `concurrency` at once (8), middleware included. */
  batch(requests, options) {
    return batch((request) => this.chat(request), requests, options)
  }

  #send(request) {
    if (this.#closed) return Promise.reject(new GatewayError(CLOSED))
    if (this.#strategies !== undefined) return this.#ordered(request).then((ordered) => this.#sendOne(ordered))
    return this.#sendOne(request)
  }

  #sendOne(request) {
    return new Call(this.#customs, this.#logger).start(this.#native, 'chat', request).then(answered)
  }

  /** The request with its pool's members in the order that the program's own strategy gives, where the rule has one. */
  async #ordered(request) {
    const { strategy: name, candidates } = this.#poolOf(request)
    const strategy = this.#strategies.get(name)
    if (strategy === undefined) return request
    const pool = candidates.filter(({ source }) => source === 'pool')
    const order = await strategy(request, pool)
    if (!Array.isArray(order) || !order.every((entry) => typeof entry === 'string')) {
      throw configFault(`strategies.${name}`, 'must return a list of names of entries')
    }
    // No name at all: nobody is to be asked but the chain.
    return { ...request, poolOrder: order.length === 0 ? [''] : order }
  }

  #asked(request) {
    return this.#strategies === undefined ? request : this.#ordered(request)
  }

  /** What `explain` says of a request; nothing of one that the call itself will refuse. */
  #poolOf(request) {
    try {
      const messages = request.messages ?? [{ role: 'user', content: [request.input].flat().join(' ') }]
      return this.explain({ ...request, messages })
    } catch {
      return {}
    }
  }

  /** A vector for each text of `request.input`. */
  async embed(request) {
    const call = await this.#call().start(this.#native, 'embed', await this.#asked(request))
    if (call.error !== undefined) throw await call.failure()
    call.detach()
    await call.log(call.logEntry)
    return call.value
  }

  /** The models of all providers; asks the services again where `refresh` is set. */
  listModels(options) {
    return new Call().run(this.#native, 'listModels', options)
  }

  chatStream(request) {
    return this.#withStreamMiddleware === undefined ? this.#open(request) : this.#withStreamMiddleware(request)
  }

  async #open(request) {
    const call = this.#call()
    call.makeReader = (head) => {
      const { requestId, provider } = head
      return new StreamReader(call.id, head.model, (delta, model, finishReason) => ({
        requestId,
        provider,
        delta,
        model,
        finishReason,
      }))
    }
    const stream = await call.run(this.#native, 'stream', await this.#asked(request))
    return new StreamResponse(call.head, stream)
  }

  listProviders() {
    return this.#registry.list()
  }
}

function withLayer(layers, middleware) {
  if (typeof middleware !== 'function') throw invalidRequest('middleware', 'must be a function (request, next)')
  return [...layers, middleware]
}

/** The way of a call through `layers` to `last`. */
function through(layers, last) {
  const from = (index) => async (request) =>
    index === layers.length ? last(request) : layers[index](request, from(index + 1))
  return from(0)
}

function strategiesOf(options) {
  const strategies = Object.entries(options?.strategies ?? {})
  for (const [name, strategy] of strategies) {
    if (typeof strategy !== 'function') {
      throw configFault(`strategies.${name}`, 'must be a function (request, candidates)')
    }
  }
  return new Map(strategies)
}

function usageLogTimeoutOf(options) {
  const { onUsageLog, onBudgetWarning, usageLogTimeoutMs = USAGE_LOG_TIMEOUT_MS } = options ?? {}
  for (const [name, handler] of Object.entries({ onUsageLog, onBudgetWarning })) {
    if (handler != null && typeof handler !== 'function') throw configFault(name, 'must be a function')
  }
  if (!(usageLogTimeoutMs >= 0 && usageLogTimeoutMs <= LONGEST_TIMER_MS)) {
    throw configFault('usageLogTimeoutMs', `must be a number from 0 to ${LONGEST_TIMER_MS}`)
  }
  return usageLogTimeoutMs
}

function taskTypesOf({ routes }) {
  const rules = (routes ?? []).filter((rule) => rule.enabled !== false && rule.match?.taskType != null)
  return new Set(rules.map((rule) => rule.match.taskType))
}

/** A streamed answer. */
class StreamResponse {
  #events = undefined

  constructor({ requestId, figures }, stream) {
    this.requestId = requestId
    if (figures.warnings !== undefined) this.warnings = figures.warnings
    this.stream = stream
    this.getUsageSummary = () => summaryOf(stream)
  }

  get events() {
    this.#events ??= new EventReader(this.stream, this.getUsageSummary)
    return this.#events
  }

  toReadableStream() {
    return toReadableStream(new EventReader(this.stream, this.getUsageSummary, 'toReadableStream()'))
  }
}

/** A settled call's answer, once the log is written. */
function answered(call) {
  if (call.error !== undefined) return call.failure().then(rejected)
  call.detach()
  const response = call.value
  response.fallbackFrom ??= undefined
  // The entry of a shared call comes by itself: the call may outlive its caller.
  if (call.logEntry == null) return response
  const logged = call.log(logEntryOf(response, call.logEntry))
  return logged === undefined ? response : logged.then(() => response)
}

function rejected(reason) {
  throw reason
}

/** The answer as a whole: final once the stream has ended, the figures so far before. */
async function summaryOf(stream) {
  const figures = await stream.figures()
  await stream.ended?.logged
  return { ...figures, content: stream.text, fallbackFrom: figures.fallbackFrom }
}

module.exports = { Gateway }
