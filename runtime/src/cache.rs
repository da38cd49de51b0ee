//! The on-disk cache: one folder an entry, safe for many processes, bounded.
//!
//! An entry is built in a temporary folder and renamed into place, so a crash or a full disk never
//! leaves half of one. Two lock files lie beside it: `KEY.lock` is held shared while the entry is in
//! use and exclusively while it is removed, `KEY.build` by the one process that builds it. They are
//! two, because a builder must not wait for users, who may stay for days.

use crate::failpoint::step;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Prefix of the folders in which entries are built, and of files that are being written.
pub(crate) const BUILDING: &str = "building-";
const ABANDONED: Duration = Duration::from_secs(3600);
/// Prefix of compiled code: minutes of work, where other entries cost seconds.
pub(crate) const CODE: &str = "code-";
/// How much longer compiled code stays unused than other entries.
const CODE_STAYS: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why the cache folder cannot serve.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the cache folder {path} failed: {cause}. Free some space there, or name another folder (it needs about 600 MiB)"
)]
pub struct CacheError {
    /// The path at fault.
    pub path: String,
    /// The operating system's words.
    pub cause: String,
}

impl CacheError {
    pub(crate) fn new(path: &Path, cause: impl std::fmt::Display) -> CacheError {
        CacheError { path: path.display().to_string(), cause: cause.to_string() }
    }
}

/// A cache folder of at most `max_bytes`. Entries in use are never removed.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    max_bytes: u64,
}

/// An entry in use; removing it waits until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Cache {
    /// A cache at `root`, made (mode 0700) when first used.
    pub fn new(root: impl Into<PathBuf>, max_bytes: u64) -> Cache {
        Cache { root: root.into(), max_bytes }
    }

    /// The folder, made if it was not there.
    pub(crate) fn folder(&self) -> Result<&Path, CacheError> {
        step("cache.folder")
            .and_then(|()| {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root)
            })
            .map_err(|e| CacheError::new(&self.root, e))?;
        Ok(&self.root)
    }

    /// Answers the entry `key` as `load` reads it; builds it with `build` when it is missing or
    /// `load` finds it corrupt.
    pub(crate) fn entry<T, E: From<CacheError>>(
        &self,
        key: &str,
        load: impl Fn(&Path) -> Option<T>,
        build: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(T, Entry), E> {
        let path = self.folder()?.join(key);
        let lock = self.locked(&format!("{key}.lock"), FlockOperation::LockShared)?;
        if let Some(loaded) = load(&path) {
            touch(&lock);
            return Ok((loaded, Entry { path, _lock: lock }));
        }
        let building = self.locked(&format!("{key}.build"), FlockOperation::LockExclusive)?;
        // Another process may have built it while we waited.
        let loaded = match load(&path) {
            Some(loaded) => loaded,
            None => {
                self.build(&path, build)?;
                load(&path).ok_or_else(|| {
                    CacheError::new(&path, "what was just written reads back differently")
                })?
            }
        };
        drop(building);
        touch(&lock);
        self.prune(key);
        Ok((loaded, Entry { path, _lock: lock }))
    }

    /// Opens the lock file `name` and waits for the lock.
    fn locked(&self, name: &str, how: FlockOperation) -> Result<File, CacheError> {
        let path = self.root.join(name);
        let fail = |e: std::io::Error| CacheError::new(&path, e);
        step("cache.lock").map_err(fail)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(fail)?;
        flock(&file, how).map_err(|e| fail(e.into()))?;
        Ok(file)
    }

    /// Answers the entry `key` if it is there and sound; never builds.
    pub(crate) fn find<T>(&self, key: &str, load: impl Fn(&Path) -> Option<T>) -> Option<T> {
        let lock =
            OpenOptions::new().write(true).open(self.root.join(format!("{key}.lock"))).ok()?;
        // An entry being written is not there yet.
        flock(&lock, FlockOperation::NonBlockingLockShared).ok()?;
        let loaded = load(&self.root.join(key))?;
        touch(&lock);
        Some(loaded)
    }

    fn build<E: From<CacheError>>(
        &self,
        path: &Path,
        build: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let fail = |e: std::io::Error| CacheError::new(path, e);
        let temporary = || tempfile::Builder::new().prefix(BUILDING).tempdir_in(&self.root);
        step("cache.build").map_err(fail)?;
        let built = temporary().map_err(fail)?;
        build(built.path())?;
        let aside = temporary().map_err(fail)?;
        if path.symlink_metadata().is_ok() {
            // Damaged, or a link to nowhere. A process that uses it keeps what it has open, and finds the new one.
            std::fs::rename(path, aside.path().join("damaged")).map_err(fail)?;
        }
        step("cache.rename").map_err(fail)?;
        std::fs::rename(built.keep(), path).map_err(fail)?;
        Ok(())
    }

    /// Removes the entries longest unused until the folder fits, except `keep` and those in use;
    /// compiled code counts as used for a week.
    fn prune(&self, keep: &str) {
        let Ok(listing) = std::fs::read_dir(&self.root) else { return };
        let listing = listing.flatten().filter(|e| !removed_as_abandoned(e));
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = listing
            .filter(|e| e.path().is_dir() && e.file_name() != keep)
            .map(|e| {
                let used = std::fs::metadata(lock_of(&e.path()))
                    .and_then(|m| m.modified())
                    .unwrap_or(SystemTime::UNIX_EPOCH);
                let code = e.file_name().to_string_lossy().starts_with(CODE);
                let used = if code { used + CODE_STAYS } else { used };
                (used, size_of(&e.path()), e.path())
            })
            .collect();
        entries.sort();
        let mut total = size_of(&self.root.join(keep)) + entries.iter().map(|e| e.1).sum::<u64>();
        for (_, size, path) in entries {
            if total <= self.max_bytes {
                return;
            }
            let Ok(lock) = OpenOptions::new().write(true).open(lock_of(&path)) else { continue };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
                && std::fs::remove_dir_all(&path).is_ok()
            {
                total -= size;
            }
        }
    }
}

