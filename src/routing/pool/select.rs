//! What strategies have in common: who may be asked, and the lowest of many with chance among equals.

use std::cmp::Ordering;

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
        match best.as_ref().map_or(Some(Ordering::Less), |(_, least)| rank.partial_cmp(least)) {
            Some(Ordering::Less) => {
                total = weight;
                best = Some((index, rank));
            }
            // Each newcomer takes the place with the chance of its part of the weight so far; in the end each has had the
            // chance of its part of the whole, in one pass and without a list.
            Some(Ordering::Equal) => {
                total += weight;
                if chance.get_or_insert_with(random::generator).random::<f64>() * total < weight {
                    best = Some((index, rank));
                }
            }
            _ => {}
        }
    }
    best.map(|(index, _)| index)
}
