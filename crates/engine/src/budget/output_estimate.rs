//! How much output to expect of a model: the mean of its answers so far.

use std::collections::HashMap;

/// Expected of a model that has not answered yet.
const FIRST_GUESS: u64 = 256;

/// Model names are user input: beyond this many, the least used one is forgotten.
const MOST_MODELS: usize = 1024;

#[derive(Debug, Default)]
struct Answers {
    count: u64,
    tokens: u128,
}

/// Answers counted for each model.
#[derive(Debug, Default)]
pub(super) struct OutputStats {
    by_model: HashMap<Box<str>, Answers>,
}

impl OutputStats {
    /// Mean output tokens of the model's answers; 256 until it has answered.
    pub fn expected(&self, model: &str) -> u64 {
        self.by_model.get(model).map_or(FIRST_GUESS, |answers| {
            let count = u128::from(answers.count.max(1));
            u64::try_from((answers.tokens + count / 2) / count).unwrap_or(u64::MAX)
        })
    }

    /// Counts an answer of the model.
    pub fn record(&mut self, model: &str, output_tokens: u64) {
        if let Some(answers) = self.by_model.get_mut(model) {
            answers.count += 1;
            answers.tokens = answers.tokens.saturating_add(output_tokens.into());
            return;
        }
        if self.by_model.len() >= MOST_MODELS {
            let least_used = self.by_model.iter().min_by_key(|(_, answers)| answers.count);
            if let Some(name) = least_used.map(|(name, _)| name.clone()) {
                self.by_model.remove(&name);
            }
        }
        self.by_model.insert(model.into(), Answers { count: 1, tokens: output_tokens.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_output_is_a_guess_until_the_model_has_answered() {
        let mut stats = OutputStats::default();
        assert_eq!(stats.expected("m"), 256);
        stats.record("m", 10);
        stats.record("m", 21);
        assert_eq!(stats.expected("m"), 16);
        assert_eq!(stats.expected("other"), 256);
    }

    #[test]
    fn made_up_model_names_do_not_displace_used_ones() {
        let mut stats = OutputStats::default();
        stats.record("real", 10);
        stats.record("real", 10);
        for index in 0..5000 {
            stats.record(&format!("made-up-{index}"), 1);
        }
        assert_eq!(stats.expected("real"), 10);
        assert_eq!(stats.by_model.len(), MOST_MODELS);
    }
}
