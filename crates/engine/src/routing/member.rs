//! A member of a rule's pool.

use std::sync::Arc;

use super::entry::ProviderEntry;
use super::health::TargetHealth;
use super::model_choice::member_model;

/// A loaded provider entry, and the model it is asked for.
pub struct Member {
    /// The entry's name.
    pub name: String,
    pub entry: Arc<ProviderEntry>,
    /// The health of its usual model.
    pub target: Arc<TargetHealth>,
    /// Never empty.
    model: Option<String>,
}

impl Member {
    pub fn new(name: &str, entry: Arc<ProviderEntry>, model: Option<&str>) -> Self {
        let model = model.filter(|model| !model.is_empty()).map(str::to_owned);
        let usual = member_model(&entry, model.as_deref(), None).unwrap_or_default();
        Self { name: name.to_owned(), target: entry.health.target(usual), entry, model }
    }

    /// The model that it is asked for by a call that asks for `asked`.
    pub fn model<'a>(&'a self, asked: Option<&'a str>) -> &'a str {
        member_model(&self.entry, self.model.as_deref(), asked).unwrap_or_default()
    }

    /// Whether the model that a call asks for is one that the service has said it does not have; its usual one's rest is the
    /// target's own.
    pub fn rests(&self, asked: Option<&str>) -> bool {
        let is_other = asked.is_some() && self.model(asked) != self.model(None);
        is_other && self.entry.health.known(self.model(asked)).is_some_and(|target| target.rests())
    }

    /// Whether the request's model may decide its own.
    pub fn follows_request(&self) -> bool {
        self.model.is_none()
    }
}
