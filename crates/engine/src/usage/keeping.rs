//! Where what a call came to is kept, beside its caller's log.

use std::sync::Arc;

use crate::budget::BudgetGuard;
use crate::records::{Beside, Books, Entry, RatesUsed, usage_row};
use crate::state::Charge;
use gateway_model::UsageLog;
use gateway_pricing::{Asked, PriceBook};

/// The books of a gateway, and its budgets where they are shared.
pub struct Keeping {
    /// `None`: no rows are kept, and charges go to the state at once.
    pub books: Option<Arc<Books>>,
    pub budgets: Arc<BudgetGuard>,
    pub prices: PriceBook,
}

impl Keeping {
    /// Keeps an entry of the log as a row, and passes on what counters are charged for it. `None`: there is nothing to wait for.
    pub(super) fn enter(&self, entry: &UsageLog, beside: Beside, charges: Vec<Charge>) -> Option<Entry> {
        match &self.books {
            Some(books) => Some(books.enter(Some(usage_row(entry, beside)), charges)),
            None => {
                self.budgets.charge(charges);
                None
            }
        }
    }

    /// The price that a call was reckoned with.
    pub(super) fn rates(&self, asked: Asked<'_>, reported: &str) -> Option<RatesUsed> {
        self.books.as_ref()?;
        let (input, output) = self.prices.billed_quote(asked, reported)?.per_1k();
        Some(RatesUsed { input, output })
    }
}
