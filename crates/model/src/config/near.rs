//! Words that are close to a known one: slips, mostly.

/// How alike a word and a known one are, from 0 to 1, for the one to be taken for a slip of the other.
const NEAR: f64 = 0.85;

/// The known word that `name` is a slip of; letters and digits alone count, in any case.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let letters = |text: &str| {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
    };
    let name = letters(name);
    let alike = known.map(|known| (strsim::jaro_winkler(&name, &letters(known)), known));
    let best = alike.max_by(|(a, first), (b, second)| a.total_cmp(b).then_with(|| second.cmp(first)));
    best.filter(|(alike, _)| *alike >= NEAR).map(|(_, known)| known)
}
