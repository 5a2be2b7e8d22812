//! Who calls, where a server knows it.

/// The client key that a call came with. Calls in process have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Stays the same when the key's secret is replaced.
    pub key_id: String,
    /// Whose budget the key shares.
    pub team: Option<String>,
    /// To whom the key was given.
    pub owner: Option<String>,
}
