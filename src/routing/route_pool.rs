//! A rule's pool, over the providers that are loaded.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::health::TargetHealth;
use super::pool::{Pool, Target, TargetName};
use super::{Loaded, Providers};
use crate::model::ChatRequest;
use crate::model::config::{PoolConfig, Settings};

const QUALITY: f64 = 0.5;

/// The members that are loaded, and the strategy that picks among them.
pub struct RoutePool {
    pub pool: Pool<TargetHealth>,
    pub config: PoolConfig,
    members: Vec<Member>,
    /// Members that one call may be tried at.
    pub max_attempts: usize,
}

struct Member {
    entry: String,
    model: Option<String>,
    target: Arc<TargetHealth>,
}

impl RoutePool {
    pub fn new(config: &PoolConfig, providers: &Providers, settings: &Settings) -> Self {
        let mut members = Vec::new();
        let mut targets = Vec::new();
        for member in &config.members {
            let Some(loaded) = providers.get(&member.provider) else { continue };
            let model = member.model.clone().filter(|model| !model.is_empty());
            let usual = model.clone().or_else(|| loaded.default_model.clone()).unwrap_or_default();
            let target = loaded.health.target(&usual);
            targets.push(Target {
                name: TargetName::new(&member.provider, &usual),
                quality: settings.quality.get(&usual).copied().unwrap_or(QUALITY),
                weight: member.weight.unwrap_or(loaded.weight),
                priority: loaded.priority,
                state: target.clone(),
            });
            members.push(Member { entry: member.provider.clone(), model, target });
        }
        let max_attempts = config.max_attempts.map_or(members.len(), |most| most as usize);
        Self {
            pool: Pool::new(targets, config.strategy, config.weights),
            config: config.clone(),
            members,
            max_attempts,
        }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member's entry, and its account.
    pub fn member(&self, number: usize) -> Option<(&str, Arc<TargetHealth>)> {
        self.members.get(number).map(|member| (member.entry.as_str(), member.target.clone()))
    }

    /// Its own model; else the request's where the provider lists it; else the provider's own; else the request's.
    pub fn model(&self, number: usize, request: &ChatRequest, loaded: &Loaded) -> String {
        let own = self.members.get(number).and_then(|member| member.model.as_ref());
        let asked = request.model.as_ref();
        own.or(asked.filter(|asked| loaded.models.contains(asked)))
            .or(loaded.default_model.as_ref())
            .or(asked)
            .cloned()
            .unwrap_or_default()
    }

    /// The value by which `consistent_hash` chooses.
    pub fn hash<'r>(&self, request: &'r ChatRequest) -> Option<Cow<'r, str>> {
        let field = match self.config.hash_key.as_deref().unwrap_or("userId") {
            "userId" => &request.user_id,
            "userTier" => &request.user_tier,
            "feature" => &request.feature,
            "taskType" => &request.task_type,
            "model" => &request.model,
            other => {
                let value = request.metadata.as_ref()?.get(other.strip_prefix("metadata.")?)?;
                return Some(value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed));
            }
        };
        field.as_deref().map(Cow::Borrowed)
    }

    /// Until the first of them may be asked again.
    pub fn shortest_wait(&self) -> Option<Duration> {
        self.members.iter().map(|member| member.target.blocked().unwrap_or_default()).min()
    }
}
