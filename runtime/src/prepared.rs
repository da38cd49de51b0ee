//! The image's own snapshot: a guest in which Python is initialised and the standard modules are imported,
//! frozen when the image was built ([`crate::freeze`]). Workers boot from there.
//!
//! In the cache it lies as a file of the memory's size, with holes for zeros, and beside it what it must
//! digest to. As machine code ([`crate::compiled`]) it is mapped, not read, and only if it is the file that
//! was digested, now or when its stamp was made.

use crate::cache::Entry;
use crate::failpoint::step;
use crate::grants::{ClockPolicy, Grants, RandomPolicy};
use crate::snapshot::Snapshot;
use crate::stamp::{self, Sight};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// Of an entry of the cache; part of its key, so that releases with other layouts stay apart.
pub(crate) const LAYOUT: u32 = 1;
const MEMORY: &str = "memory.image";
const SEAL: &str = "memory.json";
const STAMP: &str = "memory.stamp";

/// The snapshot of an open image.
pub(crate) struct Prepared {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The environment that it was frozen with.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) _entry: Entry,
}

impl Prepared {
    /// Whether a guest with these grants would be the same if it had prepared itself: it has read the same
    /// environment (so hashes strings alike), and draws its own random numbers by its own clock.
    pub(crate) fn serves(&self, grants: &Grants) -> bool {
        let granted: BTreeMap<_, _> =
            grants.env.iter().map(|(name, value)| (name, value)).collect();
        granted.into_iter().eq(&self.env)
            && grants.env.len() == self.env.len()
            && grants.clock == ClockPolicy::Real
            && grants.random == RandomPolicy::Real
    }
}

#[derive(Serialize, Deserialize)]
struct Seal {
    blake3: String,
    stack_pointer: i32,
    bytes: usize,
    content: u64,
}

/// Writes both files into `folder`.
pub(crate) fn write(folder: &Path, snapshot: &Snapshot) -> std::io::Result<()> {
    step("prepared.write")?;
    // Read-only: nothing may write into a file that processes have mapped.
    let mut options = File::options();
    let mut file =
        options.read(true).write(true).create_new(true).mode(0o400).open(folder.join(MEMORY))?;
    snapshot.copy_to(&file)?;
    file.sync_all()?;
    let seal = Seal {
        blake3: digest(&mut file)?,
        stack_pointer: snapshot.stack_pointer,
        bytes: snapshot.bytes(),
        content: snapshot.content(),
    };
    std::fs::write(folder.join(SEAL), serde_json::to_vec(&seal)?)
}

/// `None`: missing or damaged; build it again.
pub(crate) fn read(folder: &Path) -> Option<Snapshot> {
    let mut seal_file = File::open(folder.join(SEAL)).ok()?;
    let mut memory = File::open(folder.join(MEMORY)).ok()?;
    let mut seal = Vec::new();
    seal_file.read_to_end(&mut seal).ok()?;
    let seal: Seal = serde_json::from_slice(&seal).ok()?;
    let kept = memory.try_clone().ok()?;
    let see = || {
        let mut sight = Sight::default();
        sight.see(&seal_file.metadata()?);
        sight.see(&kept.metadata()?);
        Ok(sight)
    };
    let verify = || digest(&mut memory).is_ok_and(|found| found == seal.blake3);
    if !stamp::holds(&folder.join(STAMP), see, verify) {
        return None;
    }
    Snapshot::of_file(kept, seal.bytes, seal.content, seal.stack_pointer)
}

fn digest(file: &mut File) -> std::io::Result<String> {
    std::io::Seek::rewind(file)?;
    let mut digest = blake3::Hasher::new();
    digest.update_reader(file)?;
    Ok(digest.finalize().to_hex().to_string())
}
