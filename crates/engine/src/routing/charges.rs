//! What attempts that failed were charged nevertheless: known until the call ends, then billed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::Reservation;
use gateway_model::{Provider, TokenUsage};

/// An attempt that failed and was charged.
pub struct Charge {
    pub provider: Arc<dyn Provider>,
    pub model: String,
    /// What it reserved, to be settled with what it used; `None` for a try whose attempt went on.
    pub reservation: Option<Reservation>,
    pub usage: TokenUsage,
    /// It was under way when its call ended.
    pub cut: bool,
}

/// The charges of a call so far.
#[derive(Default)]
pub struct Charges(Mutex<Vec<Charge>>);

impl Charges {
    pub(super) fn push(&self, charge: Charge) {
        // Nobody has the rejected answer to count what was not reported of it.
        let usage = charge.usage.completed(TokenUsage::default());
        let charge = Charge { usage, ..charge };
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
