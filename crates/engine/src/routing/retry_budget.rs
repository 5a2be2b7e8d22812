//! Keeps further attempts to a share of the traffic, so that a provider in trouble does not get twice the load.

use std::sync::atomic::{AtomicI64, Ordering};

use gateway_model::config::RetryBudget as Config;

/// Further attempts per call, by default.
const RATIO: f64 = 0.15;
/// Further attempts that are there from the start, by default.
const RESERVE: u64 = 30;
/// One further attempt, in the balance's unit.
const ATTEMPT: i64 = 1_000;

/// Each call pays in a fraction, each further attempt takes one out.
#[derive(Debug)]
pub struct RetryBudget {
    /// In thousandths of an attempt.
    balance: AtomicI64,
    deposit: i64,
    /// The cap of the balance: what is saved in good times is not spent at once in bad ones.
    max: i64,
}

impl RetryBudget {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub fn new(config: &Config) -> Self {
        let reserve =
            i64::try_from(config.reserve.unwrap_or(RESERVE)).unwrap_or(i64::MAX / ATTEMPT).min(1 << 40)
                * ATTEMPT;
        let ratio = config.ratio.unwrap_or(RATIO).clamp(0.0, 100.0);
        Self {
            balance: AtomicI64::new(reserve),
            deposit: (ratio * ATTEMPT as f64) as i64,
            max: reserve.max(10 * ATTEMPT),
        }
    }

    /// Counts a call that has begun.
    pub fn deposit(&self) {
        self.add(self.deposit);
    }

    fn add(&self, amount: i64) {
        let more = |balance: i64| Some(balance.saturating_add(amount).min(self.max));
        let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes out a further attempt; `None`: there is none left.
    pub fn withdraw(&self) -> Option<RetryToken<'_>> {
        let less = |balance: i64| (balance >= ATTEMPT).then_some(balance - ATTEMPT);
        let taken = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        taken.then(|| RetryToken(Some(self)))
    }
}

/// A further attempt that the retry budget allows. Refunds itself when dropped, unless it was spent.
#[derive(Debug)]
#[must_use]
pub struct RetryToken<'a>(Option<&'a RetryBudget>);

impl<'a> RetryToken<'a> {
    /// For an attempt that costs nothing, as a call's first.
    pub fn free() -> Self {
        Self(None)
    }

    /// The attempt is sent.
    pub fn spend(mut self) -> SpentToken<'a> {
        SpentToken(self.0.take())
    }
}

impl Drop for RetryToken<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.add(ATTEMPT);
        }
    }
}

/// What an attempt was sent for.
#[derive(Debug)]
pub struct SpentToken<'a>(Option<&'a RetryBudget>);

impl<'a> SpentToken<'a> {
    /// The provider itself has sent nothing: the token is unspent again.
    pub fn unspend(self) -> RetryToken<'a> {
        RetryToken(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(ratio: f64, reserve: u64) -> RetryBudget {
        RetryBudget::new(&Config { ratio: Some(ratio), reserve: Some(reserve) })
    }

    fn spend(budget: &RetryBudget) -> bool {
        budget.withdraw().map(RetryToken::spend).is_some()
    }

    #[test]
    fn further_attempts_are_a_share_of_the_calls_and_a_reserve() {
        let budget = budget(0.25, 3);
        let mut made = 0;
        for _ in 0..400 {
            budget.deposit();
            made += usize::from(spend(&budget));
        }
        assert!((100..=103).contains(&made), "{made}");
    }

    #[test]
    fn the_balance_is_capped() {
        let budget = budget(1.0, 20);
        (0..1_000).for_each(|_| budget.deposit());
        assert_eq!((0..1_000).filter(|_| spend(&budget)).count(), 20);
    }

    #[test]
    fn retry_token_refunds_itself_when_dropped_and_not_when_spent() {
        let budget = budget(0.0, 1);
        let token = budget.withdraw().unwrap();
        assert!(budget.withdraw().is_none());
        drop(token);
        let _ = budget.withdraw().unwrap().spend();
        assert!(budget.withdraw().is_none());
    }

    #[test]
    fn retry_token_of_an_attempt_that_sent_nothing_is_refunded() {
        let budget = budget(0.0, 1);
        drop(budget.withdraw().unwrap().spend().unspend());
        assert!(spend(&budget) && !spend(&budget));
    }

    #[test]
    fn no_ratio_and_no_reserve_mean_no_further_attempt() {
        let budget = budget(0.0, 0);
        budget.deposit();
        assert!(budget.withdraw().is_none());
    }
}
