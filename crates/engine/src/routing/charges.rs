//! What attempts that failed were charged nevertheless: known until the call ends, then billed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::Reservation;
use crate::state;
use gateway_model::{Provider, TokenUsage, Usd};

/// An attempt that failed and was charged.
pub struct Charge {
    pub provider: Arc<dyn Provider>,
    pub model: String,
    /// What it reserved, to be settled with what it used; `None` for a try whose attempt went on.
    pub reservation: Option<Reservation>,
    /// What counters were charged where the reservation was settled already.
    pub counted: Vec<state::Charge>,
    pub usage: TokenUsage,
    pub cost: Usd,
    /// It was under way when its call ended.
    pub cut: bool,
}

/// What an attempt, or a try of it, was charged.
pub struct Charged {
    pub usage: TokenUsage,
    /// As [`Charge::reservation`].
    pub reservation: Option<Reservation>,
    /// As [`Charge::cut`].
    pub cut: bool,
}

/// The charges of a call so far.
#[derive(Default)]
pub struct Charges(Mutex<Vec<Charge>>);

impl Charges {
    /// Notes what counters were charged for the last of them.
    pub(super) fn add_counted(&self, counted: Vec<state::Charge>) {
        if let Some(last) = self.0.lock().unwrap_or_else(PoisonError::into_inner).last_mut() {
            last.counted.extend(counted);
        }
    }

    pub(super) fn push(&self, charge: Charge) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(charge);
    }

    /// Takes the last of them, where its attempt was under way when the call ended.
    pub fn take_cut(&self) -> Option<Charge> {
        let mut charges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        charges.pop_if(|charge| charge.cut)
    }

    /// Takes them, in the order in which they failed.
    pub fn take(&self) -> Vec<Charge> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
