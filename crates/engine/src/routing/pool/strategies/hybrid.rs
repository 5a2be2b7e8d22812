//! Cost, latency and quality together: each is scaled from 0 (the best available target) to 1 (the worst), and the target
//! with the lowest weighted mean is picked.

use std::cell::Cell;

use gateway_model::config::PoolConfig;

use crate::routing::pool::explore::{AWAITED, Explorer, ExploringCall, UNKNOWN, as_score, milliseconds};
use crate::routing::pool::select::{candidates, lowest};
use crate::routing::pool::strategy::Strategy;
use crate::routing::pool::target::{PickInput, Target, TargetState};

/// What each figure weighs, as a part of 1, and what does not change between picks.
pub(in crate::routing::pool) struct Hybrid {
    cost: f64,
    latency: f64,
    quality: f64,
    explorer: Explorer,
    /// One for each target.
    qualities: Vec<f64>,
}

/// The candidates of one pick, measured and compared.
struct Comparison<'a, S> {
    targets: &'a [Target<S>],
    input: PickInput<'a>,
    /// One for each target: as [`milliseconds`] says; [`AWAITED`] where speed has no weight; NaN for no candidate.
    ms: Vec<f64>,
    dollars: Scale,
    speed: Scale,
    quality: Scale,
}

thread_local! {
    /// The list of the pick before, whose memory this one uses. It is taken out for a pick and put back, never borrowed.
    static BUFFER: Cell<Vec<f64>> = const { Cell::new(Vec::new()) };
}

impl Strategy for Hybrid {
    const NAME: &'static str = "hybrid";
    const SUMMARY: &'static str = "the best mean of cost, latency and quality";

    fn new<S>(config: &PoolConfig, targets: &[Target<S>]) -> Self {
        let weights = config.weights;
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

    fn pick<S: TargetState>(
        &self,
        input: &PickInput<'_>,
        targets: &[Target<S>],
        tried: &[bool],
    ) -> Option<usize> {
        // A thread that is ending has no buffer left; the pick brings its own.
        let buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        let compared = self.compare(input, targets, tried, buffer);
        // Where speed has no weight there is nothing to learn.
        let call = if self.latency > 0.0 { self.explorer.begin(tried) } else { ExploringCall::uncounted() };
        let explores = call.explores();
        let picked = lowest(compared.candidates().map(|(index, target, ms)| {
            let last_picked_at = || self.explorer.last_picked_at(index);
            let rank =
                if explores && ms >= 0.0 { last_picked_at() } else { compared.score(index, target, ms) };
            (index, target.weight, rank)
        }));
        self.explorer.record(call, picked);
        let _ = BUFFER.try_with(|buffer| buffer.set(compared.ms));
        picked
    }

    /// 0 to 1; -1 for a target that is not measured yet, which comes first.
    fn scores<S: TargetState>(&self, input: &PickInput<'_>, targets: &[Target<S>]) -> Vec<(usize, f64)> {
        let compared = self.compare(input, targets, &[], Vec::new());
        let candidates = compared.candidates();
        candidates.map(|(index, target, ms)| (index, as_score(compared.score(index, target, ms)))).collect()
    }

    fn compares_costs(&self) -> bool {
        self.cost > 0.0
    }

    fn compares_quality(&self) -> bool {
        self.quality > 0.0
    }
}

impl Hybrid {
    /// `ms` lends its memory.
    fn compare<'a, S: TargetState>(
        &'a self,
        input: &PickInput<'a>,
        targets: &'a [Target<S>],
        tried: &[bool],
        mut ms: Vec<f64>,
    ) -> Comparison<'a, S> {
        // Costs without weight are as good as unknown.
        let compares = self.compares_costs() && input.costs.len() == targets.len();
        let input = PickInput { costs: if compares { input.costs } else { &[] }, ..*input };
        let matters = self.latency > 0.0;
        ms.clear();
        ms.resize(targets.len(), f64::NAN);
        for (index, target) in candidates(targets, tried) {
            if let Some(slot) = ms.get_mut(index) {
                *slot = if matters { milliseconds(target) } else { AWAITED };
            }
        }
        let qualities =
            if input.qualities.len() == targets.len() { input.qualities } else { &self.qualities };
        let input = PickInput { qualities, ..input };
        let [dollars, speed, quality] = [input.costs, &ms, qualities].map(|values| Range::of(values, &ms));
        Comparison {
            targets,
            input,
            ms,
            dollars: dollars.upwards(self.cost),
            speed: speed.upwards(self.latency),
            quality: quality.downwards(self.quality),
        }
    }
}

impl<S> Comparison<'_, S> {
    /// Index, target and milliseconds of each.
    fn candidates(&self) -> impl Iterator<Item = (usize, &Target<S>, f64)> {
        let all = self.targets.iter().zip(&self.ms).enumerate();
        all.filter(|(_, (_, ms))| !ms.is_nan()).map(|(index, (target, ms))| (index, target, *ms))
    }

    /// 0 to 1, lower is better; [`UNKNOWN`] for a target that is not measured yet.
    fn score(&self, index: usize, target: &Target<S>, ms: f64) -> f64 {
        if ms < 0.0 {
            return UNKNOWN;
        }
        let dollars = self.dollars.position(self.input.cost(index));
        let quality = self.input.qualities.get(index).copied().unwrap_or(target.quality);
        dollars + self.speed.position(ms) + self.quality.position(quality)
    }
}

/// The least and the greatest of some values.
struct Range {
    least: f64,
    greatest: f64,
}

/// Maps values to their part of the score: 0 for the best one, the figure's weight for the worst.
struct Scale {
    best: f64,
    /// For each unit away from the best.
    step: f64,
    worst: f64,
}

impl Range {
    /// Of the candidates' values; NaN in `ms` marks targets that are none. Infinite values are unknown and left out.
    fn of(values: &[f64], ms: &[f64]) -> Self {
        // In lanes and without branches, so that the processor compares several at once: each pick does this
        // for all targets.
        const LANES: usize = 4;
        let (mut least, mut greatest) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        let mut add = |values: &[f64; LANES], ms: &[f64; LANES]| {
            for lane in 0..LANES {
                let value = if ms[lane].is_nan() { f64::NAN } else { values[lane] };
                // Infinity times 0 is NaN, and NaN is neither above nor below another value.
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

    /// 0 where all are equal: all are then the best.
    fn step(&self, part: f64) -> f64 {
        let width = self.greatest - self.least;
        if width > 0.0 { part / width } else { 0.0 }
    }
}

impl Scale {
    /// An unknown value, which is infinite, gets the worst; so does NaN, which infinity times a step of 0 gives.
    fn position(&self, value: f64) -> f64 {
        let position = (value - self.best) * self.step;
        // Not `min`, which takes more than one instruction.
        if position < self.worst { position } else { self.worst }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Range, UNKNOWN};

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![4 => 0.0..1e4, 1 => Just(f64::INFINITY), 1 => Just(UNKNOWN), 1 => Just(f64::NAN)]
    }

    proptest! {
        #[test]
        fn range_covers_the_known_values_of_candidates(pairs in proptest::collection::vec((any_value(), any_value()), 0..40)) {
            let (values, ms): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let Range { least, greatest } = Range::of(&values, &ms);
            let known = || pairs.iter().filter(|(value, ms)| value.is_finite() && !ms.is_nan()).map(|(value, _)| *value);
            prop_assert_eq!(least, known().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(greatest, known().fold(f64::NEG_INFINITY, f64::max));
        }
    }
}
