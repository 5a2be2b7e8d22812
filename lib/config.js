'use strict'

const { readFile } = require('node:fs/promises')
const path = require('node:path')
const native = require('./addon.js')
const { GatewayError, configFault, refuseNonFinite, stringify, unwrap } = require('./errors.js')

const FILES = {
  providers: 'gateway.providers.json',
  routes: 'gateway.routes.json',
  budgets: 'gateway.budgets.json',
}

/** May be missing. */
const SETTINGS_FILE = 'gateway.settings.json'

/** Families that a `cloudflareGateway` for all entries means. */
const THROUGH_CLOUDFLARE = new Set(['openai', 'anthropic'])

/** `optional`: `undefined` where there is no such file. */
async function readJson(file, optional = false) {
  let text
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (optional && error.code === 'ENOENT') return undefined
    throw GatewayError.configInvalid(`Failed to read "${file}": ${error.message}`)
  }
  // Editors on Windows like to begin files with a byte order mark.
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
  try {
    return JSON.parse(text)
  } catch {
    // V8's own message quotes the text, which may hold a key.
    const fault = native.jsonFault(text) ?? 'not JSON'
    throw GatewayError.configInvalid(`Failed to parse JSON in "${file}": ${fault}`)
  }
}

function validateConfig(raw) {
  const text = stringify(raw, 'config', configFault)
  refuseNonFinite(raw, '', configFault)
  unwrap(native.checkConfig(text))
}

/** The entries of a providers file. What its object form says of all of them goes to each that has no say of its own. */
function entriesOf(file) {
  if (Array.isArray(file)) return file
  const { providers, cloudflareGateway } = file
  if (cloudflareGateway == null) return providers
  const goesThrough = ({ provider, cloudflareGateway: own }) => own === undefined && THROUGH_CLOUDFLARE.has(provider)
  return providers.map((entry) => (goesThrough(entry) ? { ...entry, cloudflareGateway } : entry))
}

function loadConfigFromObjects(raw) {
  const { providers: file, routes, budgets, settings } = raw ?? {}
  validateConfig({ providers: file, routes, budgets, settings })
  const providers = entriesOf(file)
  const config = { providers, routes: routes.rules, fallbackChains: routes.fallbackChains ?? [], budgets }
  return settings == null ? config : { ...config, settings }
}

async function loadConfig(dir, paths = {}) {
  const file = (name) => path.resolve(dir, paths?.[name] ?? FILES[name])
  const settingsFile = path.resolve(dir, paths?.settings ?? SETTINGS_FILE)
  const [providers, routes, budgets, settings] = await Promise.all([
    readJson(file('providers')),
    readJson(file('routes')),
    readJson(file('budgets')),
    readJson(settingsFile, paths?.settings === undefined),
  ])
  return loadConfigFromObjects({ providers, routes, budgets, settings })
}

module.exports = { loadConfig, loadConfigFromObjects, validateConfig }
