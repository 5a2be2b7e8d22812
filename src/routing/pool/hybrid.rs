//! Cost, latency and quality together: each is brought to 0 (the best available target) to 1 (the worst), and the
//! target with the lowest weighted mean is asked.

use std::cell::Cell;

use super::explore::{AWAITED, Call, Explorer, UNKNOWN, milliseconds};
use super::select::{candidates, lowest};
use super::{Ask, Target, TargetState};
use crate::model::config::HybridWeights;

pub(super) struct Hybrid {
    cost: f64,
    latency: f64,
    quality: f64,
    explorer: Explorer,
}

/// A target in question. What has no weight is not asked for.
struct Seen {
    index: usize,
    weight: f64,
    dollars: f64,
    /// As [`milliseconds`] has it; [`AWAITED`] where speed does not matter.
    ms: f64,
    quality: f64,
}

/// What was seen of the targets at one pick.
struct Field {
    seen: Vec<Seen>,
    dollars: Scale,
    ms: Scale,
    quality: Scale,
}

thread_local! {
    /// The list of the pick before, for its room. It is taken out for a pick and put back, never borrowed.
    static ROOM: Cell<Vec<Seen>> = const { Cell::new(Vec::new()) };
}

impl Hybrid {
    pub(super) fn new(weights: HybridWeights, targets: usize) -> Self {
        let part = |weight: Option<f64>| weight.filter(|weight| weight.is_finite()).unwrap_or(1.0).max(0.0);
        let (cost, latency, quality) = (part(weights.cost), part(weights.latency), part(weights.quality));
        let total = cost + latency + quality;
        let total = if total > 0.0 { total } else { 1.0 };
        Self {
            cost: cost / total,
            latency: latency / total,
            quality: quality / total,
            explorer: Explorer::new(targets),
        }
    }

    pub(super) fn pick<S: TargetState>(
        &self,
        ask: &Ask<'_, impl Fn(usize) -> f64 + ?Sized>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        // A thread that is ending has no room left; the pick brings its own.
        let room = ROOM.try_with(Cell::take).unwrap_or_default();
        let field = self.look(ask, targets, tried, room);
        // Where speed does not matter there is nothing to find out.
        let call = if self.latency > 0.0 { self.explorer.begin(tried) } else { Call::second() };
        let ranked = |seen: &Seen| (seen.index, seen.weight, field.score(seen));
        let picked = if call.explores() {
            lowest(field.seen.iter().map(|seen| {
                let rank = if seen.ms < 0.0 { UNKNOWN } else { self.explorer.asked_at(seen.index) };
                (seen.index, seen.weight, rank)
            }))
        } else {
            lowest(field.seen.iter().map(ranked))
        };
        self.explorer.note(call, picked);
        let _ = ROOM.try_with(|room| room.set(field.seen));
        picked
    }

    pub(super) fn score_each<S: TargetState>(
        &self,
        ask: &Ask<'_, impl Fn(usize) -> f64 + ?Sized>,
        targets: &[Target<S>],
        mut set: impl FnMut(usize, f64),
    ) {
        let field = self.look(ask, targets, &[], Vec::new());
        field.seen.iter().for_each(|seen| set(seen.index, field.score(seen)));
    }

    fn look<S: TargetState>(
        &self,
        ask: &Ask<'_, impl Fn(usize) -> f64 + ?Sized>,
        targets: &[Target<S>],
        tried: &[bool],
        mut seen: Vec<Seen>,
    ) -> Field {
        seen.clear();
        seen.reserve(targets.len());
        let (speed_matters, cost_matters) = (self.latency > 0.0, self.cost > 0.0);
        let (mut dollars, mut ms, mut quality) = (Range::EMPTY, Range::EMPTY, Range::EMPTY);
        seen.extend(candidates(targets, tried).map(|(index, target)| {
            let one = Seen {
                index,
                weight: target.weight,
                ms: if speed_matters { milliseconds(target) } else { AWAITED },
                dollars: if cost_matters { ask.cost(index) } else { 0.0 },
                quality: target.quality,
            };
            dollars.add(one.dollars);
            ms.add(if one.ms < 0.0 { AWAITED } else { one.ms });
            quality.add_known(one.quality);
            one
        }));
        Field {
            seen,
            dollars: dollars.upwards(self.cost),
            ms: ms.upwards(self.latency),
            quality: quality.downwards(self.quality),
        }
    }
}

impl Field {
    /// 0 to 1, lower is better; -1 for a target that is still to be measured.
    fn score(&self, seen: &Seen) -> f64 {
        if seen.ms < 0.0 {
            return UNKNOWN;
        }
        self.dollars.place(seen.dollars) + self.ms.place(seen.ms) + self.quality.place(seen.quality)
    }
}

/// The least and the greatest of some values.
struct Range {
    least: f64,
    greatest: f64,
}

/// Where a value stands between the best, 0, and the worst, which is the part of the score that the matter has.
struct Scale {
    best: f64,
    /// For each unit away from the best.
    step: f64,
    worst: f64,
}

impl Range {
    const EMPTY: Self = Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY };

    /// What is infinite is not known, and left out. Without branches, as this is done for each target of each pick.
    fn add(&mut self, value: f64) {
        let known = if value < f64::INFINITY { value } else { f64::NEG_INFINITY };
        self.least = if value < self.least { value } else { self.least };
        self.greatest = if known > self.greatest { known } else { self.greatest };
    }

    fn add_known(&mut self, value: f64) {
        self.least = if value < self.least { value } else { self.least };
        self.greatest = if value > self.greatest { value } else { self.greatest };
    }

    /// Lower is better.
    fn upwards(self, part: f64) -> Scale {
        Scale { best: self.least, step: self.step(part), worst: part }
    }

    /// Higher is better.
    fn downwards(self, part: f64) -> Scale {
        Scale { best: self.greatest, step: -self.step(part), worst: part }
    }

    /// All are the best where all are equal.
    fn step(&self, part: f64) -> f64 {
        let width = self.greatest - self.least;
        if width > 0.0 { part / width } else { 0.0 }
    }
}

impl Scale {
    /// What is not known is the worst; so is what infinity times no step gives, which is no number.
    fn place(&self, value: f64) -> f64 {
        let place = (value - self.best) * self.step;
        // Not `min`, which takes more than one instruction.
        if place < self.worst { place } else { self.worst }
    }
}
