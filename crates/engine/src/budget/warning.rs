//! What budgets warn of.

use std::fmt;

use serde::Serialize;

use super::clock::Moment;
use super::ledger::Account;
use super::standing::{BudgetStanding, standing_of};

/// A limit that is reached, or a call that a policy cannot judge. Shown, it is the line for people: `[POLICY] MESSAGE`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetWarning {
    /// Of the policy and scope value, at this moment.
    #[serde(flatten)]
    pub standing: BudgetStanding,
    pub kind: BudgetWarningKind,
    pub message: String,
    /// Of the call that brought it about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetWarningKind {
    /// The `warnAt` fraction of a limit is reached.
    WarnAt,
    /// A call passes although a limit is exceeded.
    SoftLimitExceeded,
    /// A call, or one of its attempts, is refused.
    Refused,
    /// A call passes as free under a limit in dollars, because nobody knows its price.
    UnknownPrice,
}

impl BudgetWarning {
    /// Of the count of `account` for the scope value `key`.
    pub(super) fn new(
        account: &Account,
        key: &str,
        now: Moment,
        kind: BudgetWarningKind,
        message: String,
    ) -> Self {
        Self { standing: standing_of(account, key, now), kind, message, request_id: None }
    }

    #[must_use]
    pub fn of_call(self, request_id: &str) -> Self {
        Self { request_id: Some(request_id.to_owned()), ..self }
    }
}

impl fmt::Display for BudgetWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[{}] {}", self.standing.policy, self.message)
    }
}

/// The lines for people.
pub(super) fn lines(warnings: &[BudgetWarning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}
