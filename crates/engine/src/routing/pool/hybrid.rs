//! Cost, latency and quality together: each is brought to 0 (the best available target) to 1 (the worst), and the
//! target with the lowest weighted mean is asked.

use std::cell::Cell;

use super::explore::{AWAITED, Call, Explorer, UNKNOWN, as_score, milliseconds};
use super::select::{candidates, lowest};
use super::{Ask, Target, TargetState};
use gateway_model::config::HybridWeights;

pub(super) struct Hybrid {
    cost: f64,
    latency: f64,
    quality: f64,
    explorer: Explorer,
    /// Of each target.
    qualities: Vec<f64>,
}

/// What was seen of the targets at one pick.
struct Field<'a, S> {
    targets: &'a [Target<S>],
    ask: Ask<'a>,
    /// As [`milliseconds`] has it; [`AWAITED`] where speed does not matter; no number where a target is not in question.
    ms: Vec<f64>,
    dollars: Scale,
    speed: Scale,
    quality: Scale,
}

thread_local! {
    /// The list of the pick before, for its room. It is taken out for a pick and put back, never borrowed.
    static ROOM: Cell<Vec<f64>> = const { Cell::new(Vec::new()) };
}

impl Hybrid {
    pub(super) fn new<S>(weights: HybridWeights, targets: &[Target<S>]) -> Self {
        let part = |weight: Option<f64>| weight.filter(|weight| weight.is_finite()).unwrap_or(1.0).max(0.0);
        let (cost, latency, quality) = (part(weights.cost), part(weights.latency), part(weights.quality));
        let total = cost + latency + quality;
        let total = if total > 0.0 { total } else { 1.0 };
        Self {
            cost: cost / total,
            latency: latency / total,
            quality: quality / total,
            explorer: Explorer::new(targets.len()),
            qualities: targets.iter().map(|target| target.quality).collect(),
        }
    }

    pub(super) fn compares_costs(&self) -> bool {
        self.cost > 0.0
    }

    pub(super) fn pick<S: TargetState>(
        &self,
        ask: &Ask<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        // A thread that is ending has no room left; the pick brings its own.
        let room = ROOM.try_with(Cell::take).unwrap_or_default();
        let field = self.look(ask, targets, tried, room);
        // Where speed does not matter there is nothing to find out.
        let call = if self.latency > 0.0 { self.explorer.begin(tried) } else { Call::second() };
        let explores = call.explores();
        let picked = lowest(field.seen().map(|(index, target, ms)| {
            let asked_at = || self.explorer.asked_at(index);
            let rank = if explores && ms >= 0.0 { asked_at() } else { field.score(index, target, ms) };
            (index, target.weight, rank)
        }));
        self.explorer.note(call, picked);
        let _ = ROOM.try_with(|room| room.set(field.ms));
        picked
    }

    pub(super) fn score_each<S: TargetState>(
        &self,
        ask: &Ask<'_>,
        targets: &[Target<S>],
        mut set: impl FnMut(usize, f64),
    ) {
        let field = self.look(ask, targets, &[], Vec::new());
        field.seen().for_each(|(index, target, ms)| set(index, as_score(field.score(index, target, ms))));
    }

    fn look<'a, S: TargetState>(
        &self,
        ask: &Ask<'a>,
        targets: &'a [Target<S>],
        tried: &[bool],
        mut ms: Vec<f64>,
    ) -> Field<'a, S> {
        // Costs that do not matter are as good as unknown.
        let compares = self.compares_costs() && ask.costs.len() == targets.len();
        let ask = Ask { costs: if compares { ask.costs } else { &[] }, ..*ask };
        let matters = self.latency > 0.0;
        ms.clear();
        ms.resize(targets.len(), f64::NAN);
        for (index, target) in candidates(targets, tried) {
            if let Some(slot) = ms.get_mut(index) {
                *slot = if matters { milliseconds(target) } else { AWAITED };
            }
        }
        let [dollars, speed, quality] =
            [ask.costs, &ms, &self.qualities].map(|values| Range::of(values, &ms));
        Field {
            targets,
            ask,
            ms,
            dollars: dollars.upwards(self.cost),
            speed: speed.upwards(self.latency),
            quality: quality.downwards(self.quality),
        }
    }
}

impl<S> Field<'_, S> {
    /// The targets in question.
    fn seen(&self) -> impl Iterator<Item = (usize, &Target<S>, f64)> {
        let all = self.targets.iter().zip(&self.ms).enumerate();
        all.filter(|(_, (_, ms))| !ms.is_nan()).map(|(index, (target, ms))| (index, target, *ms))
    }

    /// 0 to 1, lower is better; [`UNKNOWN`] for a target that is still to be measured.
    fn score(&self, index: usize, target: &Target<S>, ms: f64) -> f64 {
        if ms < 0.0 {
            return UNKNOWN;
        }
        let dollars = self.dollars.place(self.ask.cost(index));
        dollars + self.speed.place(ms) + self.quality.place(target.quality)
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
    /// Of targets in question, those that have a number in `ms`. What is infinite is not known, and left out.
    fn of(values: &[f64], ms: &[f64]) -> Self {
        // In lanes and without branches, so that the processor compares several at once: each pick does this for all targets.
        const LANES: usize = 4;
        let (mut least, mut greatest) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        let mut add = |values: &[f64; LANES], ms: &[f64; LANES]| {
            for lane in 0..LANES {
                let value = if ms[lane].is_nan() { f64::NAN } else { values[lane] };
                // Infinity times nothing is no number, and no number is above or below another.
                let known = value + value * 0.0;
                least[lane] = if known < least[lane] { known } else { least[lane] };
                greatest[lane] = if known > greatest[lane] { known } else { greatest[lane] };
            }
        };
        let ((values, last_values), (ms, last_ms)) = (values.as_chunks(), ms.as_chunks());
        values.iter().zip(ms).for_each(|(values, ms)| add(values, ms));
        let filled = |last: &[f64]| std::array::from_fn(|lane| last.get(lane).copied().unwrap_or(f64::NAN));
        add(&filled(last_values), &filled(last_ms));
        Self {
            least: least.into_iter().fold(f64::INFINITY, f64::min),
            greatest: greatest.into_iter().fold(f64::NEG_INFINITY, f64::max),
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![4 => 0.0..1e4, 1 => Just(f64::INFINITY), 1 => Just(UNKNOWN), 1 => Just(f64::NAN)]
    }

    proptest! {
        #[test]
        fn ranges_are_those_of_what_is_known(pairs in proptest::collection::vec((any_value(), any_value()), 0..40)) {
            let (values, ms): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let Range { least, greatest } = Range::of(&values, &ms);
            let known = || pairs.iter().filter(|(value, ms)| value.is_finite() && !ms.is_nan()).map(|(value, _)| *value);
            prop_assert_eq!(least, known().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(greatest, known().fold(f64::NEG_INFINITY, f64::max));
        }
    }
}
