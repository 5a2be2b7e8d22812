'use strict';

/** Tells handlers of each call; without one, a line on the console. */
class UsageLogger {
  #handlers = [];

  constructor(handler) {
    if (handler) this.#handlers.push(handler);
  }

  addHandler(handler) {
    this.#handlers.push(handler);
  }

  async log(entry) {
    if (this.#handlers.length === 0) {
      console.log(`[usage] ${JSON.stringify(entry)}`);
      return;
    }
    for (const handler of this.#handlers) {
      try {
        await handler(entry);
      } catch {
        // A handler's fault is not the call's.
      }
    }
  }
}

module.exports = { UsageLogger };
