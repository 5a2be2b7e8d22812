'use strict';

const native = require('../native.js');
const { Call } = require('./bridge.js');
const { GatewayError, configFault, stringify, unwrap } = require('./errors.js');
const { ProviderRegistry, providerTable } = require('./providers.js');
const { StreamReader } = require('./stream.js');
const { UsageLogger, entryOf } = require('./usage.js');

class Gateway {
  #native;
  #registry = new ProviderRegistry();
  #customs = [];
  #logger;

  constructor(options) {
    const config = options?.config;
    if (config === null || typeof config !== 'object') throw GatewayError.configInvalid('config: must be an object');
    const text = stringify(config, 'config', configFault);
    unwrap(native.checkGatewayConfig(text));

    for (const [family, factory] of Object.entries(options.customProviders ?? {})) {
      this.#registry.registerFactory(family, factory);
    }
    this.#registry.load(config.providers);
    const entries = this.#registry.list().map((name) => ({
      name,
      provider: this.#registry.get(name),
      config: ProviderRegistry.configOf(this.#registry, name),
    }));
    this.#native = new native.NativeGateway(text, providerTable(entries, this.#customs));
    this.#logger = new UsageLogger(options.onUsageLog);
  }

  async chat(request) {
    const call = new Call({ request, customs: this.#customs, logger: this.#logger });
    const settled = await call.start((bridge, id, aborted, text) => this.#native.chat(bridge, id, aborted, text));
    if (settled.error !== undefined) throw await call.failure(settled);
    call.detach();
    const response = settled.value;
    response.fallbackFrom ??= undefined;
    const logged = call.log(entryOf(response, settled.log));
    if (logged !== undefined) await logged;
    return response;
  }

  async chatStream(request) {
    const call = new Call({ request, customs: this.#customs, logger: this.#logger, streams: true });
    call.openStream = (head) => {
      const { requestId, provider } = head;
      return new StreamReader(call.id, head.model, (delta, model, finishReason) => ({ requestId, provider, delta, model, finishReason }));
    };
    const { value: stream } = await call.run((bridge, id, aborted, text) => this.#native.stream(bridge, id, aborted, text));
    return { requestId: call.head.requestId, stream, getUsageSummary: () => summaryOf(stream) };
  }

  listProviders() {
    return this.#registry.list();
  }
}

/** The answer as a whole: final once the stream has ended, the figures so far before. */
async function summaryOf(stream) {
  const figures = await stream.figures();
  await stream.ended?.logged;
  return { ...figures, content: stream.text, fallbackFrom: figures.fallbackFrom };
}

module.exports = { Gateway };
