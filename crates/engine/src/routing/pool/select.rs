//! What strategies have in common: who may be asked, and the lowest of many with chance among equals.

use rand::Rng;
use rand::rngs::SmallRng;

use super::{Target, TargetState, random};

/// The targets that are available and not tried yet.
pub(super) fn candidates<'a, S: TargetState>(
    targets: &'a [Target<S>],
    tried: &'a [bool],
) -> impl Iterator<Item = (usize, &'a Target<S>)> {
    let was_tried = |index: usize| tried.get(index).copied().unwrap_or(false);
    let indexed = targets.iter().enumerate();
    indexed.filter(move |(index, target)| !was_tried(*index) && target.state.is_available())
}

/// Of `(index, weight, rank)`, one with the lowest rank: among equals at random, by weight.
pub(super) fn lowest<R: PartialOrd>(ranked: impl Iterator<Item = (usize, f64, R)>) -> Option<usize> {
    let mut best: Option<(usize, R)> = None;
    let mut chance: Option<SmallRng> = None;
    // The weight of all that share the lowest rank.
    let mut total = 0.0;
    for (index, weight, rank) in ranked {
        // Two comparisons, of which most targets need both: faster than one of three outcomes.
        if best.as_ref().is_none_or(|(_, least)| rank < *least) {
            total = weight;
            best = Some((index, rank));
        } else if best.as_ref().is_some_and(|(_, least)| rank == *least) {
            // Each newcomer takes the place with the chance of its part of the weight so far; in the end each has had the
            // chance of its part of the whole, in one pass and without a list.
            total += weight;
            if chance.get_or_insert_with(random::generator).random::<f64>() * total < weight {
                best = Some((index, rank));
            }
        }
    }
    best.map(|(index, _)| index)
}
