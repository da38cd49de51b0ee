//! Errors by fault: every variant says whose error it is and whether it poisons the sandbox.

use crate::limits::LimitKind;

/// Why a sandbox ended, or could not start.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The user's script ended its interpreter (`os._exit`, `os.abort`, a fatal Python error).
    #[error("{what}")]
    Script {
        /// A sentence for the user.
        what: String,
    },
    /// An upper bound the host enforces was reached.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The guest broke its contract or trapped.
    #[error("the guest broke its contract: {what}")]
    Guest {
        /// What it did.
        what: String,
    },
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The host failed (disk, memory, threads).
    #[error("the host failed: {what}")]
    Host {
        /// What failed, with its cause.
        what: String,
    },
    /// Somebody asked for the stop: a kill, a cancel, the end of the task.
    #[error("the sandbox was stopped: {reason}")]
    Stopped {
        /// Who asked and why.
        reason: String,
    },
}

impl Fault {
    /// The fault's short name, used across the bridge.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Script { .. } => "script",
            Fault::Limit(_) => "limit",
            Fault::Guest { .. } => "guest",
            Fault::Image(_) => "image",
            Fault::Host { .. } => "host",
            Fault::Stopped { .. } => "stopped",
        }
    }

    /// Whether the sandbox this fault came from is unfit for further use.
    ///
    /// An image fault and a host fault before the first instruction leave no sandbox to poison;
    /// all others leave guest state half-way through something.
    pub fn poisons(&self) -> bool {
        match self {
            Fault::Image(_) => false,
            Fault::Script { .. }
            | Fault::Limit(_)
            | Fault::Guest { .. }
            | Fault::Host { .. }
            | Fault::Stopped { .. } => true,
        }
    }

    pub(crate) fn host(what: impl Into<String>) -> Fault {
        Fault::Host { what: what.into() }
    }

    pub(crate) fn guest(what: impl Into<String>) -> Fault {
        Fault::Guest { what: what.into() }
    }
}

/// A limit and its numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limit exceeded: {}", self.limit.sentence(*.allowed, *.used, *.asked))]
pub struct LimitExceeded {
    /// Which limit.
    pub limit: LimitKind,
    /// The bound, in the limit's unit (see [`LimitKind::unit`]).
    pub allowed: u64,
    /// What was in use when more was asked for, in the same unit.
    pub used: u64,
    /// What was asked for or reached in all, in the same unit.
    pub asked: u64,
}

/// Why an image was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be read.
    #[error("image {path} cannot be read: {cause}")]
    Unreadable {
        /// Host path.
        path: String,
        /// The operating system's words.
        cause: String,
    },
    /// Not an image of ours at all.
    #[error("{path} is not a Davy image: {why}")]
    Foreign {
        /// Host path.
        path: String,
        /// What gave it away.
        why: String,
    },
    /// It ends early.
    #[error("image {path} is truncated: {why}; fetch or build it again")]
    Truncated {
        /// Host path.
        path: String,
        /// Where it ends.
        why: String,
    },
    /// Its content is not what its manifest promises.
    #[error("image {path} is damaged: {part} has digest {found}, its manifest promises {promised}")]
    Damaged {
        /// Host path.
        path: String,
        /// Entry name.
        part: &'static str,
        /// Hex SHA-256 found.
        found: String,
        /// Hex SHA-256 promised.
        promised: String,
    },
    /// Made for another version of this runtime.
    #[error(
        "image {path} speaks {what} version {found}, this Davy speaks {wanted}; use the image of the same Davy release"
    )]
    Version {
        /// Host path.
        path: String,
        /// Which version number.
        what: &'static str,
        /// In the image.
        found: u32,
        /// Ours.
        wanted: u32,
    },
    /// The module asks for something that is never granted, or cannot be compiled.
    #[error("the module of image {path} is refused: {why}")]
    Module {
        /// Host path.
        path: String,
        /// Why.
        why: String,
    },
    /// Its snapshot cannot be one of its guest.
    #[error("the snapshot of image {path} is refused: {why}; fetch or build the image again")]
    Snapshot {
        /// Host path.
        path: String,
        /// Why.
        why: String,
    },
    /// The cache folder failed.
    #[error(transparent)]
    Cache(#[from] crate::cache::CacheError),
}
