//! Counts the tokens of a text.
//!
//! Counted with the vendor's own vocabulary where it is public (OpenAI, DeepSeek, Qwen, Mistral, GLM) and may be given out
//! without conditions. Where it is not, an estimate: the count of OpenAI's o200k_base times a factor, rounded up:
//!
//! | models | factor | why |
//! |---|---|---|
//! | Claude up to 4.6 | 1.25 | published comparisons find a fifth to a third more tokens than o200k_base for prose and code |
//! | Claude from 4.7 on, or of no stated version | 1.5 | its newer tokenizer makes 1.0 to 1.35 times what the older one did |
//! | Gemini, Gemma, Grok, Command, Nova, MiniMax | 1.1 | vocabularies of about the same size; a little on the safe side |
//! | OpenAI before GPT-3.5 | 1.25 | a vocabulary of a quarter of the size: a fifth more tokens for prose |
//! | Llama from 3 on | 1.25 | measured: 1.0 for English, code and JSON, at most 1.16 for longer texts in thirteen other languages, 1.25 for single sentences; more for Hebrew, Hindi and other scripts that have few tokens of their own |
//! | Kimi | 1.35 | measured: 1.0 for English, code and JSON, 0.9 for Chinese, at most 1.34 for longer texts in twelve other languages; more for single sentences in Russian, and for scripts that have few tokens of their own |
//! | any other | 1 | nothing is known |
//!
//! A vocabulary is loaded when the first text is counted with it. Special tokens written out in a text
//! (`<|endoftext|>`) are text.
//!
//! Long texts are counted in pieces of at most 4 KiB, cut before a space where no token can reach across, so
//! that the sum is the same. Only a piece without any such space is cut between two characters, which can make a token
//! or two more.

use std::sync::{Mutex, PoisonError};

use super::attachments::{self, Bound, MOST_IMAGE};
use super::vocabularies::{is_loaded, vocabulary};
use gateway_model::{Content, Message, Part, Tool};

/// Tokens that chat formats spend on each message, and on the start of the answer.
const FRAME: u64 = 3;

/// Tokens counted for a part of which nothing is known, and at least for a file or a sound.
pub const ATTACHMENT_TOKENS: u64 = 1_000;

/// Bytes. The regular expressions that split a text into words look, for some scripts and symbols, through all of the
/// rest for each word: a megabyte of emoji would take DeepSeek's more than a minute.
const PIECE: usize = 4_096;

const FALLBACK_ENCODING: &str = "o200k_base";

/// In hundredths.
type Factor = u64;

const EXACT: Factor = 100;
const OTHER_VENDOR: Factor = 110;
const CLAUDE: Factor = 125;
const LLAMA: Factor = 125;
const KIMI: Factor = 135;
const NEWER_CLAUDE: Factor = 150;
const HIGHEST_FACTOR: Factor = NEWER_CLAUDE;

/// The first version of Claude with the newer tokenizer.
const NEWER_CLAUDE_VERSION: (u32, u32) = (4, 7);

const OTHER_VENDORS: [&str; 6] = ["gemini", "gemma", "grok", "command-", "nova-", "minimax"];

/// OpenAI's vocabularies before GPT-3.5.
const OLDEST: [&str; 3] = ["p50k_base", "p50k_edit", "r50k_base"];
const OLDEST_FACTOR: Factor = 125;

/// The tokens of a text.
///
/// The first count with a vocabulary loads it: some 100 ms. Takes time in proportion to the text's length.
pub fn count_text(model: &str, text: &str) -> u64 {
    let tokenizer = Tokenizer::of(model);
    scale(tokenizer.count(text), tokenizer.factor)
}

/// The tokens of a conversation: all text of each message (of tool calls: name and arguments; of files: their text), 3 more
/// for each message and 3 for the answer's start, images and other files as their vendors document it; and the tools' names,
/// descriptions and schemas.
pub fn count_prompt(model: &str, messages: &[Message], tools: &[Tool]) -> u64 {
    Tokenizer::of(model).count_prompt(&Prompt { messages, tools, further: &[] }, &Counted::default())
}

/// All that is sent and read by a model.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    pub messages: &'a [Message],
    pub tools: &'a [Tool],
    /// What goes along as text: schemas, options.
    pub further: &'a [String],
}

