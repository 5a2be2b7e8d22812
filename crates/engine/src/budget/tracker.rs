//! Budget figures on their own: compared and recorded, nothing reserved.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::amount::{Amount, BudgetUsage, Range};
use super::clock::Clock;
use super::limits::{Limits, Subject, Verdict};
use super::window::Buckets;
use gateway_model::config::{BudgetPolicy, BudgetWindow, Enforcement};

/// Whether a policy lets a call pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BudgetCheck {
    pub allowed: bool,
    /// A limit is exceeded, or its `warnAt` fraction reached.
    pub warn: bool,
    /// Which limit is exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl BudgetCheck {
    /// Compares `projected` with `limits`.
    fn of(limits: &Limits, subject: Subject, enforcement: Enforcement, projected: Amount) -> Self {
        match limits.judge(subject, &Range::from(projected)) {
            Verdict::Exceeded(metric) => Self {
                allowed: enforcement == Enforcement::Soft,
                warn: true,
                reason: Some(limits.reason(subject, metric, &projected)),
            },
            Verdict::Within | Verdict::Unsure => Self {
                allowed: true,
                warn: subject == Subject::Window && limits.warns(&projected),
                reason: None,
            },
        }
    }
}

/// What was spent, by policy name, scope key and window.
#[derive(Debug, Default)]
pub struct BudgetTracker {
    windows: Mutex<HashMap<BudgetWindow, Buckets<(String, String)>>>,
    clock: Clock,
}

impl BudgetTracker {
    /// Whether `pending` on top of what was recorded stays within the limits of `policy`.
    pub fn check(&self, policy: &BudgetPolicy, scope_key: &str, pending: BudgetUsage) -> BudgetCheck {
        let limits = Limits::from(&policy.limits);
        let spent = self.in_bucket(policy, scope_key, |spent| *spent);
        let subject = if spent.is_some() { Subject::Window } else { Subject::Request };
        let projected = spent.unwrap_or_default() + Amount::from(pending);
        BudgetCheck::of(&limits, subject, policy.enforcement, projected)
    }

    /// Adds `usage` to the window of `policy`; the window `request` has nothing to add to.
    pub fn record(&self, policy: &BudgetPolicy, scope_key: &str, usage: BudgetUsage) {
        self.in_bucket(policy, scope_key, |spent| *spent += Amount::from(usage));
    }

    fn in_bucket<T>(
        &self,
        policy: &BudgetPolicy,
        scope_key: &str,
        act: impl FnOnce(&mut Amount) -> T,
    ) -> Option<T> {
        if Subject::of(&policy.window) == Subject::Request {
            return None;
        }
        let now = self.clock.now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = &policy.window;
        let buckets = windows.entry(window.clone()).or_insert_with(|| Buckets::new(window.clone(), now));
        Some(act(&mut buckets.current((policy.name.clone(), scope_key.to_owned()), now).spent))
    }

