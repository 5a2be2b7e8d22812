'use strict'

const { configFault } = require('./errors.js')

const A_KEY = 'must be a key, a list of keys, or a function that gives a key'

const isKey = (value) => typeof value === 'string' && value.trim() !== ''

/** The longest text of an error that is told. */
const TOLD = 300

/** Keys that a program gives in place of environment variables, by the names of entries. Nothing shows them. */
class KeysInCode {
  #keys

  constructor(keys) {
    if (keys === null || typeof keys !== 'object' || Array.isArray(keys)) {
      throw configFault('keys', 'must be an object: {ENTRY: key, list of keys, or function}')
    }
    this.#keys = new Map(Object.entries(keys))
    for (const [name, given] of this.#keys) {
      const fits =
        typeof given === 'function' || (Array.isArray(given) ? given.length > 0 && given.every(isKey) : isKey(given))
      if (!fits) throw configFault(`keys.${name}`, A_KEY)
    }
  }

  get names() {
    return [...this.#keys.keys()]
  }

  has(name) {
    return this.#keys.has(name)
  }

  isFunction(name) {
    return typeof this.#keys.get(name) === 'function'
  }

  /** The keys of an entry whose keys are no function. */
  list(name) {
    return [this.#keys.get(name)].flat()
  }

  /** Asks an entry's function, and replies to the core. */
  async give(bridge, callback, name) {
    try {
      const key = await this.#keys.get(name)()
      if (!isKey(key)) throw new Error('it gave no key: it must return text that is not empty')
      bridge.customDone(callback, JSON.stringify(key))
    } catch (error) {
      bridge.customFailed(callback, 0, JSON.stringify({ message: textOf(error).slice(0, TOLD) }))
    }
  }
}

// Anything can be thrown, things that cannot be written as text too.
function textOf(error) {
  try {
    return String(error?.message ?? error)
  } catch {
    return 'it failed with something that has no text'
  }
}

/** Replies to the core that wants a key: `keys` are gone with their gateway. */
function giveKey(bridge, keys, callback, name) {
  if (keys?.has(name)) return keys.give(bridge, callback, name)
  bridge.customFailed(callback, 0, JSON.stringify({ message: 'the gateway is gone' }))
}

module.exports = { KeysInCode, giveKey }
