//! What strategies have in common: the candidates, and the lowest of many with chance among equals.

use rand::Rng;
use rand::rngs::SmallRng;

use super::random;
use super::target::{Target, TargetState};

/// The targets that are available and not tried yet.
pub(super) fn candidates<'a, S: TargetState>(
    targets: &'a [Target<S>],
    tried: &'a [bool],
) -> impl Iterator<Item = (usize, &'a Target<S>)> {
    let was_tried = |index: usize| tried.get(index).copied().unwrap_or(false);
    let indexed = targets.iter().enumerate();
    indexed.filter(move |(index, target)| !was_tried(*index) && target.state.is_available())
}

/// Of `(index, weight, rank)`, the index of one with the lowest rank: among equals at random, by weight.
pub(super) fn lowest<R: PartialOrd>(ranked: impl Iterator<Item = (usize, f64, R)>) -> Option<usize> {
    let mut best: Option<(usize, R)> = None;
    let mut chance: Option<SmallRng> = None;
    // The weight of all that share the lowest rank.
    let mut total = 0.0;
    for (index, weight, rank) in ranked {
        // Two comparisons, of which most targets need both: faster than one with three outcomes.
        if best.as_ref().is_none_or(|(_, least)| rank < *least) {
            total = weight;
            best = Some((index, rank));
        } else if best.as_ref().is_some_and(|(_, least)| rank == *least) {
            // Each newcomer replaces the best with the probability of its share of the weight so far. In the end each has
            // had the probability of its share of the whole, in one pass and without a list.
            total += weight;
            if chance.get_or_insert_with(random::generator).random::<f64>() * total < weight {
                best = Some((index, rank));
            }
        }
    }
    best.map(|(index, _)| index)
}

/// One of the targets at random, by weight.
pub(super) fn pick_by_weight<'a, S: 'a>(
    targets: impl Iterator<Item = (usize, &'a Target<S>)>,
) -> Option<usize> {
    lowest(targets.map(|(index, target)| (index, target.weight, ())))
}

/// For `explain`: 1 less the target's share, so that a lower score means a greater chance.
pub(super) fn scores_by_weight<S: TargetState>(targets: &[Target<S>]) -> Vec<(usize, f64)> {
    let open = || candidates(targets, &[]);
    open().map(|(index, target)| (index, 1.0 - share(target, open()))).collect()
}

/// The target's share of the weight of `all`.
pub(super) fn share<'a, S: 'a>(target: &Target<S>, all: impl Iterator<Item = (usize, &'a Target<S>)>) -> f64 {
    target.weight / all.map(|(_, other)| other.weight).sum::<f64>()
}
