//! Registered prices and resolved rates: the state of this module, one for the process.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::rates::Rates;
use super::{ModelPricing, catalogue, own};

/// Model names are the callers' input: the cache is emptied when it has so many.
const MAX_RESOLVED: usize = 1_024;

/// Bytes. No model has a longer name; one that has is not looked for in the catalogue, and not kept.
const MAX_NAME: usize = 256;

/// Seconds. Some prices change at a date or with the time of day, all of them on the quarter of an hour (UTC).
const VALIDITY: u64 = 15 * 60;

static STATE: LazyLock<RwLock<State>> = LazyLock::new(RwLock::default);

#[derive(Default)]
pub(super) struct State {
    registered: HashMap<Box<str>, ModelPricing>,
    /// By family, then by model.
    resolved: HashMap<Box<str>, HashMap<Box<str>, Resolved>>,
    resolved_count: usize,
    /// The period of [`VALIDITY`] that `resolved` is for.
    period: u64,
}

#[derive(Clone)]
struct Resolved {
    /// `None`: nobody knows the model.
    rates: Option<Rates>,
    /// Whether the rates of cached tokens are right; they need the catalogue, which is left alone until then.
    with_cached: bool,
}

impl State {
    pub(super) fn own_pricing(&self, model: &str) -> Option<ModelPricing> {
        let known = |name: &str| self.registered.get(name).copied().or_else(|| own::pricing(name));
        known(model).or_else(|| own::alias(model).and_then(known))
    }

    fn resolved(&self, family: &str, model: &str, period: u64) -> Option<&Resolved> {
        if self.period == period { self.resolved.get(family)?.get(model) } else { None }
    }

    fn keep(&mut self, family: &str, model: &str, period: u64, resolved: Resolved) {
        if self.period != period || self.resolved_count >= MAX_RESOLVED {
            self.forget();
            self.period = period;
        }
        let models = self.resolved.entry(family.into()).or_default();
        if models.insert(model.into(), resolved).is_none() {
            self.resolved_count += 1;
        }
    }

    fn forget(&mut self) {
        self.resolved.clear();
        self.resolved_count = 0;
    }
}

pub(super) fn register(model: &str, pricing: ModelPricing) {
    let mut state = STATE.write().unwrap_or_else(PoisonError::into_inner);
    state.registered.insert(model.into(), pricing);
    state.forget();
}

/// The registered or built-in price.
pub(super) fn own_pricing(model: &str) -> Option<ModelPricing> {
    STATE.read().unwrap_or_else(PoisonError::into_inner).own_pricing(model)
}

/// What `read` makes of the model's rates; `None` when nobody knows the model. `cached`: the rates of cached tokens
/// matter.
pub(super) fn with_rates<T>(
    family: &str,
    model: &str,
    cached: bool,
    read: impl FnOnce(&Rates) -> T,
) -> Option<T> {
    let period = UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs() / VALIDITY);
    {
        let state = STATE.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = state.resolved(family, model, period)
            && (found.with_cached || !cached)
        {
            return found.rates.as_ref().map(read);
        }
    }
    resolve(family, model, cached, period).rates.as_ref().map(read)
}

fn resolve(family: &str, model: &str, cached: bool, period: u64) -> Resolved {
    let nameable = family.len().max(model.len()) <= MAX_NAME;
    let with_cached = cached || own_pricing(model).is_none();
    let at: SystemTime = UNIX_EPOCH + Duration::from_secs(period * VALIDITY);
    // Outside the lock, as this takes its time; the own price is read under the lock, so that a registration in the
    // meantime is not lost.
    let listed = if with_cached && nameable { catalogue::rates(family, model, at) } else { None };

    let mut state = STATE.write().unwrap_or_else(PoisonError::into_inner);
    let rates = match state.own_pricing(model) {
        Some(pricing) => Some(Rates::flat(pricing, listed.as_ref())),
        None => listed,
    };
    let resolved = Resolved { rates, with_cached };
    if nameable {
        state.keep(family, model, period, resolved.clone());
    }
    resolved
}

#[cfg(test)]
pub(super) fn resolved_count() -> usize {
    STATE.read().unwrap().resolved_count
}

#[cfg(test)]
pub(super) const fn max_resolved() -> usize {
    MAX_RESOLVED
}

#[cfg(test)]
impl State {
    pub(super) fn with(registered: &[(&str, ModelPricing)]) -> Self {
        Self {
            registered: registered.iter().map(|&(name, price)| (name.into(), price)).collect(),
            ..Self::default()
        }
    }
}
