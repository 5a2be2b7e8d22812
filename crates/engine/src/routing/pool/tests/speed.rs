//! `latency` and `hybrid`.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

/// Calls one after the other; how many of them went to `faster`.
fn run(bench: &Bench, ms: &[f64], calls: usize, noise: &mut SmallRng, faster: usize) -> usize {
    let mut to_faster = 0;
    for _ in 0..calls {
        let target = bench.pick().unwrap();
        bench.states[target].measured(ms[target] * noise.random_range(0.6..1.4));
        to_faster += usize::from(target == faster);
    }
    to_faster
}

fn notices_a_swap(make: impl Fn() -> Bench) {
    for seed in 0..50 {
        random::seed(seed);
        let (mut noise, bench) = (SmallRng::seed_from_u64(seed), make());
        run(&bench, &[10.0, 30.0], 200, &mut noise, 0);
        let before = run(&bench, &[10.0, 30.0], 500, &mut noise, 0);
        assert!(before >= 400, "seed {seed}: {before} of 500 calls to the faster");
        // They change places.
        run(&bench, &[30.0, 10.0], 100, &mut noise, 1);
        let after = run(&bench, &[30.0, 10.0], 500, &mut noise, 1);
        assert!(after >= 400, "seed {seed}: {after} of 500 calls to the new faster one");
        // The slower alone becomes faster still: nothing but exploring can tell.
        run(&bench, &[5.0, 10.0], 100, &mut noise, 0);
        let better = run(&bench, &[5.0, 10.0], 500, &mut noise, 0);
        assert!(better >= 400, "seed {seed}: {better} of 500 calls to the one that got better");
    }
}

#[test]
fn latency_finds_the_fastest_target_and_notices_changes() {
    notices_a_swap(|| Bench::new("latency", &[Spec::default(); 2]));
}

#[test]
fn hybrid_notices_latency_changes() {
    notices_a_swap(|| Bench::new("hybrid", &[Spec::default(); 2]));
}

#[test]
fn latency_explores_every_target_in_turn() {
    random::seed(8);
    let bench = Bench::new("latency", &[Spec::default(); 5]);
    for (state, ms) in bench.states.iter().zip([1.0, 2.0, 3.0, 4.0, 5.0]) {
        state.measured(ms);
    }
    // One call in ten, shared by the four that are not preferred.
    let counts = bench.counts(4_000);
    assert!(counts[1..].iter().all(|count| (99..=101).contains(count)), "{counts:?}");
    // Second attempts take the fastest that is left.
    for _ in 0..100 {
        assert_eq!(bench.pool.pick(&free(), &[true, false, false, false, false]), Some(1));
    }
}

#[test]
fn unmeasured_targets_come_first_by_one_call_at_a_time() {
    for strategy in ["latency", "hybrid"] {
        random::seed(9);
        let bench = Bench::new(strategy, &[Spec::default(); 3]);
        bench.states[1].measured(10.0);
        let scores = bench.pool.scores(&free());
        assert!(scores[0] < scores[1] && scores[2] < scores[1], "{scores:?}");
        for _ in 0..2 {
            let target = bench.pick().unwrap();
            assert_ne!(target, 1);
            bench.states[target].begin();
        }
        // Both are being measured: nobody else waits for them, exploring apart.
        assert!(bench.counts(100)[1] >= 90);
        // With nobody measured at all, the calls are spread.
        let cold = Bench::new(strategy, &[Spec::default(); 3]);
        cold.states.iter().for_each(|state| state.begin());
        assert!(cold.counts(300).iter().all(|&count| count > 50));
    }
}

fn alone(name: &str) -> HybridWeights {
    let weight = |which: &str| Some(if which == name { 2.0 } else { 0.0 });
    HybridWeights { cost: weight("cost"), latency: weight("latency"), quality: weight("quality") }
}

/// Some calls have tried the first target, some the second.
fn tried_at(call: usize) -> [bool; 4] {
    [call.is_multiple_of(7), call.is_multiple_of(11), false, false]
}

