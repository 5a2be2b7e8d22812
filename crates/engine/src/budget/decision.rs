//! Whether policies let a call pass: the one place that decides.

use serde::Serialize;

use super::amount::Range;
use super::clock::Moment;
use super::ledger::{Account, Ledger};
use super::limits::Verdict;
use super::policy::Scope;
use super::shared_ledger::Want;
use super::warning::{BudgetWarning, BudgetWarningKind, lines};
use crate::state::StoreError;
use gateway_model::config::{Enforcement, OnStoreError};

/// Whether all policies let a request pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardCheck {
    pub allowed: bool,
    /// `[POLICY] REASON` for each limit that is exceeded, including the one that blocks.
    pub warnings: Vec<String>,
    /// The first policy that does not allow the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}

/// The policy that refused a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub policy: String,
    /// One for each limit found exceeded; the last is that of the refusal.
    pub warnings: Vec<BudgetWarning>,
    /// The budget could not be looked up.
    pub store: Option<StoreError>,
}

impl Refusal {
    /// Of a call that could not be looked up where its budgets are counted.
    pub(super) fn of_store(wants: &[Want], error: StoreError) -> Self {
        let closed = |want: &&Want| want.on_store_error == OnStoreError::FailClosed;
        let want = wants.iter().find(closed).or(wants.first());
        let policy = want.map(|want| want.policy.clone()).unwrap_or_default();
        Self { policy, warnings: Vec::new(), store: Some(error) }
    }
}

pub(super) enum Decision<'a> {
    /// With a warning for each limit of a `soft` policy that is exceeded.
    Admitted(Vec<BudgetWarning>),
    Refused(Refusal),
    /// The bounds of this bucket lie on either side of a limit; exact amounts never do.
    Unsure {
        account: u64,
        key: &'a str,
    },
}

/// Compares the policies that apply, in order up to the first that refuses, with what `projected` says that each would
/// stand at with the call. It gets the account and the scope value.
pub(super) fn decide<'a>(
    ledger: &mut Ledger,
    scope: &Scope<'a>,
    now: Moment,
    mut projected: impl FnMut(&mut Account, &'a str) -> Range,
) -> Decision<'a> {
    let mut warnings = Vec::new();
    for (account, key) in ledger.applicable(scope) {
        let projected = projected(account, key);
        let policy = &account.policy;
        match policy.limits.judge(policy.subject, &projected) {
            Verdict::Within => {}
            Verdict::Unsure => return Decision::Unsure { account: account.id, key },
            Verdict::Exceeded(metric) => {
                let reason = policy.limits.reason(policy.subject, metric, &projected.low);
                let is_refused = policy.enforcement != Enforcement::Soft;
                let kind = match is_refused {
                    true => BudgetWarningKind::Refused,
                    false => BudgetWarningKind::SoftLimitExceeded,
                };
                warnings.push(BudgetWarning::new(account, key, now, kind, reason));
                if is_refused {
                    return Decision::Refused(Refusal { policy: policy.name.clone(), warnings, store: None });
                }
            }
        }
    }
    Decision::Admitted(warnings)
}

impl GuardCheck {
    /// A request that passes.
    pub(crate) fn allowed(warnings: &[BudgetWarning]) -> Self {
        Self { allowed: true, warnings: lines(warnings), blocked_by: None }
    }
}

impl From<Refusal> for GuardCheck {
    fn from(refusal: Refusal) -> Self {
        Self { allowed: false, warnings: lines(&refusal.warnings), blocked_by: Some(refusal.policy) }
    }
}