/// A process that was killed while it built leaves its folder; no build takes an hour.
fn removed_as_abandoned(entry: &std::fs::DirEntry) -> bool {
    let building = entry.file_name().to_string_lossy().starts_with(BUILDING);
    let changed = entry.metadata().and_then(|m| m.modified()).ok();
    let age = changed.and_then(|t| t.elapsed().ok()).unwrap_or_default();
    let remove =
        || std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
    building && age > ABANDONED && remove().is_ok()
}

fn touch(lock: &File) {
    // Only the order of removal depends on it.
    let _ = lock.set_modified(SystemTime::now());
}

fn lock_of(entry: &Path) -> PathBuf {
    entry.with_extension("lock")
}

fn size_of(path: &Path) -> u64 {
    let Ok(listing) = std::fs::read_dir(path) else { return 0 };
    listing
        .flatten()
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => size_of(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{Cache, CacheError};
    use std::path::Path;

    fn make(cache: &Cache, key: &str) {
        let load = |path: &Path| std::fs::read(path.join("data")).ok();
        let build = |path: &Path| {
            std::fs::write(path.join("data"), [0; 400]).map_err(|e| CacheError::new(path, e))
        };
        cache.entry(key, load, build).expect("an entry");
        std::thread::sleep(std::time::Duration::from_millis(20)); // the order of use
    }

    #[test]
    fn what_is_unused_for_longest_goes_first_and_compiled_code_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path(), 1000);
        for key in ["code-a", "files-a", "files-b"] {
            make(&cache, key);
        }
        let kept = |key: &str| folder.path().join(key).exists();
        assert!(kept("code-a") && !kept("files-a") && kept("files-b"));
        make(&cache, "code-b");
        assert!(kept("code-a") && kept("code-b") && !kept("files-b"));
        make(&cache, "code-c");
        assert!(!kept("code-a") && kept("code-b") && kept("code-c"));
    }
}