/// The tokens of texts on their own, as embedding models bill them.
pub fn count_texts(model: &str, texts: &[String]) -> u64 {
    Tokenizer::of(model).count_texts(texts, &Counted::default())
}

/// Cached counts of one prompt. Models that share a vocabulary share its count.
#[derive(Debug, Default)]
pub struct Counted(Mutex<Vec<(&'static str, u64)>>);

impl Counted {
    fn get(&self, encoding: &'static str, count: impl FnOnce() -> u64) -> u64 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tokens)) = known.iter().find(|(name, _)| *name == encoding) {
            return *tokens;
        }
        let tokens = count();
        known.push((encoding, tokens));
        tokens
    }
}

/// At least what [`count_texts`] gives for any model, without counting.
pub fn texts_upper_bound(texts: &[String]) -> u64 {
    scale(texts.iter().map(|text| text.len() as u64).sum(), HIGHEST_FACTOR)
}

/// At least what [`Tokenizer::count_prompt`] gives for any model, without counting: no vocabulary makes more tokens of a
/// text than it has bytes.
pub fn prompt_upper_bound(prompt: &Prompt<'_>) -> u64 {
    let Prompt { messages, tools, further } = prompt;
    let bytes = texts(messages).map(|text| text.len() as u64).sum::<u64>();
    let tools = tools.iter().map(|tool| tool_text(tool).len() as u64).sum::<u64>();
    let beside = messages.iter().map(attachments::further_bytes).sum::<u64>();
    let along = further.iter().map(|text| text.len() as u64).sum::<u64>();
    let bytes = bytes.saturating_add(tools).saturating_add(beside).saturating_add(along);
    scale(bytes, HIGHEST_FACTOR).saturating_add(overhead(messages, MOST_IMAGE, Bound::Cheap))
}

/// How to count a model's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokenizer {
    encoding: &'static str,
    factor: Factor,
    /// Tokens.
    image: u64,
}

impl Tokenizer {
    pub fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let tokenizer = Self::of_texts(&model);
        Self { image: attachments::image_tokens(&model, tokenizer.factor == NEWER_CLAUDE), ..tokenizer }
    }

    fn of_texts(model: &str) -> Self {
        let estimate = |factor| Self { encoding: FALLBACK_ENCODING, factor, image: 0 };
        if let Some((_, version)) = model.split_once("claude") {
            return estimate(if has_newer_tokenizer(version) { NEWER_CLAUDE } else { CLAUDE });
        }
        if OTHER_VENDORS.iter().any(|vendor| model.contains(vendor)) {
            return estimate(OTHER_VENDOR);
        }
        match encoding(model) {
            Some(own) if OLDEST.contains(&own) => estimate(OLDEST_FACTOR),
            Some("llama3") => estimate(LLAMA),
            Some("kimi_k2" | "kimi_k3") => estimate(KIMI),
            own => Self { encoding: own.unwrap_or(FALLBACK_ENCODING), factor: EXACT, image: 0 },
        }
    }

    /// Whether counting has no vocabulary to load first.
    pub fn is_loaded(self) -> bool {
        is_loaded(self.encoding)
    }

    /// Loads the vocabulary on a thread of its own, unless that has begun.
    pub fn load_in_background(self) {
        static BEGUN: Mutex<Vec<&str>> = Mutex::new(Vec::new());
        let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.contains(&self.encoding) {
            return;
        }
        let load = move || vocabulary(self.encoding).is_some();
        if std::thread::Builder::new().name("ai-gateway-words".into()).spawn(load).is_ok() {
            begun.push(self.encoding);
        }
    }

    /// The tokens of the prompt that `counted` belongs to.
    pub fn count_prompt(self, prompt: &Prompt<'_>, counted: &Counted) -> u64 {
        let Prompt { messages, tools, further } = prompt;
        let tokens = counted.get(self.encoding, || {
            let tools = tools.iter().map(|tool| self.count(&tool_text(tool))).sum::<u64>();
            let beside =
                messages.iter().flat_map(|message| attachments::further_texts(message, Bound::Counted));
            let beside = beside.map(|text| self.count(&text)).sum::<u64>();
            let along = further.iter().map(|text| self.count(text)).sum::<u64>();
            let texts = texts(messages).map(|text| self.count(text)).sum::<u64>();
            texts.saturating_add(tools).saturating_add(beside).saturating_add(along)
        });
        scale(tokens, self.factor).saturating_add(overhead(messages, self.image, Bound::Counted))
    }

    /// [`count_texts`] of the texts that `counted` belongs to.
    pub fn count_texts(self, texts: &[String], counted: &Counted) -> u64 {
        let tokens = counted.get(self.encoding, || texts.iter().map(|text| self.count(text)).sum());
        scale(tokens, self.factor)
    }

    fn count(&self, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        // Every encoding named here exists; no count exceeds the bytes.
        let Some(encoding) = vocabulary(self.encoding) else { return text.len() as u64 };
        let (mut rest, mut tokens) = (text, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_end(rest));
            tokens += encoding.count(piece) as u64;
            rest = after;
        }
        tokens
    }
}

