'use strict'

module.exports = require('./lib/allowlist.js')
