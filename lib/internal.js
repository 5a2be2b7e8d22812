'use strict'

// What parts of this package ask of each other, and programs do not. The names are shared by two copies of the package.

/** A method of gateways: the set of task types that enabled rules match. */
const TASK_TYPES = Symbol.for('ai-gateway-native.taskTypes')

/** What timers take at most, in milliseconds: a longer one would end at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

module.exports = { LONGEST_TIMER_MS, TASK_TYPES }
