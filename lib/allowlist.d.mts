export { createModelAllowlist, type ModelAllowlist } from './allowlist.js'
