//! Images: a guest module and its Python files, verified, compiled once, cached.

use crate::abi;
use crate::cache::{CacheError, Entry};
use crate::compiled;
use crate::engine::Engine;
use crate::failpoint::step;
use crate::fault::{Fault, ImageError};
use crate::imports::{self, GuestState};
use crate::instrument::{Facts, instrument};
use crate::job::Jobs;
use crate::limits::MAX_MEMORY;
use crate::manifest::{Manifest, Part};
use crate::memory_limit::MAX_TABLE;
use crate::pool::Pool;
use crate::sandbox::SnapshotKey;
use crate::snapshot::Snapshot;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::InstancePre;

pub(crate) const FORMAT: &str = "davy-image";
pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MODULE: &str = "module.wasm";
pub(crate) const FILES: &str = "files.tar";
const SNAPSHOT: &str = "memory.snapshot";

/// Largest entry believed, bytes: a lying header must not make the host allocate without bound.
const MAX_PART: u64 = 512 << 20;

/// A verified, compiled guest with its Python files. Immutable; shared by all its sandboxes.
pub struct Image {
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<GuestState>,
    key: String,
    facts: Facts,
    manifest: Manifest,
    files: Entry,
    _code: Entry,
    snapshots: Mutex<HashMap<String, Arc<Snapshot>>>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) pool: Pool,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("manifest", &self.manifest)
            .field("files", &self.files)
            .finish()
    }
}

impl Image {
    /// Opens the image file at `path`: from the cache if it is there and sound, otherwise verified,
    /// compiled and put there.
    ///
    /// # Errors
    /// [`Fault::Image`] names the file and what is wrong with it, or the cache folder.
    pub fn open(engine: &Engine, path: &Path) -> Result<Image, Fault> {
        let shown = path.display().to_string();
        let bytes = step("image.read")
            .and_then(|()| std::fs::read(path))
            .map_err(|e| ImageError::Unreadable { path: shown.clone(), cause: e.to_string() })?;
        let digest = blake3::hash(&bytes).to_hex();
        let unpacked = OnceCell::new();
        let unpack = || match unpacked.get() {
            Some(known) => Ok(known),
            None => Unpacked::read(&shown, &bytes).map(|read| unpacked.get_or_init(|| read)),
        };
        // Two entries: images that differ in their Python files share compiled code.
        let (manifest, files) =
            engine.cache.entry(&format!("files-{}", &digest[..32]), read_files, |folder| {
                unpack()?.lay_out(folder)
            })?;
        let key = format!(
            "code-{}-{}-{}",
            manifest.module.sha256.get(..32).unwrap_or_default(),
            engine.compatibility(),
            compiled::LAYOUT
        );
        let ((module, facts), code) = engine.cache.entry(
            &key,
            |folder| compiled::read(&engine.wasmtime, folder),
            |folder| unpack()?.compile(engine, &shown, folder),
        )?;
        let begins = module.resources_required();
        let (pages, entries) = (begins.max_initial_memory_size, begins.max_initial_table_size);
        if pages.unwrap_or(0) > MAX_MEMORY >> 16 || entries.unwrap_or(0) > MAX_TABLE as u64 {
            let why = "it begins with more memory or a larger table than any sandbox has".into();
            return Err(ImageError::Module { path: shown, why }.into());
        }
        let linker = imports::linker(&engine.wasmtime)
            .map_err(|e| Fault::host(format!("linking host functions: {e}")))?;
        let pre = linker
            .instantiate_pre(&module)
            .map_err(|e| ImageError::Module { path: shown, why: format!("{e:#}") })?;
        Ok(Image {
            engine: engine.clone(),
            pre,
            key: format!("{digest}-{key}"),
            facts,
            manifest,
            files,
            _code: code,
            snapshots: Mutex::default(),
            jobs: Arc::default(),
            pool: Pool::default(),
        })
    }

    /// What the image says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder to be seen read-only at `/usr/local`.
    pub(crate) fn files(&self) -> PathBuf {
        self.files.path.join("files")
    }

