//! The stores of a gateway, as whoever opens them hands them over.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::budget::BudgetGuard;
use crate::records::{Books, Lag, Recorder, UsageReader};
use crate::routing::SharedBreakers;
use crate::state::StateStore;
use gateway_model::config::Settings;

/// Where a gateway's state and records live; `None` of a part: in this process alone, or nowhere.
#[derive(Clone)]
pub struct Stores {
    pub state: Option<Arc<dyn StateStore>>,
    pub recorder: Option<Arc<dyn Recorder>>,
    pub usage: Option<Arc<dyn UsageReader>>,
    /// This process's name to the state: that of its journal, where it has one.
    pub node: Arc<str>,
    /// Hears lines for the operator.
    pub report: Arc<dyn Fn(String) + Send + Sync>,
}

/// A gateway's hold on its stores, for as long as it runs.
pub(crate) struct Holdings {
    pub stores: Stores,
    pub books: Option<Arc<Books>>,
    pub breakers: Option<Arc<SharedBreakers>>,
    /// Fires when the last gateway that holds them is gone, or closed.
    released: CancellationToken,
}

/// What could not be finished when a gateway was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOver {
    /// Records that are not in the database: in the journal, or lost where there is none.
    pub records: Lag,
    /// Counts have not reached the state.
    pub counts: bool,
}

impl Holdings {
    pub fn new(stores: Stores, settings: &Settings) -> Self {
        let books = stores.recorder.clone().map(|recorder| {
            Books::new(recorder, stores.node.clone(), settings.records, stores.report.clone())
        });
        let breakers = stores.state.clone().map(|state| Arc::new(SharedBreakers::new(state)));
        Self { stores, books, breakers, released: CancellationToken::new() }
    }

    /// What has to run beside the calls.
    pub fn keepers(&self, budgets: &Arc<BudgetGuard>) -> Vec<BoxFuture<'static, ()>> {
        let mut keepers = Vec::new();
        if let Some(books) = &self.books {
            keepers.push(books.clone().run(budgets.clone()).boxed());
        }
        if self.stores.state.is_some() {
            keepers.push(self.until_released(budgets.clone().keep_sharing()));
        }
        if let Some(breakers) = self.breakers.clone() {
            keepers.push(self.until_released(async move { breakers.keep().await }));
        }
        keepers
    }

    fn until_released(&self, work: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
        let released = self.released.clone();
        async move {
            released.run_until_cancelled(work).await;
        }
        .boxed()
    }

    /// Writes what there is, for `grace` at most.
    pub async fn close(&self, budgets: &Arc<BudgetGuard>, grace: Duration) -> LeftOver {
        let mut left = LeftOver::default();
        if let Some(books) = &self.books {
            books.drain(grace).await;
        }
        if let Some(state) = &self.stores.state {
            left.counts = !budgets.settle_up(grace).await;
            state.close().await;
        }
        if let Some(books) = &self.books {
            left.records = books.close().await;
        }
        self.released.cancel();
        left
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        self.released.cancel();
        if let Some(books) = &self.books {
            books.release();
        }
    }
}
