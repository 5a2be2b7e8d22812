//! US dollars, exact: sums do not drift, however many calls they add up.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

const PICO: f64 = 1e12;

/// An amount in picodollars (10⁻¹² USD): fine enough for one token of the cheapest model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i128);

impl Usd {
    pub const ZERO: Self = Self(0);

    /// The nearest picodollar; NaN is zero.
    #[allow(clippy::cast_possible_truncation)]
    pub fn from_dollars(dollars: f64) -> Self {
        Self((dollars * PICO).round() as i128)
    }

    pub fn from_picodollars(amount: u64) -> Self {
        Self(i128::from(amount))
    }

    /// `None`: below zero, or more than 18 million dollars.
    pub fn picodollars(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PICO
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Picodollars.
impl From<i128> for Usd {
    fn from(picodollars: i128) -> Self {
        Self(picodollars)
    }
}

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Usd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Usd {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_small_amounts_add_up_exactly() {
        let total: Usd = std::iter::repeat_n(Usd::from_dollars(0.000_000_15), 1_000_000).sum();
        assert_eq!(total.dollars(), 0.15);
    }

    #[test]
    fn nan_is_zero() {
        assert!(Usd::from_dollars(f64::NAN).is_zero());
    }
}