    /// The snapshot under `key`, of this process or, if it may be kept there, of the cache.
    pub(crate) fn snapshot(&self, key: &SnapshotKey) -> Option<Arc<Snapshot>> {
        let mut known = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = known.get(&key.key) {
            return Some(Arc::clone(snapshot));
        }
        if !key.on_disk {
            return None;
        }
        let load = |folder: &Path| Snapshot::load(&folder.join(SNAPSHOT));
        let snapshot = Arc::new(self.engine.cache.find(&self.cache_key(key), load)?);
        known.insert(key.key.clone(), Arc::clone(&snapshot));
        Some(snapshot)
    }

    /// What its snapshots take of the host's memory.
    pub fn snapshot_figures(&self) -> SnapshotFigures {
        let known = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = known.values().map(|snapshot| snapshot.content()).sum();
        drop(known);
        let (jobs, job_bytes) = self.jobs.kept();
        SnapshotFigures { bytes, jobs, job_bytes }
    }

    fn cache_key(&self, key: &SnapshotKey) -> String {
        format!(
            "snapshot-{}",
            blake3::hash(format!("{} {}", self.key, key.key).as_bytes()).to_hex()
        )
    }

    /// Whether memory and stack pointer are this guest's whole state.
    pub(crate) fn can_snapshot(&self) -> bool {
        self.facts.snapshot_complete
    }

    /// Keeps a snapshot for later sandboxes; the first one under a key counts.
    pub(crate) fn keep_snapshot(&self, key: &SnapshotKey, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let mut known = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(&key.key) {
            return;
        }
        known.insert(key.key.clone(), Arc::clone(&snapshot));
        drop(known);
        if key.on_disk {
            let (cache, name) = (self.engine.cache.clone(), self.cache_key(key));
            // Beside the task, which need not wait for the disk. A snapshot that cannot be saved
            // costs the next process a boot, no more.
            let save = move || {
                let load = |folder: &Path| Snapshot::load(&folder.join(SNAPSHOT));
                let _ = cache.entry(&name, load, |folder| {
                    let path = folder.join(SNAPSHOT);
                    snapshot.save(&path).map_err(|e| CacheError::new(&path, e))
                });
            };
            let thread = std::thread::Builder::new().name("davy-snapshot".into());
            let _ = step("snapshot.thread").and_then(|()| thread.spawn(save));
        }
    }
}

/// Memory of an image's snapshots: each is held once, whatever starts from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFigures {
    /// Bytes of the snapshots of booted workers.
    pub bytes: u64,
    /// Job snapshots kept.
    pub jobs: u64,
    /// Their bytes.
    pub job_bytes: u64,
}

/// One Python file of an entry.
#[derive(Serialize, Deserialize)]
pub(crate) struct IndexLine {
    pub(crate) path: PathBuf,
    size: u64,
    blake3: String,
}

/// The manifest of an entry whose files are all as they were laid out.
pub(crate) fn read_files(folder: &Path) -> Option<Manifest> {
    let manifest = serde_json::from_slice(&std::fs::read(folder.join(MANIFEST)).ok()?).ok()?;
    let index: Vec<IndexLine> =
        serde_json::from_slice(&std::fs::read(folder.join("files.json")).ok()?).ok()?;
    let sound = index.iter().all(|line| {
        std::fs::read(folder.join("files").join(&line.path)).is_ok_and(|bytes| {
            bytes.len() as u64 == line.size && blake3::hash(&bytes).to_hex().as_str() == line.blake3
        })
    });
    sound.then_some(manifest)
}

/// The three entries of an image file, verified against the manifest.
pub(crate) struct Unpacked {
    manifest_text: Vec<u8>,
    module: Vec<u8>,
    files: Vec<u8>,
}

