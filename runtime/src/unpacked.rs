//! The content of an image file, verified against its manifest.

use crate::abi;
use crate::cache::CacheError;
use crate::compiled;
use crate::engine::Engine;
use crate::fault::ImageError;
use crate::files;
use crate::imports;
use crate::instrument::instrument;
use crate::manifest::{Frozen, Manifest, Part};
use crate::prepared;
use crate::snapshot::Snapshot;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

pub(crate) const FORMAT: &str = "davy-image";
pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MODULE: &str = "module.wasm";
pub(crate) const FILES: &str = "files.tar";
pub(crate) const SNAPSHOT: &str = "memory.snapshot";

/// Largest entry believed, bytes: a lying header must not make the host allocate without bound.
const MAX_PART: u64 = 512 << 20;

/// The entries of an image file, verified against the manifest.
pub(crate) struct Unpacked {
    manifest_text: Vec<u8>,
    module: Vec<u8>,
    files: Vec<u8>,
    snapshot: Option<Vec<u8>>,
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
        let mut snapshot = None;
        if let Some(frozen) = &manifest.snapshot {
            let bytes = next(SNAPSHOT, false)?;
            verify(path, SNAPSHOT, &bytes, &frozen.part)?;
            is_of(&manifest, frozen)
                .map_err(|why| ImageError::Snapshot { path: path.into(), why: why.into() })?;
            snapshot = Some(bytes);
        }
        Ok(Unpacked { manifest_text, module, files, snapshot })
    }

    /// The text of the manifest, and the tar of Python files.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn texts(&self) -> (&[u8], &[u8]) {
        (&self.manifest_text, &self.files)
    }

    /// Compiles the module into `folder`.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        path: &str,
        folder: &Path,
    ) -> Result<(), ImageError> {
        let refused = |why: String| ImageError::Module { path: path.into(), why };
        imports::check(&self.module).map_err(refused)?;
        let (module, facts) = instrument(&self.module).map_err(refused)?;
        let code =
            engine.wasmtime.precompile_module(&module).map_err(|e| refused(format!("{e:#}")))?;
        compiled::write(folder, facts, &code).map_err(|e| CacheError::new(folder, e).into())
    }

    /// Lays the snapshot out in `folder`, to be mapped.
    pub(crate) fn lay_out_snapshot(&self, path: &str, folder: &Path) -> Result<(), ImageError> {
        let refused = |why: &str| ImageError::Snapshot { path: path.into(), why: why.into() };
        let bytes = self.snapshot.as_deref().ok_or_else(|| refused("there is none"))?;
        let snapshot = Snapshot::parse(bytes)
            .map_err(|e| ImageError::Unreadable { path: path.into(), cause: e.to_string() })?
            .ok_or_else(|| refused("it does not parse"))?;
        prepared::write(folder, &snapshot).map_err(|e| CacheError::new(folder, e).into())
    }

    /// Lays manifest and Python files out in `folder`.
    pub(crate) fn lay_out(&self, folder: &Path) -> Result<(), ImageError> {
        files::lay_out(folder, &self.manifest_text, &self.files)
            .map_err(|e| CacheError::new(folder, e).into())
    }
}

/// Memory means something to the module only that wrote it, and what was imported is what the files hold.
fn is_of(manifest: &Manifest, frozen: &Frozen) -> Result<(), &'static str> {
    if frozen.module != manifest.module.sha256 {
        return Err("it was made of another module");
    }
    if frozen.files != manifest.files.sha256 {
        return Err("it was made of other Python files");
    }
    Ok(())
}

fn verify(path: &str, part: &'static str, bytes: &[u8], promised: &Part) -> Result<(), ImageError> {
    let found: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    if found == promised.sha256 && bytes.len() as u64 == promised.size {
        return Ok(());
    }
    Err(ImageError::Damaged { path: path.into(), part, found, promised: promised.sha256.clone() })
}
