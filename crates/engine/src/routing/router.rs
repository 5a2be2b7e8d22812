//! The rules and chains of one configuration.

use std::sync::Arc;

use super::call::TokenEstimator;
use super::decision::{Decision, NoRoute};
use super::entry::Providers;
use super::matcher::{Matcher, exceeded};
use super::model_choice::{member_model, target_model};
use gateway_model::ChatRequest;
use gateway_model::config::{FallbackChain, RouteRule, RouteTarget};
use gateway_pricing::Asked;

pub struct Router {
    matcher: Matcher,
    chains: Vec<Arc<FallbackChain>>,
}

impl Router {
    pub fn new(rules: Vec<RouteRule>, chains: Vec<FallbackChain>) -> Self {
        Self { matcher: Matcher::new(rules), chains: chains.into_iter().map(Arc::new).collect() }
    }

    pub fn rule(&self, index: usize) -> &RouteRule {
        self.matcher.rule(index)
    }

    /// A rule that bounds the prompt or the cost of its attempts.
    pub fn constrained(&self, index: usize) -> Option<Arc<RouteRule>> {
        let rule = self.matcher.rule(index);
        let constraints = &rule.constraints;
        let is_constrained = constraints.max_input_tokens.is_some() || constraints.max_cost_usd.is_some();
        is_constrained.then(|| rule.clone())
    }

    /// The first enabled rule by priority that matches and whose constraints hold.
    ///
    /// # Errors
    /// Which rules were excluded, and which target is missing.
    pub fn resolve(
        &self,
        request: &ChatRequest,
        providers: &Providers,
        estimator: &dyn TokenEstimator,
    ) -> Result<Decision, NoRoute> {
        let mut no_route = NoRoute::default();
        for index in self.matcher.matching(request) {
            let rule = self.matcher.rule(index);
            let target = &rule.target;
            let (name, own_model) = representative(target, providers);
            let entry = providers.get(name).map(|entry| &**entry);
            let asked = request.model.as_deref();
            let model = match (&target.pool, entry) {
                (Some(_), Some(entry)) => member_model(entry, own_model, asked),
                _ => target_model(entry, own_model, asked),
            };
            let model = model.unwrap_or(name);
            let family = entry.map_or("", |entry| entry.provider.family());
            let excluded = exceeded(rule, Asked { entry: name, family, model }, estimator)
                .filter(|_| !another_member_fits(rule, providers, asked, estimator));
            if let Some(excluded) = excluded {
                no_route.excluded.push(excluded);
                continue;
            }
            let chain = target.fallback_chain.as_ref().and_then(|name| self.chain(name));
            if entry.is_none() && chain.is_none() {
                no_route.missing = Some(name.to_owned());
                return Err(no_route);
            }
            return Ok(Decision {
                rule: index,
                provider: name.to_owned(),
                model: model.to_owned(),
                chain,
                pool: None,
                hedge: None,
                excluded: no_route.excluded,
            });
        }
        Err(no_route)
    }

    fn chain(&self, name: &str) -> Option<Arc<FallbackChain>> {
        self.chains.iter().find(|chain| chain.name == name).cloned()
    }
}

/// Whether the rule's pool has a member that its constraints allow: the others are passed over.
fn another_member_fits(
    rule: &RouteRule,
    providers: &Providers,
    asked: Option<&str>,
    estimator: &dyn TokenEstimator,
) -> bool {
    let members = rule.target.pool.iter().flat_map(|pool| &pool.members);
    members.skip(1).any(|member| {
        providers.get(&member.provider).is_some_and(|entry| {
            let model = member_model(entry, member.model.as_deref(), asked).unwrap_or(&member.provider);
            let asked = Asked { entry: &member.provider, family: entry.provider.family(), model };
            exceeded(rule, asked, estimator).is_none()
        })
    })
}

/// The entry that stands for a target before a call is sent, and the model it names: of a pool, its first member that is
/// loaded.
fn representative<'a>(target: &'a RouteTarget, providers: &Providers) -> (&'a str, Option<&'a str>) {
    let Some(pool) = &target.pool else { return (&target.provider, target.model.as_deref()) };
    let loaded = pool.members.iter().find(|member| providers.contains_key(&member.provider));
    match loaded.or(pool.members.first()) {
        Some(member) => (&member.provider, member.model.as_deref()),
        None => ("", None),
    }
}
