//! The `limits` of the settings: what each caller may use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::rate::{Limited, RateLimiter};
use super::{FULL_QUEUE_RETRY, over_rate};
use gateway_model::config::{LimitKey, UserLimit};
use gateway_model::error::GatewayError;
use gateway_model::{Caller, ChatRequest};

/// All limits of the settings. A call must pass each.
#[derive(Debug)]
pub struct UserLimits(Vec<Arc<OneLimit>>);

#[derive(Debug)]
struct OneLimit {
    config: UserLimit,
    rate: Option<RateLimiter>,
    /// Calls in flight by value; those without one under "".
    in_flight: Mutex<HashMap<Box<str>, u64>>,
}

/// What a call holds of the limits on calls at once; dropped when it ends.
#[derive(Debug, Default)]
pub struct UserPermits(Vec<UserPermit>);

#[derive(Debug)]
struct UserPermit {
    limit: Arc<OneLimit>,
    value: Box<str>,
}

impl UserLimits {
    /// `None` where nothing is limited.
    pub fn of(limits: &[UserLimit]) -> Option<Self> {
        let limits: Vec<_> = limits.iter().filter_map(OneLimit::of).map(Arc::new).collect();
        (!limits.is_empty()).then_some(Self(limits))
    }

    /// The same limits; those that `before` has as well keep their counts.
    #[must_use]
    pub fn carry_over(self, before: &Self) -> Self {
        let same =
            |limit: &Arc<OneLimit>| before.0.iter().find(|other| other.config == limit.config).cloned();
        Self(self.0.into_iter().map(|limit| same(&limit).unwrap_or(limit)).collect())
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
        for (index, limit) in self.0.iter().enumerate() {
            let value = limit.value_of(request, caller);
            permits.0.extend(limit.begin(value.as_deref()).map_err(|error| self.named(error, index))?);
        }
        let mut taken: Vec<(&OneLimit, Option<String>, u64)> = Vec::new();
        for (index, limit) in self.0.iter().enumerate() {
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
        if self.0.len() == 1 {
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
        limits_something.then(|| Self { config: config.clone(), rate, in_flight: Mutex::default() })
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
            let whose = self.whose(value);
            let message = format!("limits.maxConcurrency ({max}) of {whose} is used up");
            return Err(GatewayError::rate_limited(&message, FULL_QUEUE_RETRY)
                .with_detail("limit", json!("limits.maxConcurrency")));
        }
        *count += 1;
        Ok(Some(UserPermit { limit: Arc::clone(self), value: value.unwrap_or_default().into() }))
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
        let mut in_flight = self.limit.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = in_flight.get_mut(&self.value) {
            *count -= 1;
            if *count == 0 {
                in_flight.remove(&self.value);
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
        assert!(limits.0[0].in_flight.lock().unwrap().is_empty());
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
