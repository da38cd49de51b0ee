//! The files that keep a compiled module: machine code as wasmtime lays it out, and beside it what it
//! must digest to, with the facts known of it.
//!
//! The code is mapped, not read: processes share its pages, and only those in use take memory. The file
//! is digested before it is mapped, unless a stamp shows that it is the one that was digested before:
//! an entry damaged on disk is rebuilt, never run.
#![allow(unsafe_code)]

use crate::failpoint::step;
use crate::instrument::Facts;
use crate::stamp::{self, Sight};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use wasmtime::{Engine, Module};

/// Of an entry of the cache; part of its key, so that releases with other layouts stay apart.
pub(crate) const LAYOUT: u32 = 2;
const CODE: &str = "module.cwasm";
const SEAL: &str = "module.json";
const STAMP: &str = "module.stamp";

#[derive(Serialize, Deserialize)]
struct Seal {
    blake3: String,
    facts: Facts,
}

/// Writes both files into `folder`.
pub(crate) fn write(folder: &Path, facts: Facts, code: &[u8]) -> std::io::Result<()> {
    step("code.write")?;
    let seal = Seal { blake3: blake3::hash(code).to_hex().to_string(), facts };
    // Read-only: nothing may write into a file that processes have mapped.
    let mut file =
        File::options().write(true).create_new(true).mode(0o400).open(folder.join(CODE))?;
    file.write_all(code)?;
    file.sync_all()?;
    std::fs::write(folder.join(SEAL), serde_json::to_vec(&seal)?)
}

/// `None`: missing, damaged, or made by another engine; build it again.
pub(crate) fn read(engine: &Engine, folder: &Path) -> Option<(Module, Facts)> {
    let mut seal_file = File::open(folder.join(SEAL)).ok()?;
    let code = File::open(folder.join(CODE)).ok()?;
    let mut seal = Vec::new();
    seal_file.read_to_end(&mut seal).ok()?;
    let seal: Seal = serde_json::from_slice(&seal).ok()?;
    let see = || {
        let mut sight = Sight::default();
        sight.see(&seal_file.metadata()?);
        sight.see(&code.metadata()?);
        Ok(sight)
    };
    let verify = || {
        let mut digest = blake3::Hasher::new();
        digest.update_reader(&code).is_ok() && digest.finalize().to_hex().as_str() == seal.blake3
    };
    if !stamp::holds(&folder.join(STAMP), see, verify) {
        return None;
    }
    // SAFETY: `deserialize_open_file` must be given a file that `precompile_module` of a compatible
    // engine made and that nobody changes while it is mapped. The digest, now or when the stamp was
    // made, shows that this open file is what `write` was given; wasmtime itself checks the engine's
    // version and flags; Davy replaces entries, it never writes into them. Whoever can replace or
    // change the files of the 0700 cache folder already runs as this user (SECURITY.md).
    let module = unsafe { Module::deserialize_open_file(engine, code) }.ok()?;
    Some((module, seal.facts))
}