#[test]
fn hybrid_with_one_weight_is_the_strategy_of_that_name() {
    let specs: Vec<Spec> = [0.9, 0.2, 0.95, 0.4].map(|quality| Spec { quality, ..Spec::default() }).to_vec();
    let dollars = [0.04, 0.01, 0.03, 0.02];
    let input = PickInput { hash: None, costs: &dollars, ..PickInput::default() };
    let trace = |bench: Bench| -> Vec<usize> {
        random::seed(10);
        let mut noise = SmallRng::seed_from_u64(10);
        let step = |number: usize| {
            let away = number / 50 % 4;
            bench.states[away].available(false);
            let tried = tried_at(number);
            let target = bench.pool.pick(&input, &tried).unwrap();
            let ms = [20.0, 40.0, 30.0, 25.0][target] * noise.random_range(0.5..1.5);
            bench.states[target].measured(ms);
            bench.states[away].available(true);
            target
        };
        (0..1000).map(step).collect()
    };
    let hybrid = |name| trace(Bench::hybrid("hybrid", alone(name), &specs));
    assert_eq!(hybrid("cost"), trace(Bench::new("cost", &specs)));
    assert_eq!(hybrid("latency"), trace(Bench::new("latency", &specs)));
    // Quality has no strategy of its own: the best that is left.
    for (number, target) in hybrid("quality").into_iter().enumerate() {
        let left = |&target: &usize| target != number / 50 % 4 && !tried_at(number)[target];
        let best = [2, 0, 3, 1].into_iter().find(left);
        assert_eq!(Some(target), best);
    }
}

#[test]
fn hybrid_applies_its_weights() {
    let spec = |quality| Spec { quality, ..Spec::default() };
    let dollars = [0.10, 0.01, 0.055];
    let input = PickInput { hash: None, costs: &dollars, ..PickInput::default() };
    let weights =
        |cost, quality| HybridWeights { cost: Some(cost), latency: Some(0.0), quality: Some(quality) };
    let specs = [spec(0.9), spec(0.5), spec(0.8)];
    let scores = |weights| Bench::hybrid("hybrid", weights, &specs).pool.scores(&input);
    let close = |scores: Vec<f64>, wanted: [f64; 3]| {
        assert!(scores.iter().zip(wanted).all(|(score, wanted)| (score - wanted).abs() < 1e-9), "{scores:?}");
    };
    // Cost at 1, 0, 1/2; quality from the top at 0, 1, 1/4.
    close(scores(weights(1.0, 1.0)), [0.5, 0.5, 0.375]);
    close(scores(weights(3.0, 1.0)), [0.75, 0.25, 0.4375]);
    // What is away does not stretch the scale: cost at 1 and 0 again, quality at 0 and 1.
    let bench = Bench::hybrid("hybrid", weights(1.0, 3.0), &specs);
    bench.states[1].available(false);
    let scores = bench.pool.scores(&input);
    assert_eq!(scores[1], f64::INFINITY);
    close(vec![scores[0], 0.0, scores[2]], [0.25, 0.0, 0.75]);
    assert_eq!(bench.pool.pick(&input, &[]), Some(0));
}

#[test]
fn costs_are_compared_only_if_they_have_a_weight() {
    let compares = |bench: &Bench| bench.pool.compares_costs();
    let hybrid = |weight| Bench::hybrid("hybrid", alone(weight), &[Spec::default(); 3]);
    assert!(compares(&hybrid("cost")));
    assert!(!compares(&hybrid("quality")) && hybrid("quality").pick().is_some());
    for strategy in strategy_names() {
        let bench = Bench::new(strategy, &[Spec::default(); 3]);
        let wanted = ["cost", "hybrid"].contains(&strategy);
        assert_eq!(compares(&bench), wanted, "{strategy:?}");
        assert!(bench.pick().is_some(), "{strategy:?} without costs");
    }
}
