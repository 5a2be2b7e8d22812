//! What is secret in the addresses of an entry, and in names that may be pasted keys.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::http::SECRET_LENGTH;

/// Characters from which on a segment of a path, or a name, can be a key.
const KEY_LENGTH: usize = 16;

/// The secrets of `address`: its password and a long user, values of its query, and segments of its path that look like
/// keys, each as it is written and decoded.
pub(super) fn address_secrets(address: &str) -> Vec<String> {
    let Ok(url) = Url::parse(address) else { return Vec::new() };
    let mut secrets = credentials(&url);
    for segment in url.path().split('/') {
        let decoded = decode(segment);
        if looks_like_key(&decoded) || looks_like_key(segment) {
            secrets.extend([segment.to_owned(), decoded]);
        }
    }
    for pair in url.query().unwrap_or("").split('&') {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let decoded = decode(&value.replace('+', " "));
        if decoded.len() >= SECRET_LENGTH && !name.eq_ignore_ascii_case("api-version") {
            secrets.extend([value.to_owned(), decoded]);
        }
    }
    secrets
}

/// The password of an address, its user where it is long, and both as `Authorization: Basic` has them.
pub(super) fn credentials(url: &Url) -> Vec<String> {
    let (user, password) = (decode(url.username()), url.password().map(decode));
    if user.is_empty() && password.is_none() {
        return Vec::new();
    }
    let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.as_deref().unwrap_or("")));
    let long = |value: &str| value.len() >= SECRET_LENGTH;
    let mut secrets = vec![pair];
    secrets.extend(Some(user).filter(|user| long(user)));
    secrets.extend(Some(url.username().to_owned()).filter(|user| long(user)));
    // A password of one or two characters would redact whole texts.
    secrets.extend(password.filter(|password| password.chars().count() > 2));
    secrets.extend(url.password().map(str::to_owned).filter(|password| long(password)));
    secrets
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn looks_like_key(text: &str) -> bool {
    text.chars().count() >= KEY_LENGTH
        && text.chars().any(|char| char.is_ascii_digit())
        && text.chars().any(char::is_alphabetic)
}

/// The name of a variable, for people: a key that was pasted in its place is not shown.
pub(crate) fn shown_variable(name: &str) -> Cow<'_, str> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let lowercase = name.chars().any(char::is_lowercase);
    let pasted = !name.chars().all(is_name) || (looks_like_key(name) && (lowercase || !name.contains('_')));
    if pasted && name.chars().count() >= SECRET_LENGTH {
        Cow::Borrowed("[not shown: it looks like a key]")
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_addresses_are_secrets() {
        let secrets = address_secrets(
            "https://us:pass%20word@a.test/CANARY-4f9a8b7c6d5e/v1?key=CANARY%2B1&api-version=2025-04-01&s=short",
        );
        for secret in ["pass word", "CANARY-4f9a8b7c6d5e", "CANARY+1", "CANARY%2B1"] {
            assert!(secrets.iter().any(|one| one == secret), "{secret}: {secrets:?}");
        }
        for plain in ["us", "v1", "2025-04-01", "short"] {
            assert!(!secrets.iter().any(|one| one == plain), "{plain}");
        }
        assert!(secrets.contains(&BASE64_STANDARD.encode("us:pass word")));
        assert!(address_secrets("https://api.openai.com/openai/deployments/mine/v1").is_empty());
    }

    #[test]
    fn a_key_pasted_in_place_of_a_variable_is_not_shown() {
        for name in ["OPENAI_API_KEY", "KEY_2", "MY_SERVICE_API_KEY_2024", "lowercase_name", "K"] {
            assert_eq!(shown_variable(name), name);
        }
        for key in [
            "sk-proj-abcdef",
            "AIzaSyA1234567890abcdefghijk",
            "0123456789abcdef0123456789abcdef",
            "AKIAIOSFODNN7EXAMPLE",
            "gsk_Abc123Def456Ghi789",
        ] {
            assert!(!shown_variable(key).contains(key), "{key}");
        }
    }
}
