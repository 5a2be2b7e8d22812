//! What a pick costs: `cargo bench --bench pick`. Each strategy among 3 and among 200 targets, all of them available.

use std::hint::black_box;
use std::sync::Arc;

use ai_gateway_native::model::config::{HybridWeights, StrategyKind};
use ai_gateway_native::routing::health::{BreakerSettings, TargetHealth};
use ai_gateway_native::routing::pool::{Ask, Pool, Target, TargetName};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Targets with breakers and measured latencies, as those of a gateway in use.
fn pool(strategy: StrategyKind, targets: u32) -> Pool<TargetHealth> {
    let target = |number: u32| {
        let state = TargetHealth::new(BreakerSettings::from(None));
        state.latency().record(f64::from(number * 7919 % 1000));
        Target {
            name: TargetName::new(&format!("provider-{number}"), "some-model"),
            weight: f64::from(1 + number % 3),
            priority: u64::from(number % 2),
            quality: f64::from(number % 10) / 10.0,
            state: Arc::new(state),
        }
    };
    Pool::new((0..targets).map(target).collect(), strategy, HybridWeights::default())
}

#[allow(clippy::cast_precision_loss)]
fn pick(criterion: &mut Criterion) {
    for (name, strategy) in [
        ("priority", StrategyKind::Priority),
        ("weighted", StrategyKind::Weighted),
        ("round_robin", StrategyKind::RoundRobin),
        ("least_busy", StrategyKind::LeastBusy),
        ("consistent_hash", StrategyKind::ConsistentHash),
        ("cost", StrategyKind::Cost),
        ("latency", StrategyKind::Latency),
        ("hybrid", StrategyKind::Hybrid),
    ] {
        let mut group = criterion.benchmark_group(name);
        for targets in [3, 200] {
            let pool = pool(strategy, targets);
            let tried = vec![false; targets as usize];
            let ask = Ask {
                hash: Some("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
                cost: &|target| (target * 31 % 17) as f64,
            };
            group.bench_function(BenchmarkId::from_parameter(targets), |bencher| {
                bencher.iter(|| pool.pick(black_box(&ask), black_box(&tried)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);
