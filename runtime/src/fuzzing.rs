//! The parsers of data that guests, images and the cache supply, as functions of bytes: what
//! `runtime/fuzz` runs on inputs that it invents, and each test run on those that were kept in
//! `runtime/fuzz/corpus`.
//!
//! A target panics where the host would have answered wrongly; a panic of the host's own is a finding
//! as well. No part of a release: it exists for tests and with the feature `fuzzing`.

mod batch;
mod gateway;
mod image;
mod imports;
mod log;
mod module;
mod paths;
mod poll;
mod snapshot;
mod world;

use crate::imports::Raised;
use crate::job::Restart;

/// One parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also its folder in the corpus.
    pub name: &'static str,
    /// Judges one input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "batch", run: batch::whole },
    Target { name: "schema", run: batch::schema },
    Target { name: "gateway", run: gateway::run },
    Target { name: "paths", run: paths::run },
    Target { name: "poll", run: poll::run },
    Target { name: "imports", run: imports::run },
    Target { name: "log", run: log::run },
    Target { name: "module", run: module::run },
    Target { name: "image", run: image::container },
    Target { name: "entry", run: image::entry },
    Target { name: "snapshot", run: snapshot::run },
];

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|t| t.name == name).map(|t| t.run)
}

/// Takes an input apart; what it does not have is zero.
struct Input<'i>(&'i [u8]);

impl<'i> Input<'i> {
    fn bytes(&mut self, most: usize) -> &'i [u8] {
        let (first, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        first
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A part that says its length in its first two bytes.
    fn part(&mut self) -> &'i [u8] {
        let length = u16::from_le_bytes(self.array());
        self.bytes(length.into())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Panics unless the host call ended as a lie of the guest's, at a limit of its, or for another run.
fn blames_the_guest(error: &wasmtime::Error) {
    let fault = error.downcast_ref().map(|Raised(fault)| fault.kind());
    let fine = matches!(fault, Some("guest" | "limit")) || error.is::<Restart>();
    assert!(fine, "the guest lied, and the host says: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use std::path::Path;

    /// What was once found stays fixed.
    #[test]
    fn the_kept_inputs_pass() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for target in TARGETS {
            let folder = std::fs::read_dir(corpus.join(target.name)).expect(target.name);
            let mut files: Vec<_> = folder.flatten().map(|e| e.path()).collect();
            files.sort();
            assert!(!files.is_empty(), "{} has no inputs", target.name);
            for file in files {
                let input = std::fs::read(&file).expect("an input");
                let judged = std::panic::catch_unwind(|| (target.run)(&input));
                assert!(judged.is_ok(), "{}", file.display());
            }
        }
    }
}
