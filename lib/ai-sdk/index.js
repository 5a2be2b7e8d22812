'use strict'

module.exports = require('./provider.js')
