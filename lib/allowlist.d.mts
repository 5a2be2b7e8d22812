export { createModelAllowlist, isAllowedModel, type ModelAllowlist } from './allowlist.js'
