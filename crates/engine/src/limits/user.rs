//! The `limits` of the settings: what each caller may use.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::rate::{Limited, RateLimiter};
use super::shared::{self, SharedCalls, SharedPermit, SharedState};
use super::{FULL_QUEUE_RETRY, over_rate};
use crate::state::{StoreError, Take};
use gateway_model::config::{LimitKey, UserLimit};
use gateway_model::error::GatewayError;
use gateway_model::{Caller, ChatRequest};

/// What a call waits for the state, all in all.
const PATIENCE: Duration = Duration::from_millis(300);

/// All limits of the settings. A call must pass each.
pub struct UserLimits {
    limits: Vec<Arc<OneLimit>>,
    /// Where they are counted with other nodes; `None`: in this process alone.
    shared: Option<SharedState>,
}

struct OneLimit {
    config: UserLimit,
    /// What the state knows it by.
    id: String,
    rate: Option<RateLimiter>,
    /// Calls in flight by value; those without one under "".
    in_flight: Mutex<HashMap<Box<str>, u64>>,
    shared_calls: Arc<SharedCalls>,
}

/// What a call holds of the limits on calls at once; dropped when it ends.
#[derive(Default)]
pub struct UserPermits(Vec<UserPermit>);

impl fmt::Debug for UserPermits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("UserPermits").field(&self.0.len()).finish()
    }
}

enum UserPermit {
    Local { limit: Arc<OneLimit>, value: Box<str> },
    Shared { _permit: SharedPermit },
}

impl UserLimits {
    /// `None` where nothing is limited.
    pub fn of(limits: &[UserLimit]) -> Option<Self> {
        let limits: Vec<_> = limits.iter().filter_map(OneLimit::of).map(Arc::new).collect();
        (!limits.is_empty()).then_some(Self { limits, shared: None })
    }

    /// The same limits, counted with other nodes.
    #[must_use]
    pub fn shared(self, state: SharedState) -> Self {
        Self { shared: Some(state), ..self }
    }

    /// The same limits; those that `before` has as well keep their counts.
    #[must_use]
    pub fn carry_over(self, before: &Self) -> Self {
        let same =
            |limit: &Arc<OneLimit>| before.limits.iter().find(|other| other.config == limit.config).cloned();
        let limits = self.limits.into_iter().map(|limit| same(&limit).unwrap_or(limit)).collect();
        Self { limits, shared: before.shared.clone() }
    }

    /// [`UserLimits::admit`], with other nodes where the limits are shared. While the state is away, each node counts for itself.
    ///
    /// # Errors
    /// As [`UserLimits::admit`].
    pub async fn admit_shared(
        &self,
        request: &ChatRequest,
        caller: Option<&Caller>,
        tokens: impl Fn(u64) -> u64,
    ) -> Result<UserPermits, GatewayError> {
        let until = Instant::now() + PATIENCE;
        while let Some(state) = self.shared.as_ref().filter(|state| !state.store.is_away()) {
            match timeout_at(until, self.ask(state, request, caller, &tokens)).await {
                Ok(Ok(decision)) => return decision,
                // Busy once is not away. What was taken without an answer counts, too: rather too much than too little.
                Ok(Err(_)) => {}
                Err(_) => break,
            }
        }
        self.admit(request, caller, tokens)
    }

