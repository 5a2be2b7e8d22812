use super::*;

const KEY: &str = "CANARY/4f9a+8b7c6d \"5e<é";

fn redact(text: &str) -> String {
    Secrets::new([KEY.to_owned()]).redact(text.to_owned())
}

#[test]
fn a_secret_is_redacted_as_json_spells_it() {
    let json = serde_json::to_string(KEY).unwrap_or_default();
    for spelling in [
        json.clone(),
        json.replace('/', "\\/"),
        json.replace('é', "\\u00e9"),
        json.replace('é', "\\u00E9").replace('/', "\\/"),
        json.replace('é', "\\u00e9").replace('<', "\\u003c"),
        json.replace('é', "\\u00E9")
            .replace('<', "\\u003C")
            .replace('+', "\\u002B")
            .replace("\\\"", "\\u0022"),
    ] {
        assert_eq!(redact(&spelling), "\"[redacted]\"", "{spelling}");
    }
}

#[test]
fn a_secret_is_redacted_as_addresses_spell_it() {
    for spelling in [
        "CANARY%2F4f9a%2B8b7c6d%20%225e%3C%C3%A9",
        "CANARY%2f4f9a%2b8b7c6d%20%225e%3c%c3%a9",
        "CANARY%2F4f9a%2B8b7c6d+%225e%3C%C3%A9",
        "CANARY/4f9a+8b7c6d%20%225e%3C%C3%A9",
    ] {
        assert_eq!(redact(&format!("?key={spelling}&x")), "?key=[redacted]&x", "{spelling}");
    }
}

#[test]
fn a_secret_is_redacted_in_base64_wherever_it_stands() {
    for before in ["", "a", "ab", "abc", "user:"] {
        for after in ["", "x", "xy"] {
            let whole = format!("{before}{KEY}{after}");
            for encoded in [BASE64_STANDARD.encode(&whole), BASE64_URL_SAFE.encode(&whole)] {
                let shown = redact(&encoded);
                assert!(shown.contains("[redacted]"), "{before} {after}: {shown}");
                // Of the key, at most the bits that share a character with a neighbour are left.
                let left = shown.len() - "[redacted]".len();
                assert!(left <= before.len() * 2 + after.len() * 2 + 4, "{before} {after}: {shown}");
            }
        }
    }
}

#[test]
fn short_words_are_left_alone() {
    let secrets = Secrets::new(["Bearer abc".to_owned()]);
    assert_eq!(secrets.redact("abc YWJj Bearer".into()), "abc YWJj Bearer");
}
