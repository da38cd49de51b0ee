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

/// Digest and size of one entry.
#[derive(Debug, Clone, Deserialize)]
pub struct Part {
    /// Hex SHA-256.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}
