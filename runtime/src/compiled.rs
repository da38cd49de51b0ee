//! The file that keeps a compiled module: magic, BLAKE3 of all that follows, facts, machine code.
//!
//! Reading checks the digest over the very bytes that are then loaded, so an entry damaged on disk
//! is rebuilt, never run.
#![allow(unsafe_code)]

use crate::instrument::Facts;
use std::io::Write;
use std::path::Path;
use wasmtime::{Engine, Module};

const MAGIC: &[u8; 8] = b"DAVYMOD1";
const DIGEST: usize = 32;
const HEADER: usize = MAGIC.len() + DIGEST;

pub(crate) fn write(path: &Path, facts: Facts, code: &[u8]) -> std::io::Result<()> {
    let facts = serde_json::to_vec(&facts)?;
    let mut body = Vec::with_capacity(4 + facts.len() + code.len());
    body.extend_from_slice(&u32::try_from(facts.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend_from_slice(&facts);
    body.extend_from_slice(code);
    let mut file = std::fs::File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(blake3::hash(&body).as_bytes())?;
    file.write_all(&body)?;
    file.sync_all()
}

/// `None`: missing, damaged, or made by another engine; build it again.
pub(crate) fn read(engine: &Engine, path: &Path) -> Option<(Module, Facts)> {
    let bytes = std::fs::read(path).ok()?;
    let (header, body) = bytes.split_at_checked(HEADER)?;
    if header[..MAGIC.len()] != MAGIC[..]
        || blake3::hash(body).as_bytes()[..] != header[MAGIC.len()..]
    {
        return None;
    }
    let (length, rest) = body.split_at_checked(4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let (facts, code) = rest.split_at_checked(length)?;
    let facts = serde_json::from_slice(facts).ok()?;
    // SAFETY: `deserialize` must be given bytes that `precompile_module` of a compatible engine
    // made. The digest shows that they are what `write` was given; wasmtime itself checks the
    // engine's version and flags. Whoever can replace a file and its digest in the 0700 cache
    // folder already runs as this user (SECURITY.md).
    let module = unsafe { Module::deserialize(engine, code) }.ok()?;
    Some((module, facts))
}
