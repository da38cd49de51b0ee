//! The Python files of an image, laid out in an entry of the cache: the folder that guests see.

use crate::cache::{Cache, Entry};
use crate::failpoint::step;
use crate::fault::{Fault, ImageError};
use crate::manifest::Manifest;
use crate::source::Source;
use crate::stamp::{self, Sight};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// Of an entry; part of its key, so that releases with other layouts stay apart.
const LAYOUT: u32 = 2;
/// The folder within an entry.
pub(crate) const FOLDER: &str = "files";
const MANIFEST: &str = "manifest.json";
pub(crate) const INDEX: &str = "files.json";
const STAMP: &str = "files.stamp";
const PANIC: &str = "the check of the image's files ended early";

/// Looks at the files, and lays them out again if they are damaged.
type Look = dyn Fn() -> Result<Entry, Fault> + Send + Sync;

/// The files of an open image, or a check of them that still goes on.
pub(crate) struct Files {
    entry: OnceLock<Entry>,
    check: Mutex<Check>,
}

enum Check {
    /// There is nothing to wait for.
    Done,
    Runs(JoinHandle<Result<Entry, Fault>>, Arc<Look>),
    /// A check failed, of which somebody was told; the next one who asks looks again.
    Failed(Arc<Look>),
}

impl Files {
    pub(crate) fn ready(entry: Entry) -> Files {
        Files { entry: entry.into(), check: Mutex::new(Check::Done) }
    }

    /// Looks at thousands of files beside the caller, for some twenty milliseconds.
    pub(crate) fn check(cache: &Cache, source: &Arc<Source>, digest: &str) -> Result<Files, Fault> {
        let (cache, source, digest) = (cache.clone(), Arc::clone(source), digest.to_owned());
        let look: Arc<Look> = Arc::new(move || {
            let found = entry(&cache, &source, &digest).inspect_err(|_| source.forget())?;
            Ok(found.1)
        });
        let beside = Arc::clone(&look);
        let thread = std::thread::Builder::new().name("davy-files".into());
        let thread = step("files.thread").and_then(|()| thread.spawn(move || beside()));
        let thread = thread.map_err(|e| Fault::host(format!("starting a thread: {e}")))?;
        Ok(Files { entry: OnceLock::new(), check: Mutex::new(Check::Runs(thread, look)) })
    }

    /// The folder that guests see, all in it as it should be.
    pub(crate) fn folder(&self) -> Result<PathBuf, Fault> {
        let folder = |entry: &Entry| entry.path.join(FOLDER);
        if let Some(entry) = self.entry.get() {
            return Ok(folder(entry));
        }
        let mut check = self.check.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, look) = match std::mem::replace(&mut *check, Check::Done) {
            Check::Done => return self.entry.get().map(folder).ok_or_else(|| Fault::host(PANIC)),
            Check::Runs(thread, look) => {
                (thread.join().unwrap_or_else(|_| Err(Fault::host(PANIC))), look)
            }
            Check::Failed(look) => (look(), look),
        };
        match found {
            Ok(entry) => Ok(folder(self.entry.get_or_init(|| entry))),
            Err(fault) => {
                *check = Check::Failed(look);
                Err(fault)
            }
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Nobody finds work of an image that is gone in the cache's folder.
        let check = self.check.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Check::Runs(thread, _) = std::mem::replace(check, Check::Done) {
            let _ = thread.join();
        }
    }
}

/// The entry of the Python files of the image `source`, whose digest is `digest`.
pub(crate) fn entry(
    cache: &Cache,
    source: &Source,
    digest: &str,
) -> Result<((Manifest, String), Entry), ImageError> {
    let key = format!("files-{}-{LAYOUT}", digest.get(..32).unwrap_or_default());
    cache.entry(&key, read, |folder| source.unpack(digest)?.lay_out(folder))
}

#[derive(Serialize, Deserialize)]
struct Index {
    manifest_blake3: String,
    files: Vec<Line>,
    folders: Vec<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    path: PathBuf,
    size: u64,
    blake3: String,
}

/// Lays the files of `tar` and the manifest out in `entry`.
pub(crate) fn lay_out(entry: &Path, manifest: &[u8], tar: &[u8]) -> io::Result<()> {
    step("files.write")?;
    let folder = entry.join(FOLDER);
    unpack(tar, &folder)?;
    let mut index =
        Index { manifest_blake3: digest(manifest), files: Vec::new(), folders: Vec::new() };
    for found in walkdir::WalkDir::new(&folder).sort_by_file_name() {
        let found = found?;
        let path = found.path().strip_prefix(&folder).unwrap_or(found.path()).to_owned();
        if found.file_type().is_dir() {
            index.folders.push(path);
        } else {
            let bytes = std::fs::read(found.path())?;
            index.files.push(Line { path, size: bytes.len() as u64, blake3: digest(&bytes) });
        }
    }
    std::fs::write(entry.join(INDEX), serde_json::to_vec(&index)?)?;
    std::fs::write(entry.join(MANIFEST), manifest)
}

/// Unpacks plain files and folders below `target`; links and devices are left out.
fn unpack(tar: &[u8], target: &Path) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_file() {
            entry.unpack_in(target)?; // refuses `..` and absolute paths
        }
    }
    Ok(())
}

/// The manifest, and its text, of an entry in which all is as it was laid out, and nothing else is.
pub(crate) fn read(entry: &Path) -> Option<(Manifest, String)> {
    let index: Index = serde_json::from_slice(&std::fs::read(entry.join(INDEX)).ok()?).ok()?;
    let folder = entry.join(FOLDER);
    let see = || {
        let mut sight = Sight::default();
        for name in [INDEX, MANIFEST] {
            sight.see(&std::fs::symlink_metadata(entry.join(name))?);
        }
        // A folder changes with what is put into it or taken away.
        for path in index.folders.iter().chain(index.files.iter().map(|line| &line.path)) {
            sight.see(&std::fs::symlink_metadata(folder.join(path))?);
        }
        Ok(sight)
    };
    if !stamp::holds(&entry.join(STAMP), see, || is_whole(entry, &index)) {
        return None;
    }
    let text = std::fs::read_to_string(entry.join(MANIFEST)).ok()?;
    Some((serde_json::from_str(&text).ok()?, text))
}

fn is_whole(entry: &Path, index: &Index) -> bool {
    let folder = entry.join(FOLDER);
    let holds =
        |path: &Path, blake3: &str| std::fs::read(path).is_ok_and(|bytes| digest(&bytes) == blake3);
    let known: HashSet<&Path> = index.files.iter().map(|line| &*line.path).collect();
    let foreign = walkdir::WalkDir::new(&folder).into_iter().any(|found| {
        found.is_ok_and(|found| {
            let path = found.path().strip_prefix(&folder).unwrap_or(found.path());
            !(found.file_type().is_dir() || found.file_type().is_file() && known.contains(path))
        })
    });
    !foreign
        && holds(&entry.join(MANIFEST), &index.manifest_blake3)
        && index.files.iter().all(|line| holds(&folder.join(&line.path), &line.blake3))
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
