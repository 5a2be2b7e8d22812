//! A rule's pool, over the providers that are loaded.

use std::borrow::Cow;
use std::time::Duration;

use super::call::CallOptions;
use super::entry::Providers;
use super::health::TargetHealth;
use super::member::Member;
use super::pool::{PickInput, Pool, Target, TargetName};
use super::price_sheet::PriceSheets;
use gateway_model::ChatRequest;
use gateway_model::config::{PoolConfig, Settings};
use gateway_pricing::PriceBook;

/// Of models that the settings do not rate.
const QUALITY: f64 = 0.5;

/// The members that are loaded, and the strategy that picks among them.
pub struct RoutePool {
    pub config: PoolConfig,
    /// Members that one call may be tried at.
    pub max_attempts: usize,
    pool: Pool<TargetHealth>,
    members: Vec<Member>,
    prices: PriceSheets,
}

impl RoutePool {
    pub fn new(config: &PoolConfig, providers: &Providers, settings: &Settings, prices: &PriceBook) -> Self {
        let mut members = Vec::new();
        let mut targets = Vec::new();
        for written in &config.members {
            let Some(entry) = providers.get(&written.provider) else { continue };
            let member = Member::new(&written.provider, entry.clone(), written.model.as_deref());
            let usual = member.model(None);
            targets.push(Target {
                name: TargetName::new(&member.name, usual),
                quality: settings.quality.get(usual).copied().unwrap_or(QUALITY),
                weight: written.weight.unwrap_or(entry.weight),
                priority: entry.priority,
                state: member.target.clone(),
            });
            members.push(member);
        }
        let max_attempts = config.max_attempts.map_or(members.len(), |most| most as usize);
        Self {
            pool: Pool::new(targets, config),
            config: config.clone(),
            members,
            max_attempts,
            prices: PriceSheets::new(prices),
        }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn member(&self, number: usize) -> Option<&Member> {
        self.members.get(number)
    }

    /// What a call would cost at each member, in dollars; empty: the strategy compares no costs.
    pub fn costs(&self, options: &CallOptions) -> Vec<f64> {
        if !self.pool.compares_costs() {
            return Vec::new();
        }
        self.prices.costs(&self.members, options.request.model.as_deref(), &*options.estimator)
    }

    /// The next member for a call; `None`: no member is left or available. `costs` are those of the call.
    pub fn pick(&self, request: &ChatRequest, costs: &[f64], tried: &[bool]) -> Option<usize> {
        let hash = self.hash(request);
        self.pool.pick(&PickInput { hash: hash.as_deref(), costs }, tried)
    }

    /// Each member's score; lower is asked first.
    pub fn scores(&self, options: &CallOptions) -> Vec<f64> {
        let (hash, costs) = (self.hash(&options.request), self.costs(options));
        self.pool.scores(&PickInput { hash: hash.as_deref(), costs: &costs })
    }

    /// The value by which `consistent_hash` chooses.
    fn hash<'r>(&self, request: &'r ChatRequest) -> Option<Cow<'r, str>> {
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
