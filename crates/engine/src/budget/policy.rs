//! A policy as it is compared with calls, and which calls it applies to.

use std::sync::Arc;

use super::call::Terms;
use super::limits::{Limits, Subject};
use crate::state::{Counter, CounterWindow, digest};
use gateway_model::config::{
    BudgetLimits, BudgetPolicy, BudgetWindow, Enforcement, OnStoreError, ScopeKind, UnknownPrice, words,
};

/// The output bound of a call under `strict` enforcement where neither request nor policy sets one.
const DEFAULT_OUTPUT_CAP: u64 = 4096;

/// The fields of a request that policies are scoped by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    pub user_tier: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub feature: Option<&'a str>,
    /// Name of the entry.
    pub provider: Option<&'a str>,
    pub model: Option<&'a str>,
    /// Id of the key that a server's client calls with.
    pub key: Option<&'a str>,
    /// Team of that key.
    pub team: Option<&'a str>,
}

/// What a policy makes of a call without a known price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnpricedCall {
    Refused,
    /// Passes as free, and nobody has said that it may.
    Doubtful,
    /// The policy says what it costs.
    Settled,
}

#[derive(Debug)]
pub(super) struct Policy {
    pub name: String,
    scope: ScopeKind,
    only: Option<String>,
    pub limits: Limits,
    /// The limits as they were written.
    pub configured: BudgetLimits,
    pub subject: Subject,
    pub enforcement: Enforcement,
    pub on_store_error: OnStoreError,
    unknown_price: Option<UnknownPrice>,
    /// Output tokens to ask for at most, where the request sets no bound and `enforcement` is strict.
    pub output_cap: u64,
    pub window: BudgetWindow,
}

impl From<BudgetPolicy> for Policy {
    fn from(policy: BudgetPolicy) -> Self {
        let output_cap = policy.max_output_tokens_per_call.filter(|&cap| cap > 0);
        Self {
            limits: Limits::from(&policy.limits),
            configured: policy.limits,
            name: policy.name,
            scope: policy.scope.kind,
            only: policy.scope.key.filter(|key| !key.is_empty()),
            subject: Subject::of(&policy.window),
            on_store_error: policy.on_store_error.unwrap_or(match policy.enforcement {
                Enforcement::Strict => OnStoreError::FailClosed,
                Enforcement::Soft | Enforcement::Hard => OnStoreError::Local,
            }),
            enforcement: policy.enforcement,
            unknown_price: policy.unknown_price,
            output_cap: output_cap.unwrap_or(DEFAULT_OUTPUT_CAP),
            window: policy.window,
        }
    }
}

impl Policy {
    /// The scope value whose count a request belongs to; `None` if the policy does not apply to it.
    pub fn scope_key<'a>(&self, scope: &Scope<'a>) -> Option<&'a str> {
        let value = match self.scope {
            ScopeKind::Global => return Some("global"),
            ScopeKind::User => scope.user_tier,
            ScopeKind::UserId => scope.user_id,
            ScopeKind::Provider => scope.provider,
            ScopeKind::Feature => scope.feature,
            ScopeKind::Model => scope.model,
            ScopeKind::Key => scope.key,
            ScopeKind::Team => scope.team,
        };
        let value = value.filter(|value| !value.is_empty());
        if self.only.is_some() && self.only.as_deref() != value {
            return None;
        }
        Some(value.unwrap_or("default"))
    }

    /// Whether it has a count for each value of a scope.
    pub fn is_scoped(&self) -> bool {
        self.scope != ScopeKind::Global
    }

    /// The only scope value that it counts; `None`: there may be several.
    pub fn only_value(&self) -> Option<&str> {
        if self.is_scoped() { self.only.as_deref() } else { Some("global") }
    }

    pub fn terms(&self) -> Terms {
        Terms { enforcement: self.enforcement, unknown_price: self.unknown_price }
    }

    /// What a model without a known price is; `None`: the policy has no limit in dollars.
    pub fn unknown_price(&self) -> Option<UnpricedCall> {
        if !self.limits.has_cost() {
            return None;
        }
        Some(match (self.unknown_price, self.enforcement) {
            (Some(UnknownPrice::Refuse), _) | (None, Enforcement::Strict) => UnpricedCall::Refused,
            (Some(_), _) => UnpricedCall::Settled,
            (None, _) => UnpricedCall::Doubtful,
        })
    }

    /// Whether it counts the same calls over the same time as `other`, so that it can take over the counts.
    pub fn counts_like(&self, other: &Self) -> bool {
        (&self.name, self.scope, &self.only, &self.window)
            == (&other.name, other.scope, &other.only, &other.window)
    }

    /// The counter that nodes share, of a scope value in the window that runs.
    pub fn counter(&self, value: &str, wall_ms: i64) -> Counter {
        let window = match self.window.calendar_span(wall_ms) {
            Some(span) => CounterWindow::Until { at_ms: span.ends },
            None => {
                let length = self.window.duration().unwrap_or_default().as_millis();
                CounterWindow::Rolling { length_ms: u64::try_from(length).unwrap_or(u64::MAX) }
            }
        };
        let prefix = self.counter_prefix(wall_ms);
        Counter { key: counter_key(&prefix, value), window }
    }

    /// What the keys of its counters begin with.
    pub fn counter_prefix(&self, wall_ms: i64) -> String {
        let window = match self.window.calendar_span(wall_ms) {
            Some(span) => format!("until{}", span.ends),
            None => format!("{}s", self.window.duration().unwrap_or_default().as_secs()),
        };
        let only = self.only.as_deref().unwrap_or_default();
        let scope = words::<ScopeKind>()[self.scope as usize];
        let parts = [&self.name, scope, only, &window].map(part);
        let prefix = format!("budget:{}:", parts.join(":"));
        if prefix.len() <= MOST_OF_KEY { prefix } else { format!("budget:{}:", hashed(&prefix)) }
    }
}

