/** A list of the models that you allow. */
export interface ModelAllowlist {
  /** Whether the model is allowed; false for a provider that is not listed. Needs no `this`. */
  isAllowed(provider: string, model: string): boolean
}

/** Allows every model whose name begins with `prefix`. */
export interface ModelPrefix {
  /** The beginning of the models' names. */
  prefix: string
}

/**
 * Makes a list of allowed models from names and prefixes, by provider. Imported from `ai-gateway-native/allowlist`, it loads no
 * native code.
 *
 * @throws TypeError that names the place, when a list holds anything else.
 */
export function createModelAllowlist(lists: Record<string, (string | ModelPrefix)[]>): ModelAllowlist

/**
 * Whether `lists` allow the model; false for a provider that is not listed. For many questions, {@link createModelAllowlist}
 * reads the lists once.
 *
 * @throws TypeError as {@link createModelAllowlist}.
 */
export function isAllowedModel(
  lists: Record<string, (string | ModelPrefix)[]>,
  provider: string,
  model: string,
): boolean
