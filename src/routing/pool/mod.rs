//! Stub.
use crate::model::config::{HybridWeights, StrategyKind};
use std::sync::Arc;
pub trait TargetState: Send + Sync {
    fn is_available(&self) -> bool;
    fn in_flight(&self) -> usize;
    fn first_content_ms(&self) -> Option<f64>;
}
pub struct Target {
    pub entry: String,
    pub model: String,
    pub weight: f64,
    pub priority: u64,
    pub quality: f64,
    pub state: Arc<dyn TargetState>,
}
pub struct Pool {
    targets: Vec<Target>,
}
pub struct Ask<'a> {
    pub hash: Option<&'a str>,
    pub cost: &'a dyn Fn(usize) -> f64,
}
impl Pool {
    pub fn new(targets: Vec<Target>, _strategy: StrategyKind, _weights: HybridWeights) -> Self {
        Self { targets }
    }
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
    pub fn pick(&self, _ask: &Ask<'_>, tried: &[bool]) -> Option<usize> {
        (0..tried.len()).find(|&i| !tried[i] && self.targets[i].state.is_available())
    }
    pub fn scores(&self, _ask: &Ask<'_>) -> Vec<f64> {
        vec![0.0; self.targets.len()]
    }
}
