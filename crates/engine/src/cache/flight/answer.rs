//! Flights of whole answers.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Flights, Follow, Lead, Shared};
use crate::cache::CachedAnswer;
use gateway_model::error::{Failure, GatewayError};

/// Calls in flight for whole answers.
pub type AnswerFlights = Flights<SharedAnswer>;

type Outcome = Result<Arc<CachedAnswer>, Failure>;

/// The answer, once it is there.
#[derive(Default)]
pub struct SharedAnswer {
    outcome: watch::Sender<Option<Outcome>>,
}

impl SharedAnswer {
    fn end(&self, outcome: Outcome) {
        self.outcome.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(outcome);
            is_first
        });
    }
}

impl Shared for SharedAnswer {
    fn fail(&self, failure: Failure) {
        self.end(Err(failure));
    }
}

impl Lead<SharedAnswer> {
    /// Does the work for all who have joined and will join until it is done. An answer that is to be cached is best put
    /// there by the work itself: then there is no moment at which it is in neither place.
    pub fn run(self, work: impl Future<Output = Outcome> + Send + 'static) -> Follow<SharedAnswer> {
        self.spawn(|mut landing| async move {
            let outcome = work.await;
            landing.free();
            landing.shared.end(outcome);
        })
    }
}

impl Follow<SharedAnswer> {
    /// Waits for the answer. A wait that is given up leaves the flight.
    ///
    /// # Errors
    /// The failure of the work, the same for all; `internal` if it panicked, `aborted` if its leader gave it up.
    pub async fn wait(self) -> Outcome {
        let mut outcome = self.seat.shared.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| Err(GatewayError::internal("a shared call has no end").into()))
    }
}
