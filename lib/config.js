'use strict';

const { readFile } = require('node:fs/promises');
const path = require('node:path');
const native = require('../native.js');
const { GatewayError, configFault, stringify, unwrap } = require('./errors.js');

const FILES = {
  providers: 'gateway.providers.json',
  routes: 'gateway.routes.json',
  budgets: 'gateway.budgets.json',
};

/** Families that a `cloudflareGateway` for all entries means. */
const THROUGH_CLOUDFLARE = new Set(['openai', 'anthropic']);

async function readJson(file) {
  let text;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw GatewayError.configInvalid(`Failed to read "${file}": ${error.message}`);
  }
  try {
    // Editors on Windows like to begin files with a byte order mark.
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  } catch {
    throw GatewayError.configInvalid(`Failed to parse JSON in "${file}"`);
  }
}

function validateConfig(raw) {
  unwrap(native.checkConfig(stringify(raw, 'config', configFault)));
}

/** The entries of a providers file. What its object form says of all of them goes to each that has no say of its own. */
function entriesOf(file) {
  if (Array.isArray(file)) return file;
  const { providers, cloudflareGateway } = file;
  if (cloudflareGateway == null) return providers;
  const goesThrough = ({ provider, cloudflareGateway: own }) => own === undefined && THROUGH_CLOUDFLARE.has(provider);
  return providers.map((entry) => (goesThrough(entry) ? { ...entry, cloudflareGateway } : entry));
}

function loadConfigFromObjects(raw) {
  const { providers: file, routes, budgets } = raw ?? {};
  validateConfig({ providers: file, routes, budgets });
  const providers = entriesOf(file);
  return { providers, routes: routes.rules, fallbackChains: routes.fallbackChains ?? [], budgets };
}

async function loadConfig(dir, paths = {}) {
  const file = (name) => path.resolve(dir, paths?.[name] ?? FILES[name]);
  const [providers, routes, budgets] = await Promise.all(['providers', 'routes', 'budgets'].map((name) => readJson(file(name))));
  return loadConfigFromObjects({ providers, routes, budgets });
}

module.exports = { loadConfig, loadConfigFromObjects, validateConfig };