    #[cfg(test)]
    fn with_clock(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{ManualTime, policy, usage};
    use super::*;
    use gateway_model::config::BudgetLimits;

    fn limited(limits: BudgetLimits) -> BudgetPolicy {
        BudgetPolicy { limits, ..policy("p", BudgetWindow::Day, Enforcement::Hard) }
    }

    fn reason(policy: &BudgetPolicy, spent: BudgetUsage, pending: BudgetUsage) -> Option<String> {
        let tracker = BudgetTracker::default();
        tracker.record(policy, "k", spent);
        tracker.check(policy, "k", pending).reason
    }

    #[test]
    fn every_limit_has_its_reason() {
        let total = limited(BudgetLimits { max_total_tokens: Some(10), ..BudgetLimits::default() });
        assert_eq!(reason(&total, usage(5, 0, 0.0), usage(0, 5, 0.0)), None);
        let text = reason(&total, usage(5, 0, 0.0), usage(1, 5, 0.0));
        assert_eq!(text.as_deref(), Some("total tokens 11 > limit 10"));

        let input = limited(BudgetLimits { max_input_tokens: Some(10), ..BudgetLimits::default() });
        let text = reason(&input, usage(10, 0, 0.0), usage(1, 0, 0.0));
        assert_eq!(text.as_deref(), Some("input tokens exceeded limit 10"));

        let output = limited(BudgetLimits { max_output_tokens: Some(10), ..BudgetLimits::default() });
        let text = reason(&output, usage(0, 10, 0.0), usage(0, 1, 0.0));
        assert_eq!(text.as_deref(), Some("output tokens exceeded limit 10"));

        let cost = limited(BudgetLimits { max_cost_usd: Some(0.5), ..BudgetLimits::default() });
        assert_eq!(reason(&cost, usage(0, 0, 0.25), usage(0, 0, 0.25)), None);
        let text = reason(&cost, usage(0, 0, 0.5), usage(0, 0, 0.1));
        assert_eq!(text.as_deref(), Some("cost $0.6000 > limit $0.5"));
    }

    #[test]
    fn request_window_looks_at_the_request_alone() {
        let request = |limits| BudgetPolicy { window: BudgetWindow::Request, ..limited(limits) };
        let input = request(BudgetLimits { max_input_tokens: Some(10), ..BudgetLimits::default() });
        assert_eq!(reason(&input, usage(100, 0, 0.0), usage(10, 0, 0.0)), None);
        let text = reason(&input, usage(0, 0, 0.0), usage(11, 0, 0.0));
        assert_eq!(text.as_deref(), Some("request input tokens 11 > limit 10"));

        let cost = request(BudgetLimits { max_cost_usd: Some(1.0), ..BudgetLimits::default() });
        let text = reason(&cost, usage(0, 0, 0.0), usage(0, 0, 1.5));
        assert_eq!(text.as_deref(), Some("request cost > limit $1"));

        let output = request(BudgetLimits { max_output_tokens: Some(10), ..BudgetLimits::default() });
        let text = reason(&output, usage(0, 0, 0.0), usage(0, 11, 0.0));
        assert_eq!(text.as_deref(), Some("request output tokens 11 > limit 10"));

        let total = request(BudgetLimits { max_total_tokens: Some(10), ..BudgetLimits::default() });
        let text = reason(&total, usage(0, 0, 0.0), usage(6, 5, 0.0));
        assert_eq!(text.as_deref(), Some("request total tokens 11 > limit 10"));
    }

    #[test]
    fn only_soft_enforcement_allows_exceeding_a_limit() {
        let tracker = BudgetTracker::default();
        let mut policy = limited(BudgetLimits { max_total_tokens: Some(1), ..BudgetLimits::default() });
        for (enforcement, allowed) in
            [(Enforcement::Soft, true), (Enforcement::Hard, false), (Enforcement::Strict, false)]
        {
            policy.enforcement = enforcement;
            let check = tracker.check(&policy, "k", usage(2, 0, 0.0));
            assert_eq!((check.allowed, check.warn), (allowed, true));
        }
    }

    #[test]
    fn warn_at_warns_without_a_reason() {
        let tracker = BudgetTracker::default();
        let mut policy =
            limited(BudgetLimits { max_cost_usd: Some(10.0), warn_at: Some(0.8), ..BudgetLimits::default() });
        assert!(!tracker.check(&policy, "k", usage(0, 0, 7.99)).warn);
        let check = tracker.check(&policy, "k", usage(0, 0, 8.0));
        assert_eq!(check, BudgetCheck { allowed: true, warn: true, reason: None });
        assert_eq!(serde_json::to_string(&check).unwrap(), r#"{"allowed":true,"warn":true}"#);
        policy.window = BudgetWindow::Request;
        assert!(!tracker.check(&policy, "k", usage(0, 0, 9.0)).warn);
    }

    #[test]
    fn keys_names_and_windows_are_counted_apart() {
        let tracker = BudgetTracker::default();
        let day = limited(BudgetLimits { max_total_tokens: Some(5), ..BudgetLimits::default() });
        let hour = BudgetPolicy { window: BudgetWindow::Hour, ..day.clone() };
        let other = BudgetPolicy { name: "q".into(), ..day.clone() };
        tracker.record(&day, "k", usage(6, 0, 0.0));
        assert!(!tracker.check(&day, "k", usage(0, 0, 0.0)).allowed);
        assert!(tracker.check(&day, "l", usage(0, 0, 0.0)).allowed);
        assert!(tracker.check(&hour, "k", usage(0, 0, 0.0)).allowed);
        assert!(tracker.check(&other, "k", usage(0, 0, 0.0)).allowed);
    }

    #[test]
    fn check_begins_the_window_too() {
        let time = ManualTime::new();
        let tracker = BudgetTracker::with_clock(time.clock());
        let policy = limited(BudgetLimits { max_total_tokens: Some(5), ..BudgetLimits::default() });
        tracker.check(&policy, "k", usage(0, 0, 0.0));
        time.advance(Duration::from_secs(23 * 3600));
        tracker.record(&policy, "k", usage(6, 0, 0.0));
        assert!(!tracker.check(&policy, "k", usage(0, 0, 0.0)).allowed);
        time.advance(Duration::from_secs(3600));
        assert!(tracker.check(&policy, "k", usage(0, 0, 0.0)).allowed);
    }
}
