//! Sums of tokens and money.

use std::ops::{Add, AddAssign, SubAssign};

use gateway_model::Usd;

/// What a call used or may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetUsage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost: Usd,
}

/// A sum of usages. Wide, so that absurd token counts cannot saturate: subtracting restores the sum exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub input: u128,
    pub output: u128,
    /// Tokens that count for the sum of both alone: of leases, each of whose figures is granted for itself.
    pub either: u128,
    pub cost: Usd,
}

impl Amount {
    pub fn total(&self) -> u128 {
        self.input.saturating_add(self.output).saturating_add(self.either)
    }
}

impl From<BudgetUsage> for Amount {
    fn from(usage: BudgetUsage) -> Self {
        Self {
            input: usage.input_tokens.into(),
            output: usage.output_tokens.into(),
            either: 0,
            cost: usage.cost,
        }
    }
}

impl From<Amount> for BudgetUsage {
    fn from(amount: Amount) -> Self {
        let tokens = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
        Self { input_tokens: tokens(amount.input), output_tokens: tokens(amount.output), cost: amount.cost }
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            either: self.either.saturating_add(other.either),
            cost: self.cost + other.cost,
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.input = self.input.saturating_sub(other.input);
        self.output = self.output.saturating_sub(other.output);
        self.either = self.either.saturating_sub(other.either);
        self.cost -= other.cost;
    }
}

/// An amount between two bounds, which are equal once it is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub low: Amount,
    pub high: Amount,
}

impl From<Amount> for Range {
    fn from(amount: Amount) -> Self {
        Self { low: amount, high: amount }
    }
}

impl Add for Range {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }
    }
}

impl AddAssign for Range {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Range {
    fn sub_assign(&mut self, other: Self) {
        self.low -= other.low;
        self.high -= other.high;
    }
}
