'use strict'

const native = require('./addon.js')
const { Call } = require('./call.js')
const { configFault, stringify, unwrap } = require('./errors.js')
const { ProviderRegistry, providerTable, streamResult, toProviderChunk } = require('./providers.js')
const { StreamReader } = require('./stream.js')

class Router {
  #rules
  #chains
  #registry
  #native

  constructor(rules, fallbackChains, registry) {
    this.#rules = rules
    this.#chains = fallbackChains ?? []
    this.#registry = registry
    this.#native = new native.NativeRouter(
      stringify(rules, 'routes', configFault),
      stringify(this.#chains, 'fallbackChains', configFault),
    )
  }

  resolve(request) {
    // A rule's target must be loaded even where its chain could do without.
    const names = new Set(this.#rules.map((rule) => rule.target.provider))
    const table = this.#table([...names], [])
    let found
    try {
      found = this.#find(table, request)
    } catch (error) {
      if (error.details?.providerNotLoaded !== undefined) this.#registry.require(error.details.providerNotLoaded)
      if (error.kind !== 'route_not_found') throw error
      const { taskType, feature, userTier } = request
      throw new Error(`No route matches request: taskType=${taskType}, feature=${feature}, userTier=${userTier}`)
    }
    const provider = this.#registry.require(found.provider)
    const fallbackChain = found.chain == null ? undefined : this.#chains.find((chain) => chain.name === found.chain)
    return { rule: this.#rules[found.rule], provider, model: found.model, fallbackChain }
  }

  // Which rule matches does not depend on the messages, unless a rule bounds them: what is no message is not refused here.
  #find(table, request) {
    const settled = this.#native.resolve(table, stringify(request, 'request'))
    const { error } = JSON.parse(settled)
    if (error?.kind !== 'invalid_request' || !error.details.path.startsWith('messages')) return unwrap(settled)
    return unwrap(this.#native.resolve(table, stringify({ ...request, messages: NO_MESSAGES }, 'request')))
  }

  async execute(request, decision) {
    const { call, value } = await this.#run(request, decision, 'execute')
    const { result, entry, fallbackTriggered, fallbackFrom } = value
    const { provider, answer } = call.answered(entry)
    return { decision, providerResult: answer ?? result, actualProvider: provider, fallbackTriggered, fallbackFrom }
  }

  async executeStream(request, decision) {
    const { call, value } = await this.#run(request, decision, 'executeStream')
    const { entry, fallbackTriggered, fallbackFrom } = call.head
    const { provider } = call.answered(entry)
    return { decision, streamResult: streamResult(value), actualProvider: provider, fallbackTriggered, fallbackFrom }
  }

  async #run(request, decision, method) {
    const customs = []
    const chain = decision.fallbackChain
    const target = chain === undefined ? DECIDED : (decision.rule?.target?.provider ?? DECIDED)
    const names = chain === undefined ? [] : chain.steps.map((step) => step.provider)
    const entries = this.#entries(names)
    if (chain === undefined) entries.push({ name: DECIDED, provider: decision.provider })
    const table = providerTable(entries, customs)
    const call = new Call(customs)
    call.makeReader = (head) => new StreamReader(call.id, head.model, toProviderChunk)
    call.answered = (entry) => {
      const { provider } = entries.find(({ name }) => name === entry)
      return { provider, answer: call.answers.get(provider) }
    }
    // What a custom provider answered, as the very object.
    call.answers = new Map()
    const route = JSON.stringify({ provider: target, model: decision.model, chain })
    return { call, value: await call.run(this.#native, method, request, table, route) }
  }

  #table(names, customs) {
    return providerTable(this.#entries(names), customs)
  }

  #entries(names) {
    return [...new Set(names)]
      .map((name) => ({
        name,
        provider: this.#registry.get(name),
        config: ProviderRegistry.configOf(this.#registry, name),
      }))
      .filter(({ provider }) => provider !== undefined)
  }
}

// The entry of a decision's own provider: a program may have put any object there.
const DECIDED = '(decision)'
const NO_MESSAGES = [{ role: 'user', content: '' }]

module.exports = { Router }
