'use strict'

const SLOT_BITS = 20
const SLOT_MASK = 2 ** SLOT_BITS - 1

/**
 * Values by handles that the table gives out. A `Map` whose entries come and go would allocate a new hash table every so
 * often: dead ones reach V8's old generation and keep each other alive there.
 */
class HandleTable {
  #values = []
  #handles = []
  #free = []

  /** Takes a value; returns its handle, an unsigned 32-bit integer. A slot that is used again gets another handle. */
  add(value) {
    const slot = this.#free.length > 0 ? this.#free.pop() : this.#values.length
    if (slot > SLOT_MASK) throw new Error('too many calls at once')
    const uses = ((this.#handles[slot] ?? slot) >>> SLOT_BITS) + 1
    const handle = ((uses << SLOT_BITS) | slot) >>> 0
    this.#handles[slot] = handle
    this.#values[slot] = value
    return handle
  }

  get(handle) {
    const slot = handle & SLOT_MASK
    return this.#handles[slot] === handle ? this.#values[slot] : undefined
  }

  /** `[handle, value]` of all values in the table. */
  *entries() {
    for (const [slot, value] of this.#values.entries()) if (value !== undefined) yield [this.#handles[slot], value]
  }

  delete(handle) {
    const slot = handle & SLOT_MASK
    if (this.#handles[slot] !== handle || this.#values[slot] === undefined) return
    this.#values[slot] = undefined
    this.#free.push(slot)
  }
}

module.exports = { HandleTable }
