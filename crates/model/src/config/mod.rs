//! Configuration as the gateway uses it.

mod budget;
mod calendar;
mod near;
mod provider;
mod route;
mod settings;
mod user_limit;
mod values;
mod words;

use serde::Deserialize;

use values::null_as_default;

pub use budget::{
    AN_UNKNOWN_PRICE, BudgetLimits, BudgetPolicy, BudgetScope, BudgetWindow, Enforcement, OnStoreError,
    ScopeKind, UnknownPrice, WindowWord,
};
pub use calendar::{CalendarUnit, CalendarWindow, WindowSpan, Zone};
pub use near::nearest;
pub use provider::{
    AuthConfig, AuthType, BreakerConfig, CloudflareGateway, HealthCheck, Jitter, NOT_AS_THE_OLD_NAME,
    ProviderConfig, ProviderOptions, RetryConfig, SEND_USER_ID, SendUserId,
};
pub use route::{
    A_HASH_KEY, ChainExecution, FallbackChain, FallbackStep, FallbackTrigger, HedgeConfig, HedgeDelay,
    HybridWeights, PoolConfig, PoolMember, RouteConstraints, RouteMatch, RouteRule, RouteTarget,
    StrategyName, is_hash_key,
};
pub use settings::{
    CacheSettings, ModelPrices, RateLimit, RecordSettings, Retention, RetryBudget, Settings, WhenFull,
};
pub use user_limit::{A_LIMIT_KEY, LimitKey, UserLimit};
pub use words::words;

/// The whole configuration of a gateway.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GatewayConfig {
    pub providers: Vec<ProviderConfig>,
    pub routes: Vec<RouteRule>,
    #[serde(rename = "fallbackChains", default, deserialize_with = "null_as_default")]
    pub fallback_chains: Vec<FallbackChain>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub budgets: Vec<BudgetPolicy>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub settings: Settings,
}
