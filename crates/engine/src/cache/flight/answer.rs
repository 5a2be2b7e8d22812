//! Single flight of whole answers.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Completion, Flights, Follower, Leader};
use gateway_model::Outcome;
use gateway_model::error::{Failure, GatewayError};

/// Calls in flight for whole answers.
pub type AnswerFlights = Flights<SharedAnswer>;

type Ended = Result<Arc<Outcome>, Failure>;

/// The answer, once it is there.
#[derive(Default)]
pub struct SharedAnswer {
    outcome: watch::Sender<Option<Ended>>,
}

impl SharedAnswer {
    fn end(&self, outcome: Ended) {
        self.outcome.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(outcome);
            is_first
        });
    }
}

impl Completion for SharedAnswer {
    fn fail(&self, failure: Failure) {
        self.end(Err(failure));
    }
}

impl Leader<SharedAnswer> {
    /// Does the work for all calls that join until it is done. An answer that is to be cached is written by the work itself,
    /// so that it is never in neither the cache nor a flight.
    pub fn run(self, work: impl Future<Output = Ended> + Send + 'static) -> Follower<SharedAnswer> {
        self.spawn(|mut flight_end| async move {
            let outcome = work.await;
            flight_end.free();
            flight_end.shared.end(outcome);
        })
    }
}

impl Follower<SharedAnswer> {
    /// Waits for the answer. Dropping the wait leaves the flight.
    ///
    /// # Errors
    /// The failure of the work, the same for all; `internal` if it panicked, `aborted` if its leader gave it up.
    pub async fn wait(self) -> Ended {
        let mut outcome = self.waiter.shared.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| {
            Err(GatewayError::internal("bug: shared call finished without a result").into())
        })
    }
}
