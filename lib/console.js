'use strict'

/** A line for the people who run the program. Whatever a program has made of its console, nothing else is lost by it. */
function warn(line) {
  try {
    console.warn(line)
  } catch {}
}

module.exports = { warn }
