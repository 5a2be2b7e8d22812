//! Keeps keys and tokens out of what people get to see.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};

/// Shorter values would redact ordinary words.
pub const SECRET_LENGTH: usize = 8;
/// Shorter pieces of base64 could be words.
const BASE64_LENGTH: usize = 8;

/// Keys that a program gave lately, of which calls that are under way may have had any.
const GIVEN: usize = 8;

/// Values that must show nowhere, in each spelling in which an upstream may repeat them.
#[derive(Default)]
pub struct Secrets {
    /// The longest first: one may be part of another.
    spellings: Vec<String>,
    given: GivenSecrets,
}

/// Secrets that come to be known while calls run: the spellings of each.
#[derive(Clone, Default)]
pub struct GivenSecrets(Arc<Mutex<VecDeque<Vec<String>>>>);

impl GivenSecrets {
    /// `A:B` is secret as a whole and in its parts.
    pub fn add(&self, value: &str) {
        let mut spellings = Vec::new();
        spell(value, &mut spellings);
        for part in value.split(':').filter(|part| part.len() >= SECRET_LENGTH) {
            spell(part, &mut spellings);
        }
        longest_first(&mut spellings);
        let mut given = self.lock();
        given.retain(|other| *other != spellings);
        given.push_front(spellings);
        given.truncate(GIVEN);
    }

    pub fn redact(&self, text: String) -> String {
        self.lock().iter().fold(text, |text, spellings| redact(spellings, text))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn longest_first(spellings: &mut Vec<String>) {
    spellings.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    spellings.dedup();
}

fn redact(spellings: &[String], mut text: String) -> String {
    for secret in spellings {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), "[redacted]");
        }
    }
    text
}

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
                spell(secret, &mut spellings);
            }
        }
        longest_first(&mut spellings);
        Self { spellings, given: GivenSecrets::default() }
    }

    /// With those that `given` comes to hold.
    pub fn with_given(self, given: GivenSecrets) -> Self {
        Self { given, ..self }
    }

    pub fn redact(&self, text: String) -> String {
        self.given.redact(redact(&self.spellings, text))
    }
}

/// Adds `secret` as it is, and as JSON, addresses and base64 spell it.
fn spell(secret: &str, into: &mut Vec<String>) {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    into.extend([secret.to_owned(), json.replace('/', "\\/")]);
    // Encoders differ in what they escape beyond the need: nothing more, all that is not ASCII, what HTML minds.
    for also in ["", "<>&", "<>&'\"`+"] {
        let (lower, upper) = (escape_json(&json, also, Case::Lower), escape_json(&json, also, Case::Upper));
        into.extend([lower.replace('/', "\\/"), upper.replace('/', "\\/"), lower, upper]);
    }
    into.push(json);
    // Addresses leave these alone, some of them or none.
    for plain in ["-_.~", "-_.~!'()*", "-_.~!$&'()*+,;=:@", "-_.~!$&'()*+,;=:@/?"] {
        let (lower, upper) = (percent(secret, plain, Case::Lower), percent(secret, plain, Case::Upper));
        into.extend([lower.replace("%20", "+"), lower, upper.replace("%20", "+"), upper]);
    }
    into.extend(base64_spellings(secret));
}

#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

/// JSON's inner text, with `\u` for all that is not ASCII and for `also`.
fn escape_json(json: &str, also: &str, case: Case) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() && !also.contains(char) {
            escaped.push(char);
            continue;
        }
        // `\"` has its backslash already.
        if char == '"' && escaped.ends_with('\\') {
            escaped.pop();
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = match case {
                Case::Lower => write!(escaped, "\\u{unit:04x}"),
                Case::Upper => write!(escaped, "\\u{unit:04X}"),
            };
        }
    }
    escaped
}

fn percent(secret: &str, plain: &str, case: Case) -> String {
    let mut escaped = String::with_capacity(secret.len());
    for byte in secret.bytes() {
        let char = char::from(byte);
        let _ = match case {
            _ if char.is_ascii_alphanumeric() || (char.is_ascii() && plain.contains(char)) => {
                escaped.write_char(char)
            }
            Case::Lower => write!(escaped, "%{byte:02x}"),
            Case::Upper => write!(escaped, "%{byte:02X}"),
        };
    }
    escaped
}

/// `secret` as base64 has it, by itself and inside of something longer: what stands around it decides the characters at
/// its edges, and which of three ways the rest is written.
fn base64_spellings(secret: &str) -> Vec<String> {
    let mut spellings = Vec::new();
    for before in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.bytes()).collect();
        let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        if before == 0 {
            spellings.extend([BASE64_STANDARD.encode(&padded), BASE64_URL_SAFE.encode(&padded)]);
        }
        for encoded in [BASE64_STANDARD.encode(&padded), BASE64_URL_SAFE.encode(&padded)] {
            spellings.extend(encoded.get(first..end).map(str::to_owned));
        }
    }
    spellings.retain(|spelling| spelling.len() >= BASE64_LENGTH);
    spellings
}

#[cfg(test)]
mod tests;
