//! How much output a model's calls have on average.

use std::collections::HashMap;

/// Expected of a model that has not answered yet.
const FIRST_GUESS: u64 = 256;

/// Names of models are user input: beyond this many, the least used is forgotten.
const MOST_MODELS: usize = 1024;

#[derive(Debug, Default)]
struct Answers {
    count: u64,
    tokens: u128,
}

/// Mean output tokens for each model.
#[derive(Debug, Default)]
pub(super) struct MeanOutput {
    by_model: HashMap<Box<str>, Answers>,
}

impl MeanOutput {
    pub fn of(&self, model: &str) -> u64 {
        self.by_model.get(model).map_or(FIRST_GUESS, |answers| {
            let count = u128::from(answers.count.max(1));
            u64::try_from((answers.tokens + count / 2) / count).unwrap_or(u64::MAX)
        })
    }

    pub fn learn(&mut self, model: &str, output_tokens: u64) {
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
    fn a_model_is_guessed_at_first_and_then_known() {
        let mut means = MeanOutput::default();
        assert_eq!(means.of("m"), 256);
        means.learn("m", 10);
        means.learn("m", 21);
        assert_eq!(means.of("m"), 16);
        assert_eq!(means.of("other"), 256);
    }

    #[test]
    fn made_up_names_do_not_displace_used_ones() {
        let mut means = MeanOutput::default();
        means.learn("real", 10);
        means.learn("real", 10);
        for index in 0..5000 {
            means.learn(&format!("made-up-{index}"), 1);
        }
        assert_eq!(means.of("real"), 10);
        assert_eq!(means.by_model.len(), MOST_MODELS);
    }
}
