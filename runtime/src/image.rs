//! Images: a guest module and its Python files, verified, compiled once, cached.

use crate::cache::{CacheError, Entry};
use crate::compiled;
use crate::engine::Engine;
use crate::failpoint::step;
use crate::fault::{Fault, ImageError};
use crate::files::{self, Files};
use crate::grants::Grants;
use crate::guest::limited_store;
use crate::imports::{self, GuestState};
use crate::instrument::Facts;
use crate::job::Jobs;
use crate::limits::MAX_MEMORY;
use crate::manifest::Manifest;
use crate::memory_limit::MAX_TABLE;
use crate::prepared::{self, Prepared};
use crate::sandbox::SnapshotKey;
use crate::snapshot::Snapshot;
use crate::source::{Known, Source};
use crate::workers::Workers;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{Instance, InstancePre, Linker, Result, Store};

const SNAPSHOT: &str = "memory.snapshot";

/// A verified, compiled guest with its Python files. Immutable; shared by all its sandboxes.
pub struct Image {
    pub(crate) engine: Engine,
    pre: InstancePre<GuestState>,
    key: String,
    facts: Facts,
    manifest: Manifest,
    files: Files,
    prepared: Option<Prepared>,
    _code: Entry,
    snapshots: Mutex<Workers>,
    pub(crate) jobs: Arc<Jobs>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl Image {
    /// Opens the image file at `path`: from the cache if it is there and sound, otherwise verified,
    /// compiled and put there.
    ///
    /// A file that was read before and has not changed since is not read again. Its Python files are
    /// then looked at beside the caller; a sandbox starts when that has ended.
    ///
    /// # Errors
    /// [`Fault::Image`] names the file and what is wrong with it, or the cache folder.
    pub fn open(engine: &Engine, path: &Path) -> Result<Image, Fault> {
        let source = Arc::new(Source::open(path, &engine.cache)?);
        if let Some(known) = source.known() {
            match Image::open_known(engine, &source, &known) {
                Ok(image) => return Ok(image),
                Err(_) => source.forget(), // the error is found again, or was the stamp's
            }
        }
        let draft = source.draft();
        let digest = source.digest()?;
        let ((manifest, text), files) = files::entry(&engine.cache, &source, &digest)?;
        let image = Image::with_code(engine, &source, &digest, manifest, Files::ready(files))?;
        source.keep(draft, &Known { blake3: digest, manifest: text });
        Ok(image)
    }

    fn open_known(engine: &Engine, source: &Arc<Source>, known: &Known) -> Result<Image, Fault> {
        let manifest = serde_json::from_str(&known.manifest)
            .map_err(|e| Fault::host(format!("a stamp with a strange manifest: {e}")))?;
        let files = Files::check(&engine.cache, source, &known.blake3)?;
        Image::with_code(engine, source, &known.blake3, manifest, files)
    }

    fn with_code(
        engine: &Engine,
        source: &Source,
        digest: &str,
        manifest: Manifest,
        files: Files,
    ) -> Result<Image, Fault> {
        // An entry of its own: images that differ in their Python files share compiled code.
        let key = format!(
            "code-{}-{}-{}",
            manifest.module.sha256.get(..32).unwrap_or_default(),
            engine.compatibility(),
            compiled::LAYOUT
        );
        let ((module, facts), code) = engine.cache.entry(
            &key,
            |folder| compiled::read(&engine.wasmtime, folder),
            |folder| source.unpack(digest)?.compile(engine, &source.shown, folder),
        )?;
        let begins = module.resources_required();
        let (pages, entries) = (begins.max_initial_memory_size, begins.max_initial_table_size);
        if pages.unwrap_or(0) > MAX_MEMORY >> 16 || entries.unwrap_or(0) > MAX_TABLE as u64 {
            let why = "it begins with more memory or a larger table than any sandbox has".into();
            return Err(ImageError::Module { path: source.shown.clone(), why }.into());
        }
        let linker = imports::linker(&engine.wasmtime)
            .map_err(|e| Fault::host(format!("linking host functions: {e}")))?;
        let pre = linker.instantiate_pre(&module).map_err(|e| ImageError::Module {
            path: source.shown.clone(),
            why: format!("{e:#}"),
        })?;
        let prepared = prepared(engine, source, digest, &manifest, facts, pages.unwrap_or(0))?;
        Ok(Image {
            engine: engine.clone(),
            pre,
            key: format!("{digest}-{key}"),
            facts,
            manifest,
            files,
            prepared,
            _code: code,
            snapshots: Mutex::default(),
            jobs: Arc::default(),
        })
    }

    /// What the image says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder to be seen read-only at `/usr/local`.
    ///
    /// # Errors
    /// Its files were damaged, and could not be laid out again.
    pub(crate) fn files(&self) -> Result<PathBuf, Fault> {
        self.files.folder()
    }

    /// The image's snapshot, if a guest with these grants may start from it.
    pub(crate) fn prepared(&self, grants: &Grants) -> Option<&Arc<Snapshot>> {
        let prepared = self.prepared.as_ref().filter(|prepared| prepared.serves(grants))?;
        Some(&prepared.snapshot)
    }

    /// The same image with other host functions, and without its snapshot.
    pub(crate) fn linked(self, linker: &Linker<GuestState>) -> Result<Image> {
        let pre = linker.instantiate_pre(self.pre.module())?;
        Ok(Image { pre, prepared: None, ..self })
    }

    /// A fresh instance in which no code has run, with `state` in its store.
    pub(crate) fn instance(&self, state: GuestState) -> Result<(Store<GuestState>, Instance)> {
        // What it begins with is counted when the guest is served: `MemoryLimit::adopt`.
        let mut store = limited_store(&self.engine.wasmtime, GuestState::blank());
        step("instance.memory")?;
        let instance = self.pre.instantiate(&mut store)?;
        *store.data_mut() = state;
        Ok((store, instance))
    }

    /// The snapshot under `key`, of this process or, if it may be kept there, of the cache.
    pub(crate) fn snapshot(&self, key: &SnapshotKey) -> Option<Arc<Snapshot>> {
        let mut known = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = known.get(&key.key) {
            return Some(snapshot);
        }
        if !key.on_disk {
            return None;
        }
        let load = |folder: &Path| Snapshot::load(&folder.join(SNAPSHOT));
        let snapshot = Arc::new(self.engine.cache.find(&self.cache_key(key), load)?);
        known.keep(&key.key, &snapshot);
        Some(snapshot)
    }

    /// What its snapshots take of the host's memory.
    pub fn snapshot_figures(&self) -> SnapshotFigures {
        let known = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = known.bytes();
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
        if !known.keep(&key.key, &snapshot) {
            return;
        }
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

/// The image's snapshot, from its entry in the cache, where it is laid out if it was not there.
fn prepared(
    engine: &Engine,
    source: &Source,
    digest: &str,
    manifest: &Manifest,
    facts: Facts,
    first_pages: u64,
) -> Result<Option<Prepared>, Fault> {
    let Some(frozen) = manifest.snapshot.as_ref().filter(|_| facts.snapshot_complete) else {
        return Ok(None);
    };
    let digits = frozen.part.sha256.get(..32).unwrap_or_default();
    let (snapshot, entry) = engine.cache.entry(
        &format!("prepared-{digits}-{}", prepared::LAYOUT),
        prepared::read,
        |folder| source.unpack(digest)?.lay_out_snapshot(&source.shown, folder),
    )?;
    if (snapshot.bytes() as u64) < first_pages << 16 {
        let why = "it is smaller than the memory that the module begins with".into();
        return Err(ImageError::Snapshot { path: source.shown.clone(), why }.into());
    }
    let snapshot = Arc::new(snapshot);
    Ok(Some(Prepared { snapshot, env: frozen.env.clone(), _entry: entry }))
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
