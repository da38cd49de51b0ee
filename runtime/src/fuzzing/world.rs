//! A folder with what a guest may see and what it may not.

use crate::admission::AdmitRule;
use crate::callback::CallbackRule;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// What every file holds that a guest may see.
pub(super) const OPEN: &[u8] = b"open to the guest";
/// What every other file holds.
pub(super) const SECRET: &[u8] = b"only for the host";
/// Of the one socket that is served.
pub(super) const SOCKET: &str = ".3f2b8c1e-0000-4000-8000-00000000000a.sock";

pub(super) struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let world = World { folder };
        let root = world.root();
        for inner in ["pyspark-1", "blockmgr"] {
            std::fs::create_dir_all(root.join(inner)).expect("a folder");
        }
        for (name, content) in [
            ("root/broadcast17", OPEN),
            ("root/pyspark-1/tmpx", OPEN),
            ("root/shuffle_0", SECRET),
            ("root/blockmgr/broadcast1", SECRET),
            ("outside", SECRET),
        ] {
            std::fs::write(world.folder.path().join(name), content).expect("a file");
        }
        for (name, to) in
            [("broadcast18", "../outside"), ("pyspark-2", ".."), ("pyspark-1/tmpy", "../shuffle_0")]
        {
            std::os::unix::fs::symlink(to, root.join(name)).expect("a link");
        }
        world
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(super) fn rule(&self) -> AdmitRule {
        let patterns = vec!["broadcast*".into(), "pyspark-*/*".into()];
        AdmitRule { root: self.root(), patterns }
    }

    pub(super) fn sockets(&self) -> CallbackRule {
        CallbackRule { root: self.root(), prefix: ".".into(), suffix: ".sock".into() }
    }

    /// Serves a socket as long as the process lives: a word to each who connects, and all they say is
    /// read.
    pub(super) fn serve(&self) {
        let listener = UnixListener::bind(self.root().join(SOCKET)).expect("a socket");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                std::thread::spawn(move || {
                    let _ = stream.write_all(b"hello");
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    let mut said = [0; 8192];
                    while stream.read(&mut said).is_ok_and(|n| n > 0) {}
                });
            }
        });
    }

    /// The path that an input names: `root` and the rest if its first byte is 1, else all of it.
    pub(super) fn path(&self, named: &[u8]) -> Vec<u8> {
        match named.split_first() {
            Some((1, rest)) => [self.root().as_os_str().as_encoded_bytes(), b"/", rest].concat(),
            _ => named.to_vec(),
        }
    }
}

/// Whether nothing but what a guest may see lies below `folder`.
pub(super) fn shows_no_secret(folder: &Path) -> bool {
    walkdir::WalkDir::new(folder).into_iter().flatten().all(|entry| {
        !entry.file_type().is_file() || std::fs::read(entry.path()).is_ok_and(|b| b != SECRET)
    })
}