    async fn ask(
        &self,
        state: &SharedState,
        request: &ChatRequest,
        caller: Option<&Caller>,
        tokens: impl Fn(u64) -> u64,
    ) -> Result<Result<UserPermits, GatewayError>, StoreError> {
        let mut permits = UserPermits::default();
        for (index, limit) in self.limits.iter().enumerate() {
            let Some(max) = limit.config.max_concurrency else { continue };
            let value = limit.value_of(request, caller);
            let key = value.as_deref().unwrap_or_default();
            match limit.shared_calls.acquire(state, &limit.id, key, max).await? {
                Some(permit) => permits.0.push(UserPermit::Shared { _permit: permit }),
                None => return Ok(Err(self.named(limit.too_many(value.as_deref(), max), index))),
            }
        }
        let mut takes = Vec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            let Some(rate) = &limit.rate else { continue };
            let value = limit.value_of(request, caller);
            let tokens = rate.tokens_per_minute().map_or(0, &tokens);
            let take = Take {
                key: shared::key("rate", &limit.id, value.as_deref().unwrap_or_default()),
                buckets: rate.takes(tokens).into_iter().map(|(_, quota, amount)| (quota, amount)).collect(),
            };
            takes.push((index, value, take));
        }
        let asked: Vec<Take> = takes.iter().map(|(_, _, take)| take.clone()).collect();
        if asked.is_empty() {
            return Ok(Ok(permits));
        }
        let Err((refused, taken)) = state.take_all(&asked).await? else { return Ok(Ok(permits)) };
        let (index, value, _) = &takes[refused];
        let limit = &self.limits[*index];
        let limited = limit.rate.as_ref().and_then(|rate| rate.limited(taken));
        let error = limited.map(|limited| self.named(limit.over_rate(value.as_deref(), limited), *index));
        Ok(error.map_or(Ok(permits), Err))
    }

    /// Counts a call of `tokens`, which gets what may be taken in a minute, as of an entry's limits. A call that one limit
    /// refuses counts for none.
    ///
    /// # Errors
    /// `rate_limited`; `details.limit` names the setting.
    pub fn admit(
        &self,
        request: &ChatRequest,
        caller: Option<&Caller>,
        tokens: impl Fn(u64) -> u64,
    ) -> Result<UserPermits, GatewayError> {
        let mut permits = UserPermits::default();
        for (index, limit) in self.limits.iter().enumerate() {
            let value = limit.value_of(request, caller);
            permits.0.extend(limit.begin(value.as_deref()).map_err(|error| self.named(error, index))?);
        }
        let mut taken: Vec<(&OneLimit, Option<String>, u64)> = Vec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            let Some(rate) = &limit.rate else { continue };
            let value = limit.value_of(request, caller);
            let tokens = rate.tokens_per_minute().map_or(0, &tokens);
            if let Err(limited) = rate.admit_for(value.as_deref(), tokens) {
                for (limit, value, tokens) in taken {
                    if let Some(rate) = &limit.rate {
                        rate.give_back(value.as_deref(), tokens);
                    }
                }
                return Err(self.named(limit.over_rate(value.as_deref(), limited), index));
            }
            taken.push((limit, value, tokens));
        }
        Ok(permits)
    }

    /// In a list, the place says which limit is meant.
    fn named(&self, error: GatewayError, index: usize) -> GatewayError {
        if self.limits.len() == 1 {
            return error;
        }
        let setting = error.details.as_ref().and_then(|details| details.get("limit")).and_then(Value::as_str);
        let setting = setting.unwrap_or_default().replacen("limits", &format!("limits[{index}]"), 1);
        error.with_detail("limit", json!(setting))
    }
}

impl OneLimit {
    fn of(config: &UserLimit) -> Option<Self> {
        let rate = RateLimiter::new(&config.rate());
        let limits_something = rate.is_some() || config.max_concurrency.is_some();
        limits_something.then(|| Self {
            config: config.clone(),
            id: format!("{config:?}"),
            rate,
            in_flight: Mutex::default(),
            shared_calls: Arc::default(),
        })
    }

    /// What the call counts under; `None`: it has no value.
    fn value_of(&self, request: &ChatRequest, caller: Option<&Caller>) -> Option<String> {
        let value = match &self.config.per {
            LimitKey::UserId => request.user_id.clone(),
            LimitKey::UserTier => request.user_tier.clone(),
            LimitKey::Key => caller.map(|caller| caller.key_id.clone()),
            LimitKey::Metadata(name) => match request.metadata.as_ref()?.get(name)? {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            },
        };
        value.filter(|value| !value.is_empty())
    }

    /// A permit, where calls at once are limited.
    fn begin(self: &Arc<Self>, value: Option<&str>) -> Result<Option<UserPermit>, GatewayError> {
        let Some(max) = self.config.max_concurrency else { return Ok(None) };
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let count = in_flight.entry(value.unwrap_or_default().into()).or_default();
        if *count >= max {
            return Err(self.too_many(value, max));
        }
        *count += 1;
        Ok(Some(UserPermit::Local { limit: Arc::clone(self), value: value.unwrap_or_default().into() }))
    }

    fn too_many(&self, value: Option<&str>, max: u64) -> GatewayError {
        let message = format!("limits.maxConcurrency ({max}) of {} is used up", self.whose(value));
        GatewayError::rate_limited(&message, FULL_QUEUE_RETRY)
            .with_detail("limit", json!("limits.maxConcurrency"))
    }

