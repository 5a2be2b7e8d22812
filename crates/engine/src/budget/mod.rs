//! Budgets: what calls may spend in a window, per policy and scope value.
//!
//! [`BudgetTracker`] and [`BudgetGuard::check`] compare plain figures. A gateway's calls go through
//! [`BudgetGuard::admit`]: a call reserves what it may use while it is in flight, and the [`Reservation`] is settled
//! to the real figure or, dropped, returned.

mod admission;
mod amount;
mod call;
mod guard;
mod limits;
mod mean;
mod reservation;
mod tracker;
mod window;

#[cfg(test)]
mod admission_tests;
#[cfg(test)]
mod invariant_tests;
#[cfg(test)]
mod testing;

pub use amount::BudgetUsage;
pub use call::CallEstimate;
pub use guard::{BudgetGuard, GuardCheck, Scope};
pub use reservation::{Refusal, Reservation};
pub use tracker::{BudgetCheck, BudgetTracker};
