//! The targets of a provider entry, by model.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::breaker::BreakerSettings;
use super::report::EntryReport;
use super::target::{Outcome, TargetHealth};
use gateway_model::KeyState;
use gateway_model::config::ProviderConfig;

/// Callers name models: beyond so many, an entry's models share one target, that of the model "".
const MAX_MODELS: usize = 256;
/// Bytes: a longer name is no vendor's model, and shares that target as well.
const LONGEST_NAME: usize = 256;

#[derive(Debug)]
pub struct EntryHealth {
    settings: BreakerSettings,
    /// The entry configures a breaker for every call; pools have one in any case.
    pub breaker_enabled: bool,
    models: Mutex<HashMap<Box<str>, Arc<TargetHealth>>>,
}

impl EntryHealth {
    pub fn of(entry: &ProviderConfig) -> Self {
        Self {
            settings: entry.breaker.into(),
            breaker_enabled: entry.breaker.is_some(),
            models: Mutex::default(),
        }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<TargetHealth>>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target of a model, made when first asked for.
    pub fn target(&self, model: &str) -> Arc<TargetHealth> {
        let mut models = self.models();
        if let Some(target) = models.get(model) {
            return target.clone();
        }
        let name = if has_room(&models, model) { model } else { "" };
        models.entry(name.into()).or_insert_with(|| Arc::new(TargetHealth::new(self.settings))).clone()
    }

    /// The target that a call to `model` would use, if there is one: looking makes none.
    pub fn known(&self, model: &str) -> Option<Arc<TargetHealth>> {
        let models = self.models();
        let shared = || if has_room(&models, model) { None } else { models.get("") };
        models.get(model).or_else(shared).cloned()
    }

    /// All targets by model.
    pub fn targets(&self) -> Vec<(Box<str>, Arc<TargetHealth>)> {
        self.models().iter().map(|(model, target)| (model.clone(), target.clone())).collect()
    }

    /// Tells every target's breaker how a health check of the service went.
    pub fn record_check(&self, outcome: Outcome) {
        for target in self.models().values() {
            target.record_check(outcome);
        }
    }

    /// `is_pooled`: whether a pool asks for this model; only pools leave a target alone that has asked for a pause.
    pub fn report(
        &self,
        provider: &str,
        keys: Vec<KeyState>,
        is_pooled: impl Fn(&str) -> bool,
    ) -> EntryReport {
        let blocked = |model: &str, target: &TargetHealth| {
            if is_pooled(model) { target.blocked() } else { target.breaker_blocked() }
        };
        let models = self.models();
        let targets =
            models.iter().map(|(model, target)| target.report(model, blocked(model, target))).collect();
        drop(models);
        EntryReport::of(provider, targets, keys)
    }
}

/// Whether a model without a target gets one of its own.
fn has_room(models: &HashMap<Box<str>, Arc<TargetHealth>>, model: &str) -> bool {
    models.len() < MAX_MODELS && model.len() <= LONGEST_NAME
}

#[cfg(test)]
mod tests {
    use super::super::attempt::Guard;
    use super::super::breaker::BreakerState;
    use super::*;
    use gateway_model::error::GatewayError;

    #[tokio::test(start_paused = true)]
    async fn each_model_has_a_target_of_its_own_up_to_a_bound() {
        let entry = serde_json::json!({"name": "p", "provider": "mock", "breaker": {"failureThreshold": 1}});
        let health = EntryHealth::of(&serde_json::from_value(entry).unwrap());
        let failure = GatewayError::from_http_status("p", 500, "").into();
        health.target("a").begin(Guard::Breaker).unwrap().failed(&failure);
        assert_eq!(health.target("a").state(), BreakerState::Open);
        assert_eq!(health.target("b").state(), BreakerState::Closed);
        assert!(Arc::ptr_eq(&health.known("a").unwrap(), &health.target("a")));
        assert!(health.known("c").is_none());
        let (long, longer) = ("x".repeat(LONGEST_NAME), "x".repeat(LONGEST_NAME + 1));
        assert!(health.known(&longer).is_none());
        assert!(!Arc::ptr_eq(&health.target(&long), &health.target(&longer)));
        assert!(Arc::ptr_eq(&health.target(&longer), &health.target(&longer.repeat(2))));
        assert!(Arc::ptr_eq(&health.known(&longer).unwrap(), &health.target("")));
        assert_eq!(health.models().len(), 4, "looking has opened none");
        for model in 0..1_000 {
            health.target(&model.to_string());
        }
        assert!(health.models().len() <= MAX_MODELS + 1);
        assert!(Arc::ptr_eq(&health.known("1000").unwrap(), &health.target("")), "the shared one");
        assert_eq!(health.report("p", Vec::new(), |_| true).state, BreakerState::Open);
        health.record_check(Outcome::Succeeded);
        health.record_check(Outcome::Succeeded);
        health.record_check(Outcome::Succeeded);
        assert_eq!(health.target("a").state(), BreakerState::Closed);
    }
}
