//! Keeps keys and tokens out of what people get to see.

/// Shorter values would redact ordinary words.
pub const SECRET_LENGTH: usize = 8;

/// Values that must show nowhere, in each spelling in which an upstream may repeat them.
#[derive(Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut spellings = Vec::new();
        for value in values {
            let value = value.trim();
            // `Bearer TOKEN`: the token is a secret without its scheme, too.
            let token = value
                .split_once(' ')
                .map(|(_, token)| token.trim())
                .filter(|token| token.len() >= SECRET_LENGTH);
            for secret in [Some(value), token].into_iter().flatten().filter(|secret| !secret.is_empty()) {
                let json = serde_json::to_string(secret).unwrap_or_default();
                let json = json.trim_matches('"').to_owned();
                spellings.extend([secret.to_owned(), json.replace('/', "\\/"), json]);
            }
        }
        // The longest first: one may be part of another.
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        Self(spellings)
    }

    pub fn redact(&self, mut text: String) -> String {
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "[redacted]");
            }
        }
        text
    }
}
