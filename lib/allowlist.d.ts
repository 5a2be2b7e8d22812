/** Which models may be asked of which provider. */
export interface ModelAllowlist {
  /** False for a provider that is not listed. */
  isAllowed(provider: string, model: string): boolean
}

/**
 * Names and prefixes of the models that are allowed, by provider. Loads no native code from `ai-gateway-native/allowlist`.
 *
 * @throws TypeError that names the place, when a list holds anything else.
 */
export function createModelAllowlist(lists: Record<string, (string | { prefix: string })[]>): ModelAllowlist
