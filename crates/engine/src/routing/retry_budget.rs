//! Keeps further attempts to a share of the traffic, so that a provider in trouble is not asked twice as much.

use std::sync::atomic::{AtomicI64, Ordering};

use gateway_model::config::RetryBudget as Config;

const RATIO: f64 = 0.15;
const RESERVE: u64 = 30;
const WHOLE: i64 = 1_000;

/// Each call pays in a fraction, each further attempt takes one out.
#[derive(Debug)]
pub struct RetryBudget {
    /// In thousandths.
    balance: AtomicI64,
    deposit: i64,
    /// What is saved in good times is not spent at once in bad ones.
    most: i64,
}

impl RetryBudget {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub fn new(config: &Config) -> Self {
        let reserve =
            i64::try_from(config.reserve.unwrap_or(RESERVE)).unwrap_or(i64::MAX / WHOLE).min(1 << 40) * WHOLE;
        let ratio = config.ratio.unwrap_or(RATIO).clamp(0.0, 100.0);
        Self {
            balance: AtomicI64::new(reserve),
            deposit: (ratio * WHOLE as f64) as i64,
            most: reserve.max(10 * WHOLE),
        }
    }

    /// A call has begun.
    pub fn deposit(&self) {
        self.add(self.deposit);
    }

    /// What was taken out was not needed.
    pub fn give_back(&self) {
        self.add(WHOLE);
    }

    fn add(&self, amount: i64) {
        let more = |balance: i64| Some(balance.saturating_add(amount).min(self.most));
        let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes a further attempt out; false: there is none left.
    pub fn withdraw(&self) -> bool {
        let less = |balance: i64| (balance >= WHOLE).then_some(balance - WHOLE);
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_attempts_are_a_share_of_the_calls_and_a_reserve() {
        let budget = RetryBudget::new(&Config { ratio: Some(0.25), reserve: Some(3) });
        let mut made = 0;
        for _ in 0..400 {
            budget.deposit();
            made += usize::from(budget.withdraw());
        }
        assert!((100..=103).contains(&made), "{made}");
    }

    #[test]
    fn savings_are_bounded() {
        let budget = RetryBudget::new(&Config { ratio: Some(1.0), reserve: Some(20) });
        (0..1_000).for_each(|_| budget.deposit());
        assert_eq!((0..1_000).filter(|_| budget.withdraw()).count(), 20);
    }

    #[test]
    fn what_is_given_back_can_be_taken_out_again() {
        let budget = RetryBudget::new(&Config { ratio: Some(0.0), reserve: Some(1) });
        assert!(budget.withdraw() && !budget.withdraw());
        budget.give_back();
        assert!(budget.withdraw() && !budget.withdraw());
    }

    #[test]
    fn no_ratio_and_no_reserve_mean_no_further_attempt() {
        let budget = RetryBudget::new(&Config { ratio: Some(0.0), reserve: Some(0) });
        budget.deposit();
        assert!(!budget.withdraw());
    }
}
