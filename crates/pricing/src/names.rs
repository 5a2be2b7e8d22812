//! Other names under which a model may have its price, nearest first: a fine-tune is priced as its base, a dated or numbered
//! version as its model, a region's as the same model elsewhere.

/// Places that stand before a model's name.
const REGIONS: [&str; 10] = ["us.", "us-gov.", "eu.", "apac.", "ap.", "jp.", "au.", "ca.", "sa.", "global."];

pub(super) fn of(model: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = base(model);
    if name != model {
        names.push(name.to_owned());
    }
    if let Some(rest) = REGIONS.iter().find_map(|region| name.strip_prefix(region)) {
        name = rest;
        names.push(name.to_owned());
    }
    while let Some(shorter) = without_version(name) {
        name = shorter;
        names.push(name.to_owned());
    }
    names
}

/// `ft:MODEL:ORG:NAME:ID`, and OpenAI's older `MODEL:ft-ORG`.
fn base(model: &str) -> &str {
    match model.strip_prefix("ft:") {
        Some(tuned) => tuned.split(':').next().unwrap_or(tuned),
        None => model.split_once(":ft-").map_or(model, |(base, _)| base),
    }
}

/// Without a date, a number of three digits and more, or `latest` at the end.
fn without_version(name: &str) -> Option<&str> {
    let (before, last) = name.rsplit_once(['-', '@'])?;
    let is_number =
        |word: &str, digits: usize| word.len() >= digits && word.bytes().all(|byte| byte.is_ascii_digit());
    if before.is_empty() {
        return None;
    }
    if last == "latest" || is_number(last, 3) {
        return Some(before);
    }
    // 2024-08-06, 05-20
    let (before, month) = before.rsplit_once('-')?;
    if last.len() != 2 || month.len() != 2 || !is_number(last, 2) || !is_number(month, 2) || before.is_empty()
    {
        return None;
    }
    match before.rsplit_once('-') {
        Some((rest, year)) if year.len() == 4 && is_number(year, 4) && !rest.is_empty() => Some(rest),
        _ => Some(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_shorter_from_the_end() {
        for (model, names) in [
            ("gpt-4o", &[][..]),
            ("ft:gpt-4o-mini-2024-07-18:org::abc", &["gpt-4o-mini-2024-07-18", "gpt-4o-mini"]),
            ("gpt-3.5-turbo:ft-org-2023", &["gpt-3.5-turbo"]),
            ("gemini-2.5-flash-001", &["gemini-2.5-flash"]),
            ("gemini-2.5-pro-preview-05-20", &["gemini-2.5-pro-preview"]),
            ("claude-sonnet-4@20250514", &["claude-sonnet-4"]),
            ("jp.anthropic.claude-x", &["anthropic.claude-x"]),
            ("claude-3-5-haiku-latest", &["claude-3-5-haiku"]),
            ("model-1", &[]),
            ("-001", &[]),
            ("", &[]),
        ] {
            assert_eq!(of(model), names, "{model}");
        }
    }
}
