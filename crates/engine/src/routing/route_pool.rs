//! A rule's pool, over the providers that are loaded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::call::CallOptions;
use super::entry::Providers;
use super::health::{BreakerState, LastResort, TargetHealth};
use super::member::Member;
use super::pool::{PickInput, Pool, Target, TargetName, strategy_names};
use super::price_sheet::PriceSheets;
use gateway_model::ChatRequest;
use gateway_model::config::{FallbackTrigger, PoolConfig, Settings};
use gateway_pricing::PriceBook;

/// Of models that the settings do not rate.
const QUALITY: f64 = 0.5;

/// The members that are loaded, and the strategy that picks among them.
pub struct RoutePool {
    pub config: PoolConfig,
    /// Members that one call may be tried at.
    pub max_attempts: usize,
    pool: Pool<TargetHealth>,
    /// The strategy is one of the program's own.
    is_ordered: bool,
    members: Vec<Member>,
    prices: PriceSheets,
    /// By model, of the settings.
    qualities: BTreeMap<String, f64>,
    /// A call asks although all breakers are open.
    has_last_resort: Arc<AtomicBool>,
}

/// What a strategy must know of each member for one call.
#[derive(Default)]
pub struct Known {
    /// Dollars; empty: the strategy compares no costs.
    costs: Vec<f64>,
    /// Of the models that the call asks for; empty: those are the members' usual ones, or the strategy compares none.
    qualities: Vec<f64>,
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
            qualities: settings.quality.clone(),
            is_ordered: !strategy_names().contains(&config.strategy.as_str()),
            has_last_resort: Arc::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn member(&self, number: usize) -> Option<&Member> {
        self.members.get(number)
    }

    /// What the strategy must know of each member for a call.
    pub fn known(&self, options: &CallOptions) -> Known {
        let asked = options.request.model.as_deref();
        let mut known = Known::default();
        if self.pool.compares_costs() {
            known.costs = self.prices.costs(&self.members, asked, &*options.estimator);
        }
        if asked.is_some() && self.pool.compares_quality() {
            let quality =
                |member: &Member| self.qualities.get(member.model(asked)).copied().unwrap_or(QUALITY);
            known.qualities = self.members.iter().map(quality).collect();
        }
        known
    }

    /// The next member for a call; `None`: no member is left or available.
    pub fn pick(&self, request: &ChatRequest, known: &Known, tried: &[bool]) -> Option<usize> {
        let hash = self.hash(request);
        let input = known.with_hash(hash.as_deref());
        if request.pool_order.is_empty() || !self.is_ordered {
            return self.pool.pick(&input, tried);
        }
        self.in_order(request, tried).find_map(|number| {
            let others: Vec<bool> = (0..self.members.len()).map(|other| other != number).collect();
            self.pool.pick(&input, &others)
        })
    }

    /// Members that are not tried, in the order that a strategy of the program's own has given; those that it left out are not
    /// asked.
    fn in_order(&self, request: &ChatRequest, tried: &[bool]) -> impl Iterator<Item = usize> {
        let is_open = |number: &usize| !tried.get(*number).copied().unwrap_or(false);
        request.pool_order.iter().flat_map(move |name| {
            let named = self.members.iter().enumerate().filter(move |(_, member)| member.name == *name);
            named.map(|(number, _)| number).filter(is_open)
        })
    }

    /// The member whose breaker lets calls through first, where all are open, there are several, and no other call is let
    /// through for that reason: the outage may be over, and nobody would know.
    pub fn last_resort(&self, asked: Option<&str>) -> Option<(&Member, LastResort)> {
        let is_open = |member: &Member| member.target.state() == BreakerState::Open && !member.rests(asked);
        if self.members.len() < 2 || !self.members.iter().all(is_open) {
            return None;
        }
        let first = self.members.iter().min_by_key(|member| member.target.blocked())?;
        Some((first, LastResort::take(&self.has_last_resort)?))
    }

    /// What a call's failure is to its chain where no member could be asked.
    pub fn refusal(&self) -> FallbackTrigger {
        let is_limited =
            |member: &Member| member.target.state() == BreakerState::Closed && member.target.rests();
        match !self.members.is_empty() && self.members.iter().all(is_limited) {
            true => FallbackTrigger::RateLimit,
            false => FallbackTrigger::ProviderError,
        }
    }

    /// Each member's score; lower is asked first.
    pub fn scores(&self, options: &CallOptions) -> Vec<f64> {
        let (hash, known) = (self.hash(&options.request), self.known(options));
        self.pool.scores(&known.with_hash(hash.as_deref()))
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

impl Known {
    fn with_hash<'a>(&'a self, hash: Option<&'a str>) -> PickInput<'a> {
        PickInput { hash, costs: &self.costs, qualities: &self.qualities }
    }
}