    fn over_rate(&self, value: Option<&str>, limited: Limited) -> GatewayError {
        over_rate(&self.whose(value), "limits", limited)
    }

    fn whose(&self, value: Option<&str>) -> String {
        match (&self.config.per, value) {
            (LimitKey::UserId, Some(_)) => "this user".to_owned(),
            (per, Some(_)) => format!("this {per}"),
            (per, None) => format!("calls without a {per}"),
        }
    }
}

impl Drop for UserPermit {
    fn drop(&mut self) {
        let Self::Local { limit, value } = self else { return };
        let mut in_flight = limit.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = in_flight.get_mut(value) {
            *count -= 1;
            if *count == 0 {
                in_flight.remove(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(settings: Value) -> UserLimits {
        let list: Vec<UserLimit> = serde_json::from_value(settings).unwrap();
        UserLimits::of(&list).unwrap()
    }

    fn request(fields: Value) -> ChatRequest {
        let mut request = json!({"messages": [{"role": "user", "content": "a"}]});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ChatRequest::from_json(&request.to_string()).unwrap()
    }

    fn limit_of(error: &GatewayError) -> &Value {
        &error.details.as_ref().unwrap()["limit"]
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_counts_by_its_own_key() {
        let limits = limits(json!([
            {"requestsPerMinute": 1, "per": "metadata.team"},
            {"requestsPerMinute": 2, "per": "userTier"},
        ]));
        let of = |team: Value, tier: &str| request(json!({"metadata": {"team": team}, "userTier": tier}));
        limits.admit(&of(json!("red"), "free"), None, |_| 0).unwrap();
        let error = limits.admit(&of(json!("red"), "free"), None, |_| 0).unwrap_err();
        assert_eq!(limit_of(&error), "limits[0].requestsPerMinute");
        assert!(error.message.contains("of this metadata.team is used up"), "{}", error.message);
        // What the first limit refused has not counted for the second.
        limits.admit(&of(json!(7), "free"), None, |_| 0).unwrap();
        let error = limits.admit(&of(json!("blue"), "free"), None, |_| 0).unwrap_err();
        assert_eq!(limit_of(&error), "limits[1].requestsPerMinute");
        // Nor the other way round.
        limits.admit(&of(json!("blue"), "pro"), None, |_| 0).unwrap();
        let error = limits
            .admit(&request(json!({})), None, |_| 0)
            .and_then(|_| limits.admit(&request(json!({})), None, |_| 0));
        assert!(error.unwrap_err().message.contains("of calls without a metadata.team is used up"));
    }

    #[tokio::test]
    async fn calls_at_once_are_counted_while_their_permits_are_held() {
        let limits = limits(json!([{"maxConcurrency": 2}]));
        let ada = request(json!({"userId": "ada"}));
        let held = [limits.admit(&ada, None, |_| 0).unwrap(), limits.admit(&ada, None, |_| 0).unwrap()];
        let error = limits.admit(&ada, None, |_| 0).unwrap_err();
        assert_eq!(limit_of(&error), "limits.maxConcurrency");
        limits.admit(&request(json!({})), None, |_| 0).unwrap();
        drop(held);
        limits.admit(&ada, None, |_| 0).unwrap();
        assert!(limits.limits[0].in_flight.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn limits_that_stay_keep_their_counts_over_a_reload() {
        let config =
            |per_tier| json!([{"requestsPerMinute": 1}, {"requestsPerMinute": per_tier, "per": "userTier"}]);
        let before = limits(config(5));
        let ada = request(json!({"userId": "ada"}));
        before.admit(&ada, None, |_| 0).unwrap();
        let after = limits(config(6)).carry_over(&before);
        assert_eq!(limit_of(&after.admit(&ada, None, |_| 0).unwrap_err()), "limits[0].requestsPerMinute");
    }

    #[tokio::test(start_paused = true)]
    async fn client_keys_are_limited_each_for_itself() {
        let limits = limits(json!([{"requestsPerMinute": 1, "maxConcurrency": 1, "per": "key"}]));
        let call = request(json!({"userId": "ada"}));
        let [one, other] = ["k1", "k2"].map(|id| Caller { key_id: id.into(), ..Caller::default() });
        for caller in [Some(&one), Some(&other), None] {
            drop(limits.admit(&call, caller, |_| 0).unwrap());
            let error = limits.admit(&call, caller, |_| 0).unwrap_err();
            assert_eq!(limit_of(&error), "limits.requestsPerMinute");
        }
    }
}
