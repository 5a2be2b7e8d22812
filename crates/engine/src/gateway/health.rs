//! How the providers of a gateway are doing, and the checks that look after them.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Gateway;
use crate::routing::ProviderEntry;
use crate::routing::direct::list_models;
use crate::routing::health::{EntryReport, Outcome};
use crate::stores::LeftOver;
use gateway_model::error::Failure;

/// Longer than this no check waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Gateway {
    /// A report for each provider, in the order of the configuration.
    pub fn health(&self) -> Vec<EntryReport> {
        let members = || self.pools.iter().flatten().flat_map(|pool| pool.members());
        let pooled: HashSet<(&str, &str)> =
            members().map(|member| (&*member.name, member.model(None))).collect();
        let report = |(name, loaded): (&String, &Arc<ProviderEntry>)| {
            let is_pooled = |model: &str| pooled.contains(&(&**name, model));
            loaded.health.report(loaded.provider.name(), loaded.provider.keys(), is_pooled)
        };
        self.providers.iter().map(report).collect()
    }

    /// Calls in flight that identical ones share, whole and streamed.
    pub fn flights(&self) -> usize {
        self.sharing.in_flight()
    }

    /// Ends the checks of its entries, and resolves once what calls have left to be counted is counted, logged and kept; for
    /// keeping it, `grace` is there at most.
    pub async fn close(&self, grace: Duration) -> LeftOver {
        self.closed.cancel();
        self.counting.close();
        self.counting.wait().await;
        match &self.holdings {
            Some(holdings) => holdings.close(&self.budgets, grace).await,
            None => LeftOver::default(),
        }
    }

    /// The checks that entries ask for (`healthCheck`), to be spawned; each ends when the gateway is gone.
    pub fn checks(self: &Arc<Self>) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let wanted = self.providers.iter().filter_map(|(entry, loaded)| Some((entry, loaded.health_check?)));
        wanted.map(|(entry, interval)| check(Arc::downgrade(self), entry.clone(), interval)).collect()
    }
}

/// Services without this address say so in many ways; each of them is up.
fn has_no_list(failure: &Failure) -> bool {
    let Failure::Gateway(error) = failure else { return false };
    matches!(error.upstream_status(), Some(404 | 405 | 501))
}

/// Requests the list of models at each interval: a service that answers it is healthy.
async fn check(gateway: Weak<Gateway>, entry: String, interval: Duration) {
    loop {
        let closed = gateway.upgrade().map(|gateway| gateway.closed.clone());
        let Some(closed) = closed else { return };
        tokio::select! {
            () = closed.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let Some(loaded) = gateway.upgrade().and_then(|gateway| gateway.providers.get(&entry).cloned())
        else {
            return;
        };
        match tokio::time::timeout(PATIENCE.min(interval), list_models(&*loaded.provider)).await {
            // It has no list of models.
            Ok(Ok(None)) => return,
            Ok(Err(failure)) if has_no_list(&failure) => return,
            Ok(Ok(Some(_))) => loaded.health.record_check(Outcome::Succeeded),
            Ok(Err(_)) | Err(_) => loaded.health.record_check(Outcome::Failed),
        }
    }
}
