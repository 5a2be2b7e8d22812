//! Stub.
use crate::error::GatewayError;
use crate::model::config::ProviderConfig;
pub struct Permit;
pub struct EntryLimits;
impl EntryLimits {
    pub fn of(_: &ProviderConfig) -> Option<Self> {
        None
    }
    pub async fn admit(
        &self,
        _name: &str,
        _tokens: u64,
        _deadline: Option<tokio::time::Instant>,
    ) -> Result<Option<Permit>, GatewayError> {
        Ok(None)
    }
}
