//! Cost, latency and quality together: each is brought to 0 (the best available target) to 1 (the worst), and the
//! target with the lowest weighted mean is asked.

use std::cell::Cell;

use super::explore::{Explorer, Speed, speed};
use super::select::{candidates, lowest};
use super::{Ask, Target};
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
    speed: Speed,
    quality: f64,
}

/// What was seen of the targets at one pick.
#[derive(Default)]
struct Field {
    seen: Vec<Seen>,
    dollars: Range,
    ms: Range,
    quality: Range,
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

    pub(super) fn pick(&self, ask: &Ask<'_>, targets: &[Target], tried: &[bool]) -> Option<usize> {
        // A thread that is ending has no room left; the pick brings its own.
        let room = ROOM.try_with(Cell::take).unwrap_or_default();
        let field = self.look(ask, targets, tried, room);
        // Where speed does not matter there is nothing to find out.
        let picked = if self.latency > 0.0 {
            let call = self.explorer.begin(tried);
            let picked = lowest(field.seen.iter().map(|seen| {
                let rank = self.explorer.rank(call, seen.index, seen.speed, self.score(&field, seen));
                (seen.index, seen.weight, rank)
            }));
            self.explorer.note(call, picked);
            picked
        } else {
            lowest(field.seen.iter().map(|seen| (seen.index, seen.weight, self.score(&field, seen))))
        };
        let _ = ROOM.try_with(|room| room.set(field.seen));
        picked
    }

    pub(super) fn score_each(&self, ask: &Ask<'_>, targets: &[Target], mut set: impl FnMut(usize, f64)) {
        let field = self.look(ask, targets, &[], Vec::new());
        for seen in &field.seen {
            let score = self.score(&field, seen);
            set(seen.index, if self.latency > 0.0 { seen.speed.or_first(score) } else { score });
        }
    }

    fn look(&self, ask: &Ask<'_>, targets: &[Target], tried: &[bool], mut room: Vec<Seen>) -> Field {
        room.clear();
        let mut field = Field { seen: room, ..Field::default() };
        for (index, target) in candidates(targets, tried) {
            let seen = Seen {
                index,
                weight: target.weight,
                dollars: if self.cost > 0.0 { ask.cost(index) } else { 0.0 },
                speed: if self.latency > 0.0 { speed(target) } else { Speed::Awaited },
                quality: target.quality,
            };
            field.dollars.add(seen.dollars);
            field.ms.add(seen.speed.or_last());
            field.quality.add(seen.quality);
            field.seen.push(seen);
        }
        field
    }

    /// 0 to 1, lower is better.
    fn score(&self, field: &Field, seen: &Seen) -> f64 {
        let of = |part: f64, value: f64| if part > 0.0 { part * value } else { 0.0 };
        of(self.cost, field.dollars.place(seen.dollars))
            + of(self.latency, field.ms.place(seen.speed.or_last()))
            + of(self.quality, field.quality.place_from_top(seen.quality))
    }
}

/// The least and the greatest of some values.
struct Range {
    least: f64,
    greatest: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }
}

impl Range {
    /// What is not finite is not known, and left out.
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
        }
    }

    /// 0 for the least value, 1 for the greatest and for what is not known; 0 for all where all are equal.
    fn place(&self, value: f64) -> f64 {
        self.part(value, value - self.least)
    }

    /// The other way round.
    fn place_from_top(&self, value: f64) -> f64 {
        self.part(value, self.greatest - value)
    }

    fn part(&self, value: f64, way: f64) -> f64 {
        if !value.is_finite() {
            1.0
        } else if self.greatest > self.least {
            way / (self.greatest - self.least)
        } else {
            0.0
        }
    }
}
