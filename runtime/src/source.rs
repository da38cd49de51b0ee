//! The file of an image: its digest, known from a stamp or read, and what it holds, when asked.

use crate::cache::Cache;
use crate::failpoint::step;
use crate::fault::{Fault, ImageError};
use crate::stamp::{self, Draft, Sight};
use crate::unpacked::Unpacked;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a stamp says of an image file that was read once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) blake3: String,
    /// The text of its manifest.
    pub(crate) manifest: String,
}

pub(crate) struct Source {
    /// The path, for sentences.
    pub(crate) shown: String,
    file: File,
    stamp: PathBuf,
    unpacked: Mutex<Option<Arc<Unpacked>>>,
}

impl Source {
    pub(crate) fn open(path: &Path, cache: &Cache) -> Result<Source, Fault> {
        let shown = path.display().to_string();
        let fail = |e: std::io::Error| ImageError::Unreadable {
            path: shown.clone(),
            cause: e.to_string(),
        };
        let file = File::open(path).map_err(fail)?;
        let is = file.metadata().map_err(fail)?;
        let folder = cache.folder().map_err(ImageError::from)?;
        let stamp = folder.join(format!("image-{:x}-{:x}.stamp", is.dev(), is.ino()));
        Ok(Source { shown, file, stamp, unpacked: Mutex::default() })
    }

    /// What was found in this file when it was last read, if it has not changed since.
    pub(crate) fn known(&self) -> Option<Known> {
        stamp::believed(&self.stamp, &self.sight()?)
    }

    /// Begins a stamp for what is read next.
    pub(crate) fn draft(&self) -> Option<Draft> {
        Draft::begin(&self.stamp, &self.sight()?)
    }

    pub(crate) fn keep(&self, draft: Option<Draft>, known: &Known) {
        if let (Some(draft), Some(sight)) = (draft, self.sight()) {
            let _ = draft.keep(&sight, known);
        }
    }

    /// Forgets a stamp that led astray.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(&self.stamp);
    }

    fn sight(&self) -> Option<Sight> {
        let mut sight = Sight::default();
        sight.see(&self.file.metadata().ok()?);
        Some(sight)
    }

    /// The whole file with its digest.
    fn read(&self) -> Result<(Vec<u8>, String), ImageError> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        step("image.read")
            .and_then(|()| file.rewind())
            .and_then(|()| file.read_to_end(&mut bytes))
            .map_err(|e| self.unreadable(e))?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Ok((bytes, digest))
    }

    pub(crate) fn digest(&self) -> Result<String, ImageError> {
        let _reading = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.read()?.1)
    }

    /// Its content, verified; that of a file with another digest than `blake3` is refused.
    pub(crate) fn unpack(&self, blake3: &str) -> Result<Arc<Unpacked>, ImageError> {
        let mut known = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unpacked) = &*known {
            return Ok(Arc::clone(unpacked));
        }
        let (bytes, digest) = self.read()?;
        if digest != blake3 {
            return Err(self.unreadable("it changed while it was opened"));
        }
        let unpacked = Arc::new(Unpacked::read(&self.shown, &bytes)?);
        *known = Some(Arc::clone(&unpacked));
        Ok(unpacked)
    }

    fn unreadable(&self, cause: impl std::fmt::Display) -> ImageError {
        ImageError::Unreadable { path: self.shown.clone(), cause: cause.to_string() }
    }
}
