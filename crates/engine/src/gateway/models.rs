//! The models of all providers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::Serialize;

use super::Gateway;
use crate::routing::ProviderEntry;
use crate::routing::direct::list_models;

/// Services add models by the day, not by the minute.
const KEPT: Duration = Duration::from_secs(300);
/// Longer than this nobody waits for a list.
const PATIENCE: Duration = Duration::from_secs(10);

/// A model that calls can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedModel {
    pub id: String,
    /// Name of the entry whose provider has it.
    pub provider: String,
}

/// Lists that services gave, by their entry, and when.
#[derive(Default)]
pub(super) struct ModelLists(Mutex<HashMap<String, (Instant, Vec<String>)>>);

impl ModelLists {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<String>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// The models of every provider, in the order of the configuration: those its entry lists, then those that the
    /// service itself lists. A service that cannot be asked adds none. Lists are kept for five minutes; `refresh` asks
    /// again.
    pub async fn list_models(&self, refresh: bool) -> Vec<ListedModel> {
        let lists = self.providers.iter().map(async |(entry, loaded)| {
            let mut ids = loaded.models.clone();
            ids.extend(self.service_models(entry, loaded, refresh).await);
            let mut seen = std::collections::HashSet::new();
            ids.retain(|id| seen.insert(id.clone()));
            ids.into_iter().map(|id| ListedModel { id, provider: entry.clone() }).collect::<Vec<_>>()
        });
        join_all(lists).await.concat()
    }

    async fn service_models(&self, entry: &str, loaded: &ProviderEntry, refresh: bool) -> Vec<String> {
        if let Some((since, ids)) = self.models.lock().get(entry)
            && !refresh
            && since.elapsed() < KEPT
        {
            return ids.clone();
        }
        match tokio::time::timeout(PATIENCE, list_models(&*loaded.provider)).await {
            Ok(Ok(Some(ids))) => {
                self.models.lock().insert(entry.to_owned(), (Instant::now(), ids.clone()));
                ids
            }
            _ => Vec::new(),
        }
    }
}
