'use strict'

module.exports = require('./lib/ai-sdk/provider.js')
