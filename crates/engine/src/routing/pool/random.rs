//! Chance: a small, fast generator for each thread. Nothing here is secret.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

thread_local! {
    static GENERATOR: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
}

/// A generator for one pick. The pick owns it, so that nothing is borrowed while [`super::TargetState`] runs.
pub(super) fn generator() -> SmallRng {
    SmallRng::seed_from_u64(GENERATOR.with_borrow_mut(SmallRng::next_u64))
}

/// Makes this thread's picks repeatable.
#[cfg(test)]
pub(super) fn seed(seed: u64) {
    GENERATOR.set(SmallRng::seed_from_u64(seed));
}
