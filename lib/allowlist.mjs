import allowlist from './allowlist.js'

export const { createModelAllowlist, isAllowedModel } = allowlist
