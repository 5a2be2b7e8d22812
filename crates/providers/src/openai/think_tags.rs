//! Reasoning that a service leaves in the text, as `<think>…</think>` in front of the answer.

use std::mem;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Parts reasoning from the text of one answer, as it comes. The tags and the blanks around them belong to neither.
#[derive(Debug, Default)]
pub struct ThinkTags {
    state: State,
    /// What may yet be the beginning of a tag.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but blanks has come.
    #[default]
    Begin,
    /// Behind the opening tag, before any reasoning.
    Opened,
    Thinking,
    /// Behind the closing tag, before any text.
    Closed,
    Answer,
}

/// What some text holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parted {
    pub reasoning: String,
    pub text: String,
}

impl ThinkTags {
    /// Everything from here on is text: reasoning has come apart from it.
    pub fn give_up(&mut self) {
        if self.state == State::Begin {
            self.state = State::Answer;
        }
    }

    /// Whether `push` and `finish` can change anything.
    pub fn is_over(&self) -> bool {
        self.state == State::Answer && self.held.is_empty()
    }

    pub fn push(&mut self, more: &str) -> Parted {
        let mut parted = Parted::default();
        self.held.push_str(more);
        while self.step(&mut parted) {}
        parted
    }

    /// What was held back, at the end of the answer.
    pub fn finish(&mut self) -> Parted {
        let held = mem::take(&mut self.held);
        match mem::replace(&mut self.state, State::Answer) {
            State::Opened | State::Thinking => Parted { reasoning: held, ..Parted::default() },
            State::Begin | State::Closed | State::Answer => Parted { text: held, ..Parted::default() },
        }
    }

    /// Takes what is decided of `held`; false: the rest is not.
    fn step(&mut self, parted: &mut Parted) -> bool {
        match self.state {
            State::Begin => {
                let begun = self.held.trim_start();
                if let Some(rest) = begun.strip_prefix(OPEN) {
                    self.held = rest.to_owned();
                    self.state = State::Opened;
                    return true;
                }
                if OPEN.starts_with(begun) {
                    return false;
                }
                self.state = State::Answer;
                true
            }
            State::Opened | State::Closed => {
                self.held = self.held.trim_start().to_owned();
                if self.held.is_empty() {
                    return false;
                }
                self.state = if self.state == State::Opened { State::Thinking } else { State::Answer };
                true
            }
            State::Thinking => {
                if let Some(end) = self.held.find(CLOSE) {
                    let rest = self.held.split_off(end + CLOSE.len());
                    self.held.truncate(end);
                    parted.reasoning.push_str(self.held.trim_end());
                    self.held = rest;
                    self.state = State::Closed;
                    return true;
                }
                // Blanks may stand before the tag, and a part of the tag may stand at the end.
                let tag =
                    (1..CLOSE.len()).rev().find(|&length| self.held.ends_with(&CLOSE[..length])).unwrap_or(0);
                let decided = self.held[..self.held.len() - tag].trim_end().len();
                let rest = self.held.split_off(decided);
                parted.reasoning.push_str(&mem::replace(&mut self.held, rest));
                false
            }
            State::Answer => {
                parted.text.push_str(&mem::take(&mut self.held));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(pieces: &[&str]) -> (String, String) {
        let mut tags = ThinkTags::default();
        let mut all = Parted::default();
        let mut add = |more: Parted| {
            all.reasoning.push_str(&more.reasoning);
            all.text.push_str(&more.text);
        };
        for piece in pieces {
            add(tags.push(piece));
        }
        add(tags.finish());
        (all.reasoning, all.text)
    }

    #[test]
    fn reasoning_and_text_come_apart() {
        for (whole, reasoning, text) in [
            ("<think>\nA greeting.\n</think>\n\nHello!", "A greeting.", "Hello!"),
            ("\n<think></think>Hello! ", "", "Hello! "),
            ("<think>\n\n</think>\n\n{\"a\":1}", "", "{\"a\":1}"),
            ("<think>a < b </thin </think> x", "a < b </thin", "x"),
            ("<think>cut short \n", "cut short \n", ""),
            ("Hello <think>x</think>", "", "Hello <think>x</think>"),
            ("<thinking>x", "", "<thinking>x"),
            ("<think", "", "<think"),
            ("  ", "", "  "),
            ("", "", ""),
        ] {
            assert_eq!(part(&[whole]), (reasoning.to_owned(), text.to_owned()), "{whole}");
        }
    }

    #[test]
    fn text_beside_reasoning_of_its_own_stays() {
        let mut tags = ThinkTags::default();
        tags.give_up();
        assert_eq!(tags.push("<think>x").text, "<think>x");
        assert!(tags.is_over());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_text_is_cut(
            pieces in prop::collection::vec(prop::sample::select(vec!["<think>", "</think>", "<", "th", " ", "\n", "é", "a", "/"]), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = format!("<think>{}", pieces.concat());
            let mut at: Vec<usize> =
                cuts.iter().map(|cut| whole.floor_char_boundary(cut.index(whole.len() + 1))).collect();
            at.sort_unstable();
            let mut split = Vec::new();
            let mut from = 0;
            for to in at.into_iter().chain([whole.len()]) {
                split.push(&whole[from..to]);
                from = to;
            }
            prop_assert_eq!(part(&split), part(&[&whole]));
        }
    }
}
