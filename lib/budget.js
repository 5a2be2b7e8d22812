'use strict'

const native = require('./addon.js')
const { warn } = require('./console.js')
const { GatewayError, configFault, stringify, unwrap } = require('./errors.js')

const policyText = (policies) => stringify(policies, 'budgets', configFault)
const usageText = (usage) => stringify(usage, 'usage')
const scopeText = ({ userTier, userId, feature, model } = {}) =>
  stringify({ userTier, userId, feature, model }, 'request')

class BudgetTracker {
  #native = new native.NativeBudgetTracker()

  check(policy, scopeKey, pending) {
    return unwrap(this.#native.check(policyText([policy]), String(scopeKey), usageText(pending)))
  }

  record(policy, scopeKey, usage) {
    unwrap(this.#native.record(policyText([policy]), String(scopeKey), usageText(usage)))
  }
}

class BudgetGuard {
  #native

  constructor(policies) {
    this.#native = new native.NativeBudgetGuard(policyText(policies))
  }

  check(request, estimated) {
    return unwrap(this.#native.check(scopeText(request), usageText(estimated)))
  }

  record(request, usage) {
    unwrap(this.#native.record(scopeText(request), usageText(usage)))
  }

  enforce(request, estimated, requestId) {
    const { allowed, warnings, blockedBy } = this.check(request, estimated)
    for (const warning of warnings) warn(`[budget-warn] ${warning}`)
    if (!allowed && blockedBy !== undefined) throw GatewayError.budgetExceeded(blockedBy, requestId)
  }
}

module.exports = { BudgetGuard, BudgetTracker }
