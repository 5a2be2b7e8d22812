'use strict'

// Loads nothing else: it runs where the addon does not.

/** Which models may be asked of which provider; `lists` is `{provider: (string | {prefix})[]}`. */
function createModelAllowlist(lists) {
  if (lists === null || typeof lists !== 'object' || Array.isArray(lists)) {
    throw new TypeError('createModelAllowlist: must be an object of lists by provider')
  }
  const providers = new Map()
  for (const [provider, list] of Object.entries(lists)) {
    if (!Array.isArray(list)) throw new TypeError(`createModelAllowlist: ${provider}: must be an array`)
    const names = new Set()
    const prefixes = []
    for (const [index, item] of list.entries()) {
      if (typeof item === 'string') names.add(item)
      else if (typeof item?.prefix === 'string') prefixes.push(item.prefix)
      else throw new TypeError(`createModelAllowlist: ${provider}[${index}]: must be a string or {prefix}`)
    }
    providers.set(provider, { names, prefixes })
  }
  return {
    /** False for a provider that is not listed. */
    isAllowed(provider, model) {
      const allowed = providers.get(provider)
      if (allowed === undefined || typeof model !== 'string') return false
      return allowed.names.has(model) || allowed.prefixes.some((prefix) => model.startsWith(prefix))
    },
  }
}

/** The same for one question, without a list that is kept. */
const isAllowedModel = (lists, provider, model) => createModelAllowlist(lists).isAllowed(provider, model)

module.exports = { createModelAllowlist, isAllowedModel }
