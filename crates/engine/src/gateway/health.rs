//! How the providers of a gateway are doing, and the checks that look after them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Gateway;
use crate::routing::direct::list_models;
use crate::routing::health::{EntryReport, Outcome};

/// Longer than this no check waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Gateway {
    /// A report for each provider, in the order of the configuration.
    pub fn health(&self) -> Vec<EntryReport> {
        let report = |loaded: &Arc<crate::routing::ProviderEntry>| {
            loaded.health.report(loaded.provider.name(), loaded.provider.keys())
        };
        self.providers.values().map(report).collect()
    }

    /// Calls in flight that identical ones share, whole and streamed.
    pub fn flights(&self) -> usize {
        self.sharing.in_flight()
    }

    /// The checks that entries ask for (`healthCheck`), to be spawned; each ends when the gateway is gone.
    pub fn checks(self: &Arc<Self>) -> Vec<impl Future<Output = ()> + Send + 'static> {
        let wanted = self.providers.iter().filter_map(|(entry, loaded)| Some((entry, loaded.health_check?)));
        wanted.map(|(entry, interval)| check(Arc::downgrade(self), entry.clone(), interval)).collect()
    }
}

/// Requests the list of models at each interval: a service that answers it is healthy.
async fn check(gateway: Weak<Gateway>, entry: String, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(loaded) = gateway.upgrade().and_then(|gateway| gateway.providers.get(&entry).cloned())
        else {
            return;
        };
        match tokio::time::timeout(PATIENCE.min(interval), list_models(&*loaded.provider)).await {
            // It has no list of models.
            Ok(Ok(None)) => return,
            Ok(Ok(Some(_))) => loaded.health.record_check(Outcome::Succeeded),
            Ok(Err(_)) | Err(_) => loaded.health.record_check(Outcome::Failed),
        }
    }
}
