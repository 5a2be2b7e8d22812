//! What `health()` reports.

use serde::Serialize;

use super::breaker::BreakerState;
use gateway_model::KeyState;

/// One provider entry.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryReport {
    pub provider: String,
    /// The worst state of its targets.
    pub state: BreakerState,
    /// The worst figures of its targets.
    pub latency_ms: LatencyReport,
    /// The mean of its targets' error rates, 0 to 1.
    pub error_rate: f64,
    pub in_flight: usize,
    pub targets: Vec<TargetReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyState>,
}

/// Milliseconds to the first content.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LatencyReport {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

/// One model of an entry.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    pub model: String,
    pub state: BreakerState,
    pub latency_ms: LatencyReport,
    /// Of the last 32 attempts, 0 to 1.
    pub error_rate: Option<f64>,
    pub in_flight: usize,
    /// Milliseconds until it may be asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_ms: Option<u64>,
}

impl EntryReport {
    /// Sums up an entry's targets.
    pub fn of(provider: &str, mut targets: Vec<TargetReport>, keys: Vec<KeyState>) -> Self {
        targets.sort_by(|a, b| a.model.cmp(&b.model));
        let (p50, p95) =
            (worst(&targets, |target| target.latency_ms.p50), worst(&targets, |t| t.latency_ms.p95));
        let rated: Vec<f64> = targets.iter().filter_map(|target| target.error_rate).collect();
        #[allow(clippy::cast_precision_loss)]
        let error_rate = (!rated.is_empty()).then(|| rated.iter().sum::<f64>() / rated.len() as f64);
        Self {
            provider: provider.to_owned(),
            state: targets.iter().map(|target| target.state).max().unwrap_or(BreakerState::Closed),
            latency_ms: LatencyReport { p50, p95 },
            error_rate: error_rate.unwrap_or(0.0),
            in_flight: targets.iter().map(|target| target.in_flight).sum(),
            targets,
            keys,
        }
    }
}

fn worst(targets: &[TargetReport], of: impl Fn(&TargetReport) -> Option<f64>) -> Option<f64> {
    targets.iter().filter_map(of).max_by(f64::total_cmp)
}
