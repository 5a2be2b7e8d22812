//! Registered prices and resolved rates: the state of this module, one for the process.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use super::rates::Rates;
use super::{ModelPricing, catalogue, names, own};

/// Model names are user input: the cache is cleared when it holds this many.
const MAX_RESOLVED: usize = 1_024;

/// Bytes. No model has a longer name: longer ones are not looked up in the catalogue, and not cached.
const MAX_NAME: usize = 256;

/// Seconds. Some prices change at a date or with the time of day, all of them on the quarter of an hour (UTC).
const VALIDITY: u64 = 15 * 60;

static STATE: LazyLock<RwLock<State>> = LazyLock::new(RwLock::default);

#[derive(Default)]
pub(super) struct State {
    registered: HashMap<Box<str>, ModelPricing>,
    registrations: u64,
    /// By family, then by model.
    resolved: HashMap<Box<str>, HashMap<Box<str>, Resolved>>,
    resolved_count: usize,
}

/// Equal editions mean equal prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition {
    registrations: u64,
    period: u64,
}

pub(super) fn edition() -> Edition {
    let registrations = STATE.read().unwrap_or_else(PoisonError::into_inner).registrations;
    Edition { registrations, period: now() }
}

#[derive(Clone)]
struct Resolved {
    /// `None`: the model is unknown.
    rates: Option<Rates>,
    /// The period of [`VALIDITY`] they hold in; `None`: always, but the catalogue was not asked for the rates of cached
    /// tokens.
    period: Option<u64>,
}

impl Resolved {
    fn holds(&self, cached: bool) -> bool {
        match self.period {
            Some(period) => period == now(),
            None => !cached,
        }
    }
}

/// The current period of [`VALIDITY`].
fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / VALIDITY)
}

impl State {
    pub(super) fn own_pricing(&self, model: &str) -> Option<ModelPricing> {
        let known = |name: &str| self.registered.get(name).copied().or_else(|| own::pricing(name));
        known(model).or_else(|| own::alias(model).and_then(known))
    }

    fn resolved(&self, family: &str, model: &str) -> Option<&Resolved> {
        self.resolved.get(family)?.get(model)
    }

    fn keep(&mut self, family: &str, model: &str, resolved: Resolved) {
        if self.resolved_count >= MAX_RESOLVED {
            self.forget();
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
    state.registrations += 1;
    state.forget();
}

/// The registered or built-in price.
pub(super) fn own_pricing(model: &str) -> Option<ModelPricing> {
    STATE.read().unwrap_or_else(PoisonError::into_inner).own_pricing(model)
}

/// What `read` makes of the model's rates; `None` if the model is unknown. `cached`: the rates of cached tokens
/// matter.
pub(super) fn with_rates<T>(
    family: &str,
    model: &str,
    cached: bool,
    read: impl FnOnce(&Rates) -> T,
) -> Option<T> {
    {
        let state = STATE.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = state.resolved(family, model)
            && found.holds(cached)
        {
            return found.rates.as_ref().map(read);
        }
    }
    resolve(family, model, cached).rates.as_ref().map(read)
}

fn resolve(family: &str, model: &str, cached: bool) -> Resolved {
    let nameable = family.len().max(model.len()) <= MAX_NAME;
    let period = if nameable && (cached || own_pricing(model).is_none()) { Some(now()) } else { None };
    // Outside the lock, as this takes its time; the own price is read under the lock, so that a registration in the
    // meantime is not lost.
    let names = if nameable && !catalogue::is_local(family) { names::of(model) } else { Vec::new() };
    let names: Vec<&str> = std::iter::once(model).chain(names.iter().map(String::as_str)).collect();
    let listed: Vec<Option<Rates>> = names.iter().map(|name| listed(family, name, period)).collect();

    let mut state = STATE.write().unwrap_or_else(PoisonError::into_inner);
    let rates = names.iter().zip(listed).find_map(|(name, listed)| match state.own_pricing(name) {
        Some(pricing) => Some(Rates::flat(pricing, listed.as_ref())),
        None => listed,
    });
    let resolved = Resolved { rates, period };
    if nameable {
        state.keep(family, model, resolved.clone());
    }
    resolved
}

fn listed(family: &str, model: &str, period: Option<u64>) -> Option<Rates> {
    catalogue::rates(family, model, UNIX_EPOCH + Duration::from_secs(period? * VALIDITY))
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