/// Of the 200 bytes that a key may have.
const MOST_OF_KEY: usize = 120;

/// What the last part of a key begins with where it is a digest.
const DIGEST: char = '#';

/// A part of a key: what separates parts is written otherwise.
fn part(text: &str) -> String {
    text.replace('%', "%25").replace(':', "%3A").replace(DIGEST, "%23")
}

fn counter_key(prefix: &str, value: &str) -> Arc<str> {
    let value = part(value);
    let value = if value.len() <= 200 - MOST_OF_KEY { value } else { hashed(&value) };
    format!("{prefix}{value}").into()
}

fn hashed(text: &str) -> String {
    format!("{DIGEST}{}", digest(&[text]))
}

/// The scope value that ends a key; `None`: only its digest is known.
pub(super) fn scope_value(end_of_key: &str) -> Option<String> {
    (!end_of_key.starts_with(DIGEST))
        .then(|| end_of_key.replace("%23", "#").replace("%3A", ":").replace("%25", "%"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::scoped;
    use super::*;

    #[test]
    fn policies_apply_by_scope() {
        let free = Scope { user_tier: Some("free"), ..Scope::default() };
        let key =
            |kind, only, scope| Policy::from(scoped("p", kind, only, Enforcement::Hard)).scope_key(scope);
        assert_eq!(key(ScopeKind::Global, Some("anything"), &free), Some("global"));
        assert_eq!(key(ScopeKind::User, None, &free), Some("free"));
        assert_eq!(key(ScopeKind::User, Some(""), &free), Some("free"));
        assert_eq!(key(ScopeKind::User, Some("free"), &free), Some("free"));
        assert_eq!(key(ScopeKind::User, Some("pro"), &free), None);
        assert_eq!(key(ScopeKind::Feature, None, &free), Some("default"));
        assert_eq!(key(ScopeKind::Feature, Some("chat"), &free), None);
        let model = Scope { model: Some("m"), ..Scope::default() };
        assert_eq!(key(ScopeKind::Model, Some("m"), &model), Some("m"));
        let client = Scope { key: Some("k1"), team: Some("red"), ..Scope::default() };
        assert_eq!(key(ScopeKind::Key, None, &client), Some("k1"));
        assert_eq!(key(ScopeKind::Key, Some("k2"), &client), None);
        assert_eq!(key(ScopeKind::Team, Some("red"), &client), Some("red"));
        for kind in [ScopeKind::Key, ScopeKind::Team] {
            assert_eq!(key(kind, None, &free), Some("default"), "a call in process");
            assert_eq!(key(kind, Some("k1"), &free), None);
        }
    }
}
