'use strict';

const native = require('../native.js');
const { Call, bridge } = require('./bridge.js');
const { configFault, stringify } = require('./errors.js');
const { StreamReader } = require('./stream.js');

// Read when a provider is built, as JavaScript sees them.
const NETWORK_VARIABLES = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'https_proxy', 'http_proxy', 'no_proxy', 'NODE_EXTRA_CA_CERTS'];

/** The native provider behind an object of the built-in classes. */
const natives = new WeakMap();

function environment(config) {
  const names = [...NETWORK_VARIABLES, config?.auth?.envVar, ...(config?.auth?.envVars ?? [])];
  const variables = {};
  for (const name of names) {
    if (typeof name === 'string' && process.env[name] !== undefined) variables[name] = process.env[name];
  }
  return JSON.stringify(variables);
}

class BuiltInProvider {
  constructor(family, config) {
    this.name = config.name;
    this.family = family;
    natives.set(this, new native.NativeProvider(family, stringify(config, 'provider', configFault), environment(config)));
  }

  async chat(options) {
    return new Call().run(natives.get(this), 'chat', options);
  }

  async chatStream(options) {
    const call = new Call();
    call.openStream = (head) => new StreamReader(call.id, head.model, toProviderChunk);
    return streamResult(await call.run(natives.get(this), 'stream', options));
  }
}

function toProviderChunk(delta, model, finishReason) {
  return { delta, model, finishReason };
}

/** A provider's `StreamResult` over a reader. */
function streamResult(reader) {
  return {
    stream: reader,
    async getUsage() {
      const { inputTokens = 0, outputTokens = 0, totalTokens = 0, usageSource } = reader.ended?.summary ?? {};
      const usage = { content: reader.text, model: reader.ended?.summary.model ?? reader.model, inputTokens, outputTokens, totalTokens };
      return usageSource === undefined ? usage : { ...usage, usageSource };
    },
  };
}

class OpenAIProvider extends BuiltInProvider {
  constructor(config) {
    super('openai', config);
  }
}

class AnthropicProvider extends BuiltInProvider {
  constructor(config) {
    super('anthropic', config);
  }
}

class OpenRouterProvider extends BuiltInProvider {
  constructor(config) {
    super('openrouter', config);
  }
}

class MockProvider extends BuiltInProvider {
  constructor(config) {
    super('mock', config);
  }
}

/** The native provider that may answer in place of `provider`: its methods are the built-in ones. */
function nativeOf(provider) {
  const own = natives.get(provider);
  const { chat, chatStream } = BuiltInProvider.prototype;
  return own !== undefined && provider.chat === chat && provider.chatStream === chatStream ? own : undefined;
}

class ProviderRegistry {
  #factories = new Map([
    ['openai', (config) => new OpenAIProvider(config)],
    ['anthropic', (config) => new AnthropicProvider(config)],
    ['openrouter', (config) => new OpenRouterProvider(config)],
    ['mock', (config) => new MockProvider(config)],
  ]);
  #loaded = new Map();

  registerFactory(family, factory) {
    this.#factories.set(family, factory);
  }

  load(configs) {
    for (const config of configs) {
      if (config.enabled === false) continue;
      const factory = this.#factories.get(config.provider);
      if (factory === undefined) {
        throw new Error(`No provider factory for family "${config.provider}" (entry: "${config.name}")`);
      }
      try {
        this.#loaded.set(config.name, { provider: factory(config), config });
      } catch (error) {
        console.warn(`[gateway] Skipping provider "${config.name}": ${error instanceof Error ? error.message : error}`);
      }
    }
  }

  get(name) {
    return this.#loaded.get(name)?.provider;
  }

  require(name) {
    const provider = this.get(name);
    if (provider === undefined) throw new Error(`Provider "${name}" not found in registry`);
    return provider;
  }

  list() {
    return [...this.#loaded.keys()];
  }

  /** The entry a provider was loaded from. */
  static configOf(registry, name) {
    return registry instanceof ProviderRegistry ? registry.#loaded.get(name)?.config : undefined;
  }
}

/**
 * The providers of a gateway or router, for the core. `customs` collects objects that the core calls back by number.
 */
function providerTable(entries, customs) {
  const table = new native.ProviderTable();
  for (const { name, provider, config } of entries) {
    const own = nativeOf(provider);
    if (own !== undefined) {
      table.addNative(name, own);
      continue;
    }
    const id = customs.push(provider) - 1;
    const object = { id, name: String(provider?.name ?? name), family: String(provider?.family ?? '') };
    const entry = stringify(config ?? { name, provider: object.family }, `providers "${name}"`, configFault);
    table.addCustom(bridge, name, JSON.stringify(object), entry);
  }
  return table;
}

module.exports = {
  AnthropicProvider,
  OpenAIProvider,
  OpenRouterProvider,
  ProviderRegistry,
  providerTable,
  streamResult,
  toProviderChunk,
};
