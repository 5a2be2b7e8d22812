//! Which model an entry is asked for.

use super::entry::ProviderEntry;
use gateway_model::config::FallbackStep;

/// The rule for all of them: the model that the target names for itself; else the one the call wants, where the entry
/// takes it; else the entry's default; else the one the call wants.
fn choose<'a>(
    own: Option<&'a str>,
    wanted: Option<&'a str>,
    takes: impl FnOnce(&str) -> bool,
    entry: Option<&'a ProviderEntry>,
) -> Option<&'a str> {
    own.filter(|own| !own.is_empty())
        .or_else(|| wanted.filter(|wanted| takes(wanted)))
        .or_else(|| entry.and_then(|entry| entry.default_model.as_deref()))
        .or(wanted)
}

/// Of a rule's single target, which takes whatever the request asks for; the rule's own model is for requests that name
/// none.
pub fn target_model<'a>(
    entry: Option<&'a ProviderEntry>,
    own: Option<&'a str>,
    asked: Option<&'a str>,
) -> Option<&'a str> {
    choose(None, asked.or(own), |_| true, entry)
}

/// Of a pool's member, which takes what its entry lists.
pub fn member_model<'a>(
    entry: &'a ProviderEntry,
    own: Option<&'a str>,
    asked: Option<&'a str>,
) -> Option<&'a str> {
    choose(own, asked, |asked| entry.lists(asked), Some(entry))
}

/// Of a chain's step. It wants the model of the rule's target: that target's own entry takes it, and another one where the
/// request named a model that it lists.
pub fn step_model<'a>(
    step: &'a FallbackStep,
    entry: Option<&'a ProviderEntry>,
    target: (&str, &'a str),
    asked: Option<&str>,
) -> &'a str {
    let (target_entry, target_model) = target;
    let lists_asked = || asked.is_some_and(|asked| entry.is_some_and(|entry| entry.lists(asked)));
    let takes = |_: &str| step.provider == target_entry || lists_asked();
    choose(step.model.as_deref(), Some(target_model), takes, entry).unwrap_or(target_model)
}
