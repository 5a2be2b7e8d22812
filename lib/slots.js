'use strict'

const SLOT_BITS = 20
const SLOT = 2 ** SLOT_BITS - 1

/**
 * Values by numbers that the table gives out. As a `Map` whose entries come and go would, but without the new hash table
 * every so often: the dead ones reach V8's old generation and keep each other alive there.
 */
class Slots {
  #values = []
  #numbers = []
  #free = []

  /** Takes a value; returns its number, an unsigned 32-bit integer. A slot that is used again gets another number. */
  add(value) {
    const slot = this.#free.length > 0 ? this.#free.pop() : this.#values.length
    if (slot > SLOT) throw new Error('too many calls at once')
    const uses = ((this.#numbers[slot] ?? slot) >>> SLOT_BITS) + 1
    const number = ((uses << SLOT_BITS) | slot) >>> 0
    this.#numbers[slot] = number
    this.#values[slot] = value
    return number
  }

  get(number) {
    const slot = number & SLOT
    return this.#numbers[slot] === number ? this.#values[slot] : undefined
  }

  /** `[number, value]` of all that are there. */
  *entries() {
    for (const [slot, value] of this.#values.entries()) if (value !== undefined) yield [this.#numbers[slot], value]
  }

  replace(number, value) {
    this.#values[number & SLOT] = value
  }

  delete(number) {
    const slot = number & SLOT
    if (this.#numbers[slot] !== number || this.#values[slot] === undefined) return
    this.#values[slot] = undefined
    this.#free.push(slot)
  }
}

module.exports = { Slots }
