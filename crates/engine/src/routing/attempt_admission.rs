//! Whether an attempt may be sent: budgets, constraints and limits are asked for each one, about what it is.

use futures::future::BoxFuture;

use crate::budget::{BudgetWarning, Reservation};
use gateway_model::error::Failure;
use gateway_pricing::Asked;

/// Asked before each attempt of a call.
pub trait AttemptAdmission: Send + Sync {
    /// Reserves what an attempt at this entry's model may use; `None`: nothing has to be reserved.
    ///
    /// # Errors
    /// Why it is not to be sent; the next candidate may be.
    fn admit(&self, asked: Asked<'_>) -> Result<Option<Reservation>, AttemptRefusal>;

    /// [`AttemptAdmission::admit`] where it may have to ask a store first; `None`: it need not.
    fn admit_shared<'a>(
        &'a self,
        asked: Asked<'a>,
    ) -> Option<BoxFuture<'a, Result<Option<Reservation>, AttemptRefusal>>>;

    fn standing(&self) -> Standing;

    /// Prints warnings of budgets, each once.
    fn warn(&self, warnings: &[BudgetWarning]);
}

/// An attempt that is passed over.
pub type AttemptRefusal = Failure;

/// How far the attempts of a call have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// None was refused yet, or one was admitted.
    Open,
    /// All that were asked for were refused.
    Refused,
    /// So it was, and further ones would be, too: the limit is the caller's, not the candidate's.
    Closed,
}
