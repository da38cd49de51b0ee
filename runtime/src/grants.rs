//! What a sandbox may reach. The default grants nothing.

use crate::admission::AdmitRule;
use crate::callback::CallbackRule;
use std::path::PathBuf;

/// Capabilities given to one sandbox. `Grants::default()` is sealed: no directory, no
/// environment variable; real clock and randomness.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Host directories mapped into the guest.
    pub dirs: Vec<DirGrant>,
    /// Files the guest may ask for one by one, by host path.
    pub admit: Vec<AdmitRule>,
    /// Unix sockets the host connects to on the guest's behalf.
    pub callbacks: Option<CallbackRule>,
    /// Environment variables seen by the guest's C library at boot.
    pub env: Vec<(String, String)>,
    /// The clock policy.
    pub clock: ClockPolicy,
    /// The randomness policy.
    pub random: RandomPolicy,
}

/// One directory, opened through cap-std: nothing outside it can be reached, by `..` or symlink.
#[derive(Debug, Clone)]
pub struct DirGrant {
    /// Directory on the host.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
    /// Whether the guest may create, change and remove in it.
    pub write: bool,
    /// Most bytes that its files may have together, each rounded up to 4 KiB; `None` is unbounded.
    pub quota_bytes: Option<u64>,
    /// The `guest` of another directory, whose files are seen here as well, for reading, where this
    /// one has none of their names.
    pub lower: Option<String>,
}

/// What the guest's clocks show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClockPolicy {
    /// The host's clocks.
    #[default]
    Real,
    /// A wall clock that stands still at this many seconds since 1970; the monotonic clock runs.
    Fixed(u64),
}

/// Where the guest's entropy comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RandomPolicy {
    /// The operating system.
    #[default]
    Real,
    /// A reproducible stream, the same for each sandbox with this seed.
    Seeded(u64),
}
