//! What makes calls of different rules the same, or not.

use crate::cache::Notes;
use crate::routing::Providers;
use gateway_model::config::{FallbackChain, RouteRule};

/// Who answers a rule's calls, and how they are asked.
pub(super) struct RuleIdentity {
    /// The services behind the rule, with the models it names and those that answer where it names none: calls that share a
    /// cached answer have the same.
    pub services: String,
    /// Deadline, pool, hedge and chain with its reply: calls that share a flight have the same.
    pub way: String,
    pub notes: Notes,
}

impl RuleIdentity {
    pub fn of(rule: &RouteRule, chains: &[FallbackChain], providers: &Providers) -> Self {
        let target = &rule.target;
        let members = target.pool.iter().flat_map(|pool| &pool.members);
        let members = members.map(|member| (&member.provider, member.model.as_deref()));
        let chain = chains.iter().find(|chain| Some(&chain.name) == target.fallback_chain.as_ref());
        let steps = chain.iter().flat_map(|chain| &chain.steps);
        let steps = steps.map(|step| (&step.provider, step.model.as_deref()));
        let single = std::iter::once((&target.provider, target.model.as_deref()));
        let asked: Vec<_> = single.chain(members).chain(steps).collect();
        let loaded = |entry: &String| providers.get(entry);
        let service = |(entry, model): &(&String, Option<&str>)| {
            let service = loaded(entry).map_or("", |loaded| loaded.fingerprint());
            format!("{entry}\t{service}\t{}\n", model.unwrap_or_default())
        };
        let mut answering = asked.iter().filter_map(|(entry, _)| loaded(entry));
        Self {
            services: asked.iter().map(service).collect(),
            way: format!("{:?}", (rule.constraints.max_latency_ms, &target.pool, rule.hedge, chain)),
            notes: match answering.any(|loaded| loaded.provider.reads_notes()) {
                true => Notes::Read,
                false => Notes::Ignored,
            },
        }
    }
}
