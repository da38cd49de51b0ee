//! Stamps: what a full verification of files found, kept beside them, so that the next opening looks
//! at the files instead of reading them.
//!
//! A stamp names what the kernel says of each file: device, inode, mode, size, and to the nanosecond
//! when its content and when anything about it changed last. No process can set the latter (`ctime`),
//! so a file that was written into, replaced, cut or put back with its old times no longer fits. What
//! a stamp cannot see is a disk that answers something else than was written to it: therefore none
//! outlives a boot (after a crash a file can lack content that its inode promises) or a day. A stamp
//! that does not fit, or is itself damaged, costs a full verification and no more.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::io::{Result, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

const VALID: Duration = Duration::from_secs(24 * 3600);
/// The clock of file times ticks every 1 to 10 ms: a file that was changed within the tick of its
/// verification could be changed again and look the same. Verifying waits until that is over.
const TICK: Duration = Duration::from_millis(20);

/// What the kernel says of some files, in their order.
#[derive(Default)]
pub(crate) struct Sight {
    digest: blake3::Hasher,
    /// When the last of them changed, nanoseconds.
    newest: i128,
    /// Whether a time has parts of seconds. A file system that keeps whole ones gets no stamps.
    fine: bool,
}

impl Sight {
    pub(crate) fn see(&mut self, file: &Metadata) {
        for number in [file.dev(), file.ino(), file.mode().into(), file.size()] {
            self.digest.update(&number.to_le_bytes());
        }
        for number in [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()] {
            self.digest.update(&number.to_le_bytes());
        }
        self.newest = self.newest.max(changed(file));
        self.fine |= file.ctime_nsec() != 0;
    }

    fn text(&self) -> String {
        self.digest.finalize().to_hex().to_string()
    }
}

fn changed(file: &Metadata) -> i128 {
    i128::from(file.ctime()) * 1_000_000_000 + i128::from(file.ctime_nsec())
}

#[derive(Serialize, Deserialize)]
struct Content<T> {
    sight: String,
    boot: String,
    /// Seconds since 1970.
    verified: u64,
    note: T,
}

/// The note of the stamp at `path`, if it fits.
pub(crate) fn believed<T: DeserializeOwned>(path: &Path, sight: &Sight) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    let (digest, body) = bytes.split_at_checked(blake3::OUT_LEN * 2)?;
    if blake3::hash(body).to_hex().as_bytes() != digest {
        return None;
    }
    let stamp: Content<T> = serde_json::from_slice(body).ok()?;
    let age = now()?.checked_sub(stamp.verified)?;
    (stamp.sight == sight.text() && stamp.boot == boot()? && age < VALID.as_secs())
        .then_some(stamp.note)
}

/// A stamp to be: begun before a verification, kept after it.
pub(crate) struct Draft {
    path: PathBuf,
    file: tempfile::NamedTempFile,
    sight: String,
}

impl Draft {
    /// `None` where stamps cannot be: no file can be written there, or the times are too coarse.
    pub(crate) fn begin(path: &Path, sight: &Sight) -> Option<Draft> {
        let create = || {
            let mut name = tempfile::Builder::new();
            name.prefix(crate::cache::BUILDING).tempfile_in(path.parent()?).ok()
        };
        // The new file has the time of the clock that the others' times come from.
        let settled = |file: &tempfile::NamedTempFile| {
            let now = changed(&file.as_file().metadata().ok()?);
            (now - sight.newest >= TICK.as_nanos() as i128).then_some(())
        };
        if !sight.fine {
            return None;
        }
        let mut file = create()?;
        if settled(&file).is_none() {
            std::thread::sleep(TICK + TICK / 2);
            file = create()?;
            settled(&file)?;
        }
        Some(Draft { path: path.to_owned(), file, sight: sight.text() })
    }

    /// Puts the stamp in place, unless the files look otherwise than when it was begun. A stamp that
    /// cannot be written costs the next opening a verification.
    pub(crate) fn keep<T: Serialize>(mut self, sight: &Sight, note: &T) -> Option<()> {
        if self.sight != sight.text() {
            return None;
        }
        let content =
            Content { sight: self.sight, boot: boot()?.to_owned(), verified: now()?, note };
        let body = serde_json::to_vec(&content).ok()?;
        self.file.write_all(blake3::hash(&body).to_hex().as_bytes()).ok()?;
        self.file.write_all(&body).ok()?;
        self.file.persist(self.path).ok().map(drop)
    }
}

/// Whether the files that `see` looks at are what they should be: by the stamp at `path`, or by
/// `verify`, which is stamped then. Files that change meanwhile are not.
pub(crate) fn holds(
    path: &Path,
    see: impl Fn() -> Result<Sight>,
    verify: impl FnOnce() -> bool,
) -> bool {
    let Ok(before) = see() else { return false };
    if believed::<()>(path, &before).is_some() {
        return true;
    }
    let draft = Draft::begin(path, &before);
    if !verify() {
        return false;
    }
    let Ok(after) = see() else { return false };
    if before.text() != after.text() {
        return false;
    }
    let _ = draft.and_then(|draft| draft.keep(&after, &()));
    true
}

fn now() -> Option<u64> {
    Some(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// Differs at each start of the machine; `None` where the kernel does not say: no stamps there.
fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    BOOT.get_or_init(|| read().map(|id| id.trim().to_owned())).as_deref()
}
