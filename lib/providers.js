'use strict'

const native = require('./addon.js')
const { bridge } = require('./bridge.js')
const { Call } = require('./call.js')
const { warn } = require('./console.js')
const { configFault, stringify } = require('./errors.js')
const { CUSTOM_METHODS } = require('./protocol.js')
const { StreamReader } = require('./stream.js')

/** The native provider behind an object of the built-in classes. */
const natives = new WeakMap()

/** What a provider reads of the environment when it is built, as JavaScript sees it. */
function environment(family, entry) {
  const variables = {}
  for (const name of native.providerVariables(family, entry)) {
    if (process.env[name] !== undefined) variables[name] = process.env[name]
  }
  return JSON.stringify(variables)
}

/** What a program gives in place of environment variables: `{keys, logger}`, while providers are built. */
let given

class BuiltInProvider {
  constructor(family, config) {
    this.name = config.name
    this.family = family
    natives.set(this, nativeProvider(family, config))
  }

  async chat(options) {
    return new Call().run(natives.get(this), 'chat', options)
  }

  async chatStream(options) {
    const call = new Call()
    call.makeReader = (head) => new StreamReader(call.id, head.model, toProviderChunk)
    return streamResult(await call.run(natives.get(this), 'stream', options))
  }

  async embed(options) {
    return new Call().run(natives.get(this), 'embed', options)
  }
}

function nativeProvider(family, config) {
  const entry = stringify(config, 'provider', configFault)
  const built = [family, entry, environment(family, entry)]
  const { NativeProvider } = native
  if (given === undefined || !given.keys.has(config.name)) return new NativeProvider(...built)
  const { keys, logger } = given
  if (keys.isFunction(config.name)) return NativeProvider.withKeyFunction(bridge, ...built, logger)
  return NativeProvider.withKeys(...built, keys.list(config.name))
}

function toProviderChunk(delta, model, finishReason) {
  return { delta, model, finishReason }
}

/** A provider's `StreamResult` over a reader. */
function streamResult(reader) {
  return {
    stream: reader,
    async getUsage() {
      const { inputTokens = 0, outputTokens = 0, totalTokens = 0, usageSource } = reader.ended?.summary ?? {}
      const usage = {
        content: reader.text,
        model: reader.ended?.summary.model ?? reader.model,
        inputTokens,
        outputTokens,
        totalTokens,
      }
      return usageSource === undefined ? usage : { ...usage, usageSource }
    },
  }
}

class OpenAIProvider extends BuiltInProvider {
  constructor(config) {
    super('openai', config)
  }
}

class AnthropicProvider extends BuiltInProvider {
  constructor(config) {
    super('anthropic', config)
  }
}

class OpenRouterProvider extends BuiltInProvider {
  constructor(config) {
    super('openrouter', config)
  }
}

/** The classes of their own that families have; the others need none. */
const CLASSES = { openai: OpenAIProvider, anthropic: AnthropicProvider, openrouter: OpenRouterProvider }

/** The native provider that may answer in place of `provider`: its methods are the built-in ones. */
function nativeOf(provider) {
  const own = natives.get(provider)
  const methods = BuiltInProvider.prototype
  return own !== undefined && CUSTOM_METHODS.every((name) => provider[name] === methods[name]) ? own : undefined
}

function factoryOf(family) {
  const Class = CLASSES[family]
  const factory = Class === undefined ? (config) => new BuiltInProvider(family, config) : (config) => new Class(config)
  builtIn.add(factory)
  return factory
}

/** The factories of the built-in families. */
const builtIn = new WeakSet()

class ProviderRegistry {
  #factories = new Map(native.families().map((family) => [family, factoryOf(family)]))
  #loaded = new Map()

  registerFactory(family, factory) {
    this.#factories.set(family, factory)
  }

  load(configs) {
    this.#load(configs, undefined)
  }

  /** `load`, with keys that the program gives: `{keys, logger}`. */
  static loadWithKeys(registry, configs, inCode) {
    registry.#load(configs, inCode)
  }

  #load(configs, inCode) {
    for (const config of configs) {
      if (config.enabled === false) continue
      const factory = this.#factories.get(config.provider)
      if (factory === undefined) {
        throw new Error(`No provider factory for family "${config.provider}" (entry: "${config.name}")`)
      }
      if (inCode?.keys.has(config.name) && !builtIn.has(factory)) {
        throw configFault(`keys.${config.name}`, "names a provider of the program's own, which knows its key itself")
      }
      try {
        given = builtIn.has(factory) ? inCode : undefined
        this.#loaded.set(config.name, { provider: factory(config), config })
      } catch (error) {
        warn(`[gateway] Skipping provider "${config.name}": ${error instanceof Error ? error.message : error}`)
      } finally {
        given = undefined
      }
    }
  }

  get(name) {
    return this.#loaded.get(name)?.provider
  }

  require(name) {
    const provider = this.get(name)
    if (provider === undefined) throw new Error(`Provider "${name}" not found in registry`)
    return provider
  }

  list() {
    return [...this.#loaded.keys()]
  }

  /** The entry a provider was loaded from. */
  static configOf(registry, name) {
    return registry instanceof ProviderRegistry ? registry.#loaded.get(name)?.config : undefined
  }
}

/**
 * The providers of a gateway or router, for the core. `customs` collects objects that the core calls back by number.
 */
function providerTable(entries, customs) {
  const table = new native.ProviderTable()
  for (const { name, provider, config } of entries) {
    const own = nativeOf(provider)
    if (own !== undefined) {
      table.addNative(name, own)
      continue
    }
    const id = customs.push(provider) - 1
    const object = { id, name: String(provider?.name ?? name), family: String(provider?.family ?? '') }
    const entry = stringify(config ?? { name, provider: object.family }, `providers "${name}"`, configFault)
    table.addCustom(bridge, name, JSON.stringify(object), entry)
  }
  return table
}

module.exports = {
  AnthropicProvider,
  OpenAIProvider,
  OpenRouterProvider,
  ProviderRegistry,
  providerTable,
  streamResult,
  toProviderChunk,
}