impl Unpacked {
    pub(crate) fn read(path: &str, bytes: &[u8]) -> Result<Unpacked, ImageError> {
        let foreign = |why: String| ImageError::Foreign { path: path.into(), why };
        const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
        if bytes.get(..4) != Some(&ZSTD_MAGIC) {
            return Err(foreign("it does not begin with a zstd frame".into()));
        }
        let mut decoder =
            zstd::Decoder::new(bytes).map_err(|e| foreign(format!("zstd refuses it: {e}")))?;
        decoder.window_log_max(27).map_err(|e| foreign(e.to_string()))?;
        let mut archive = tar::Archive::new(decoder);
        let mut entries = archive.entries().map_err(|e| foreign(e.to_string()))?;
        let mut next = |name: &'static str, first: bool| -> Result<Vec<u8>, ImageError> {
            let truncated = |why: String| ImageError::Truncated { path: path.into(), why };
            let mut entry = match entries.next() {
                None => return Err(truncated(format!("it ends before {name}"))),
                Some(Err(e)) if first => return Err(foreign(format!("no tar inside: {e}"))),
                Some(Err(e)) => return Err(truncated(format!("it ends before {name}: {e}"))),
                Some(Ok(entry)) => entry,
            };
            if entry.path_bytes() != name.as_bytes() {
                let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                return Err(foreign(format!("{name} was expected, found {found}")));
            }
            if entry.size() > MAX_PART {
                return Err(foreign(format!("{name} claims {} bytes", entry.size())));
            }
            let mut content = Vec::new();
            entry
                .read_to_end(&mut content)
                .map_err(|e| truncated(format!("it ends inside {name}: {e}")))?;
            Ok(content)
        };
        let manifest_text = next(MANIFEST, true)?;
        let manifest: Manifest = serde_json::from_slice(&manifest_text)
            .map_err(|e| foreign(format!("its manifest does not parse: {e}")))?;
        if manifest.format != FORMAT {
            return Err(foreign(format!("its format is {:?}", manifest.format)));
        }
        for (what, found, wanted) in [
            ("container", manifest.format_version, FORMAT_VERSION),
            ("guest contract", manifest.abi, abi::ABI_VERSION),
        ] {
            if found != wanted {
                return Err(ImageError::Version { path: path.into(), what, found, wanted });
            }
        }
        let module = next(MODULE, false)?;
        let files = next(FILES, false)?;
        verify(path, MODULE, &module, &manifest.module)?;
        verify(path, FILES, &files, &manifest.files)?;
        Ok(Unpacked { manifest_text, module, files })
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn files(&self) -> &[u8] {
        &self.files
    }

    /// Compiles the module into `folder`.
    fn compile(&self, engine: &Engine, path: &str, folder: &Path) -> Result<(), ImageError> {
        let refused = |why: String| ImageError::Module { path: path.into(), why };
        imports::check(&self.module).map_err(refused)?;
        let (module, facts) = instrument(&self.module).map_err(refused)?;
        let code =
            engine.wasmtime.precompile_module(&module).map_err(|e| refused(format!("{e:#}")))?;
        compiled::write(folder, facts, &code).map_err(|e| CacheError::new(folder, e).into())
    }

    /// Lays manifest and Python files out in `folder`.
    fn lay_out(&self, folder: &Path) -> Result<(), ImageError> {
        let fail = |e: std::io::Error| CacheError::new(folder, e);
        step("files.write").map_err(fail)?;
        let index = unpack_files(&self.files, &folder.join("files")).map_err(fail)?;
        let index = serde_json::to_vec(&index).map_err(|e| fail(e.into()))?;
        std::fs::write(folder.join("files.json"), index).map_err(fail)?;
        std::fs::write(folder.join(MANIFEST), &self.manifest_text).map_err(fail)?;
        Ok(())
    }
}

fn verify(path: &str, part: &'static str, bytes: &[u8], promised: &Part) -> Result<(), ImageError> {
    let found: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    if found == promised.sha256 && bytes.len() as u64 == promised.size {
        return Ok(());
    }
    Err(ImageError::Damaged { path: path.into(), part, found, promised: promised.sha256.clone() })
}

/// Unpacks plain files and folders below `target`; links and devices are left out.
pub(crate) fn unpack_files(tar: &[u8], target: &Path) -> std::io::Result<Vec<IndexLine>> {
    std::fs::create_dir_all(target)?;
    let mut index = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_file() {
            entry.unpack_in(target)?; // refuses `..` and absolute paths
        }
        if kind.is_file() {
            let bytes = std::fs::read(target.join(&path))?;
            let blake3 = blake3::hash(&bytes).to_hex().to_string();
            index.push(IndexLine { path, size: bytes.len() as u64, blake3 });
        }
    }
    Ok(index)
}
