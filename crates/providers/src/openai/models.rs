//! What names of models say: OpenAI's own, and those that a user gave them.

/// OpenAI's o-series and everything from GPT-5 on, wherever the name stands: behind a maker's, in a fine-tuned model's
/// (`ft:o4-mini-2025-04-16:org::id`), in one of the user's own (`prod-gpt5-eastus`).
pub fn is_reasoning_model(model: &str) -> bool {
    is_reasoning_name(&base_name(model))
}

fn is_reasoning_name(name: &str) -> bool {
    let mut words = words(name).peekable();
    while let Some(word) = words.next() {
        let version = match word.strip_prefix("gpt") {
            Some("") => words.peek().and_then(|next| leading_number(next)),
            Some(rest) => leading_number(rest),
            None => None,
        };
        // `gpt35` is 3.5.
        if version.is_some_and(|version| version >= 5 && version != 35) {
            return true;
        }
        // `o3`, not `o3x`; `4o` is another word.
        if word.strip_prefix('o').is_some_and(|rest| rest.len() == 1 && leading_number(rest).is_some()) {
            return true;
        }
    }
    false
}

/// Whether one of OpenAI's models reasons at this effort: it takes no settings of its sampling then. From GPT-5.1 on they do not
/// unless they are told to, but for those that cannot do otherwise.
pub fn fixes_sampling(model: &str, effort: Option<&str>) -> bool {
    let name = base_name(model);
    if !is_reasoning_name(&name) || name.contains("-chat") {
        return false;
    }
    let always = name.contains("-pro") || name.contains("codex") || !has_minor_version(&name);
    always || !matches!(effort, None | Some("none"))
}

/// Whether a name has a GPT of 5.1 or later: `gpt-5.4-mini`, not `gpt-5-2025-08-07`.
fn has_minor_version(name: &str) -> bool {
    name.split_once("gpt-").and_then(|(_, version)| version.split_once('.')).is_some_and(|(major, minor)| {
        major.bytes().all(|byte| byte.is_ascii_digit())
            && minor.starts_with(|first: char| first.is_ascii_digit())
    })
}

/// Whether a name says that the model is OpenAI's and from before, or another maker's.
pub fn names_older_model(model: &str) -> bool {
    const OTHERS: [&str; 13] = [
        "oss",
        "llama",
        "mistral",
        "ministral",
        "codestral",
        "deepseek",
        "phi",
        "grok",
        "command",
        "cohere",
        "jamba",
        "qwen",
        "kimi",
    ];
    let name = base_name(model);
    !is_reasoning_name(&name)
        && (words(&name).any(|word| word.starts_with("gpt"))
            || OTHERS.iter().any(|maker| name.contains(maker)))
}

/// A model's name in small letters, without what stands around it.
fn base_name(model: &str) -> String {
    let tuned = model.strip_prefix("ft:").and_then(|rest| rest.split(':').next());
    let name = tuned.unwrap_or(model);
    name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase()
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|other: char| !other.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits)?.parse().ok()
}
