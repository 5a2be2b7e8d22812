//! Documents that are text.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The text of a document in base64; `None`: it is no text.
pub fn text_of(data: &str, mime_type: &str) -> Option<String> {
    const EITHER_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_PADDING);
    if !is_text(mime_type) {
        return None;
    }
    String::from_utf8(BASE64.decode(data.replace('-', "+").replace('_', "/")).ok()?).ok()
}

/// Whether a MIME type is one of text.
pub fn is_text(mime_type: &str) -> bool {
    const KINDS: [&str; 9] =
        ["json", "xml", "yaml", "x-yaml", "javascript", "x-javascript", "sql", "toml", "x-ndjson"];
    let kind = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind
            .strip_prefix("application/")
            .is_some_and(|kind| KINDS.contains(&kind) || kind.ends_with("+json") || kind.ends_with("+xml"))
}
