'use strict'

const { configFault } = require('./errors.js')

const VARIABLE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g

/**
 * The configuration with the environment's values in place of `${NAME}`, in its provider entries and its settings. Throws
 * `config_invalid` with the path of a string whose variable is not set.
 */
function withEnvironment(config) {
  const { providers, settings } = config
  if (!mentionsVariables(providers) && !mentionsVariables(settings)) return config
  const filled = { ...config }
  if (providers !== undefined) filled.providers = fill(providers, 'providers')
  if (settings !== undefined) filled.settings = fill(settings, 'settings')
  return filled
}

function mentionsVariables(value) {
  if (typeof value === 'string') return value.includes('${')
  if (value === null || typeof value !== 'object') return false
  return Object.values(value).some(mentionsVariables)
}

function fill(value, path) {
  if (typeof value === 'string') return fillText(value, path)
  if (Array.isArray(value)) return value.map((element, index) => fill(element, `${path}[${index}]`))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, fill(field, `${path}.${key}`)]))
}

function fillText(text, path) {
  return text.replace(VARIABLE, (_, name) => {
    const value = process.env[name]
    if (value === undefined) throw configFault(path, `names the environment variable ${name}, which is not set`)
    return value
  })
}

module.exports = { withEnvironment }
