//! The attempts of a call, as its answer and its usage log list them.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::routed::HedgeLoser;
use gateway_model::AttemptRecord;
use gateway_model::error::HEDGE_LOST;

/// The attempts of a call so far.
#[derive(Debug, Default)]
pub struct AttemptLog(Mutex<Vec<AttemptRecord>>);

impl AttemptLog {
    pub(super) fn failed(&self, provider: &str, model: &str, error_code: &str, since: Instant) {
        self.push(provider, model, Some(error_code.to_owned()), since);
    }

    /// Logs an attempt that has answered, unless it is the call's first: one attempt alone is not listed.
    pub(super) fn answered(&self, provider: &str, model: &str, since: Instant) {
        if !self.is_empty() {
            self.push(provider, model, None, since);
        }
    }

    /// Logs each hedge loser, then the winner, which began at `since`, unless an earlier failure has already made us log it.
    pub(super) fn hedge_lost(&self, losers: &[HedgeLoser], winner: (&str, &str), since: Instant) {
        let is_first = self.is_empty();
        for HedgeLoser { provider, model, started, .. } in losers {
            self.failed(provider.name(), model, HEDGE_LOST, *started);
        }
        if is_first {
            self.answered(winner.0, winner.1, since);
        }
    }

    /// Empty when the first attempt answered.
    pub fn if_several(&self) -> Vec<AttemptRecord> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() > 1 { records.clone() } else { Vec::new() }
    }

    fn push(&self, provider: &str, model: &str, error_code: Option<String>, since: Instant) {
        #[allow(clippy::cast_possible_truncation)]
        let latency_ms = since.elapsed().as_millis() as u64;
        let record =
            AttemptRecord { provider: provider.to_owned(), model: model.to_owned(), error_code, latency_ms };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