/// Where the first piece of a text ends.
fn piece_end(text: &str) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let end = text.floor_char_boundary(PIECE);
    // No vocabulary's words have a space after something else, and none looks ahead but from space to space.
    let follows_a_word =
        |at: &usize| text[..*at].chars().next_back().is_some_and(|before| !before.is_whitespace());
    let mut spaces = text[..end].rmatch_indices(' ').map(|(at, _)| at);
    spaces.find(follows_a_word).unwrap_or(end)
}

/// The model's own encoding. A name may stand behind its host's or maker's: `openai/gpt-4o`, `us.meta.llama3-8b`.
fn encoding(model: &str) -> Option<&'static str> {
    let starts = model.match_indices(['/', '.']).map(|(at, mark)| at + mark.len());
    std::iter::once(0)
        .chain(starts)
        .find_map(|start| tiktoken::model_to_encoding(&model[start..]))
        // Ministral, Magistral, Devstral, …
        .or_else(|| model.contains("stral").then_some("mistral_v3"))
}

/// Whether the rest of a Claude model's name (`-3-5-sonnet-20241022`, `-opus-4-7`) has such a version, or none at all.
fn has_newer_tokenizer(name: &str) -> bool {
    // Longer numbers are dates.
    let number = |word: &str| if word.len() <= 2 { word.parse::<u32>().ok() } else { None };
    let mut words =
        name.split(['-', '.', '@', ':']).skip_while(|word| number(word.trim_start_matches('v')).is_none());
    let Some(major) = words.next().and_then(|word| number(word.trim_start_matches('v'))) else { return true };
    (major, words.next().and_then(number).unwrap_or(0)) >= NEWER_CLAUDE_VERSION
}

/// The texts of a conversation that count as tokens.
fn texts(messages: &[Message]) -> impl Iterator<Item = &str> {
    messages.iter().flat_map(|message| {
        let (text, parts) = match &message.content {
            Content::Text(text) => (Some(text.as_str()), [].as_slice()),
            Content::Parts(parts) => (None, parts.as_slice()),
            Content::Empty => (None, [].as_slice()),
        };
        let parts = parts.iter().filter_map(|part| match part {
            Part::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let calls = message.tool_calls.iter().flat_map(|call| [call.name.as_str(), call.arguments.as_str()]);
        text.into_iter().chain(parts).chain(calls)
    })
}

/// A tool as vendors count it: as text of the prompt.
fn tool_text(tool: &Tool) -> String {
    let schema = serde_json::to_string(&tool.parameters).unwrap_or_default();
    format!("{} {} {schema}", tool.name, tool.description.as_deref().unwrap_or_default())
}

/// Tokens for everything but text.
fn overhead(messages: &[Message], image: u64, bound: Bound) -> u64 {
    let of_message = |message: &Message| match &message.content {
        Content::Parts(_) => attachments::images(message)
            .saturating_mul(image)
            .saturating_add(attachments::document_tokens(message, bound)),
        Content::Text(_) | Content::Empty => 0,
    };
    messages.iter().fold(FRAME, |sum, message| sum.saturating_add(FRAME).saturating_add(of_message(message)))
}

/// Rounded up.
fn scale(tokens: u64, factor: Factor) -> u64 {
    tokens.saturating_mul(factor).div_ceil(100)
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
