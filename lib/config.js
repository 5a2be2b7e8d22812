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

function loadConfigFromObjects(raw) {
  const { providers, routes, budgets } = raw ?? {};
  validateConfig({ providers, routes, budgets });
  return { providers, routes: routes.rules, fallbackChains: routes.fallbackChains ?? [], budgets };
}

async function loadConfig(dir, paths = {}) {
  const file = (name) => path.resolve(dir, paths?.[name] ?? FILES[name]);
  const [providers, routes, budgets] = await Promise.all(['providers', 'routes', 'budgets'].map((name) => readJson(file(name))));
  return loadConfigFromObjects({ providers, routes, budgets });
}

module.exports = { loadConfig, loadConfigFromObjects, validateConfig };
