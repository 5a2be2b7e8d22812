import { loadConfig } from 'ai-gateway-native'

/**
 * The configuration of `dir` without the providers whose key is not set, and without the steps that name them. The
 * gateway would pass over such steps too, yet count each as a failure that a fallback had to mend.
 *
 * @returns `{config, off}`; `off` lists what was left out, as `{name, missing}`
 */
export async function loadUsableConfig(dir) {
  const config = await loadConfig(dir)
  const keyless = config.providers.filter((entry) => !hasKey(entry))
  const off = keyless.map(({ name, auth }) => ({ name, missing: auth.envVar }))
  const gone = new Set(off.map(({ name }) => name))
  const here = ({ provider }) => !gone.has(provider)

  const fallbackChains = config.fallbackChains
    .map((chain) => ({ ...chain, steps: chain.steps.filter(here) }))
    .filter((chain) => chain.steps.length > 0)
  const routes = config.routes
    .map((rule) => {
      // The chain's first step is the one that is tried first, whatever `provider` says beside it.
      const provider = firstStep(rule, fallbackChains)?.provider ?? rule.target.provider
      return { ...rule, target: { ...rule.target, provider } }
    })
    .filter((rule) => here(rule.target))
  return { config: { ...config, providers: config.providers.filter(here), routes, fallbackChains }, off }
}

/** Who answers calls of each rule, first choice first. */
export function answerers({ routes, fallbackChains }) {
  return routes.map((rule) => {
    const steps = fallbackChains.find(({ name }) => name === rule.target.fallbackChain)?.steps ?? [rule.target]
    return { rule: rule.name, providers: steps.map(({ provider }) => provider) }
  })
}

function hasKey({ auth }) {
  return auth.type === 'none' || Boolean(process.env[auth.envVar]?.trim())
}

function firstStep(rule, chains) {
  return chains.find(({ name }) => name === rule.target.fallbackChain)?.steps[0]
}
