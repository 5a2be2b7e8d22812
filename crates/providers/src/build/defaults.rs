//! Where a family's calls go and how they show who is calling, unless the entry says otherwise.

/// What a family has for entries that do not say it themselves.
#[derive(Debug, Clone, Copy)]
pub struct FamilyDefaults {
    /// Without a slash at the end. Empty: the entry must set its `baseUrl`, or the family works it out
    /// ([`Connection::at`](super::Connection::at)).
    pub base_url: &'static str,
    pub key_header: KeyHeader,
    /// Sent with each call. An entry's own headers replace those of the same name.
    pub headers: &'static [(&'static str, &'static str)],
    /// Milliseconds of one attempt; of a stream, of the wait for each next byte.
    pub timeout_ms: u64,
}

impl FamilyDefaults {
    /// A family at `base_url` whose keys are bearer tokens; an attempt may take 60 seconds.
    pub const fn at(base_url: &'static str) -> Self {
        Self { base_url, key_header: KeyHeader::Bearer, headers: &[], timeout_ms: 60_000 }
    }
}

/// Where a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHeader {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// For `auth.type: "apiKey"`, a header that holds the key alone; the other types have their own.
    Named(&'static str),
    /// The same header whatever `auth.type` says. An entry's own header of that name takes the key's place.
    Always(&'static str),
    /// For `auth.type: "apiKey"`, no header at all: the key signs. The other types have their own.
    Unsent,
}
