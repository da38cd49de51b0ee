//! The image's manifest.

use serde::Deserialize;
use std::collections::BTreeMap;

/// What `manifest.json` says: versions, digests, recipe key.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// Always `davy-image`.
    pub format: String,
    /// Version of the container format.
    pub format_version: u32,
    /// Version of the guest contract.
    pub abi: u32,
    /// The Python inside.
    pub python: PythonVersion,
    /// SHA-256 of the recipe the image was built from, hex.
    pub recipe: String,
    /// Digest and size of `module.wasm`.
    pub module: Part,
    /// Digest and size of `files.tar`.
    pub files: Part,
    /// The guest as it was frozen when the image was built; absent: each worker starts from nothing.
    #[serde(default)]
    pub snapshot: Option<Frozen>,
    /// Packages inside, name → version.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
}

/// The Python version of an image.
#[derive(Debug, Clone, Deserialize)]
pub struct PythonVersion {
    /// `3.11.2`
    pub version: String,
    /// `3.11`: must equal the driver's, since cloudpickle ships byte code.
    pub minor: String,
}

/// The image's snapshot: digest and size of `memory.snapshot`, and what it was made of.
#[derive(Debug, Clone, Deserialize)]
pub struct Frozen {
    /// Digest and size.
    #[serde(flatten)]
    pub part: Part,
    /// The environment that it has read: it serves guests with this one, and no other.
    pub env: BTreeMap<String, String>,
    /// Hex SHA-256 of the module that ran.
    pub module: String,
    /// Hex SHA-256 of the tar of Python files that it has imported from.
    pub files: String,
}

/// Digest and size of one entry.
#[derive(Debug, Clone, Deserialize)]
pub struct Part {
    /// Hex SHA-256.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}
