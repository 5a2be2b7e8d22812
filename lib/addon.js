'use strict'

// The native addon; where it cannot be loaded, an error that says why, and what to do.

const { explainLoadFailure } = require('./load-failure.js')

function load() {
  try {
    return require('../native.js')
  } catch (error) {
    throw explainLoadFailure(error)
  }
}

module.exports = load()
