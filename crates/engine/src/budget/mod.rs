//! Budgets: what calls may spend in a window, for each policy and scope value.
//!
//! [`BudgetTracker`] and [`BudgetGuard::check`] compare plain figures. A gateway's calls go through
//! [`BudgetGuard::admit`]: a call reserves what it may use while it is in flight, and the [`Reservation`] is settled with
//! what it really used or, if dropped, returned.
//!
//! Each file uses only those further down: `admission`, `reservation`, `guard` (the lock), `decision`, `warning`, `standing`, `ledger` (the state),
//! then `policy`, `call`, `output_estimate`, `window`, `clock`, `limits` and `amount`. There is one lock, around the ledger; nothing
//! is called under it that is not ours, and no other lock is taken.

mod admission;
mod amount;
mod call;
mod clock;
mod decision;
mod guard;
mod ledger;
mod limits;
mod output_estimate;
mod policy;
mod reservation;
mod share;
mod shared_ledger;
mod sharing;
mod standing;
mod tracker;
mod warning;
mod window;

#[cfg(test)]
mod admission_tests;
#[cfg(test)]
mod invariant_tests;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod testing;

pub use amount::BudgetUsage;
pub use call::CallEstimate;
pub use decision::{GuardCheck, Refusal};
pub use guard::BudgetGuard;
pub use policy::Scope;
pub use reservation::{Reservation, Settled};
pub use standing::{BudgetStanding, StandingAmount};
pub use tracker::{BudgetCheck, BudgetTracker};
pub use warning::{BudgetWarning, BudgetWarningKind};
