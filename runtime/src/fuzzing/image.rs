//! Image files, and the entries that the cache keeps of them.

use super::Input;
use super::world::SECRET;
use crate::files;
use crate::manifest::Manifest;
use crate::prepared;
use crate::snapshot::MAGIC;
use crate::unpacked::{FILES, MANIFEST, MODULE, SNAPSHOT, Unpacked};
use sha2::{Digest, Sha256};
use std::io::Write;

/// The input is, after a byte that says which, a file, the tar in it, or a manifest, a module's bytes
/// and a tar of Python files, whose digests are made right.
pub(super) fn container(data: &[u8]) {
    let mut input = Input(data);
    let file = match input.byte() % 3 {
        0 => input.0.to_vec(),
        1 => zstd::encode_all(input.0, 1).expect("compressed"),
        _ => whole(&mut input),
    };
    let Ok(unpacked) = Unpacked::read("the input", &file) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("outside"), SECRET).expect("a file");
    let target = folder.path().join("a/b");
    if unpacked.lay_out_snapshot("the input", folder.path()).is_ok() {
        assert!(prepared::read(folder.path()).is_some(), "an entry that was just laid out");
    }
    for left in ["memory.image", "memory.json", "memory.stamp"] {
        let _ = std::fs::remove_file(folder.path().join(left));
    }
    let (manifest, tar) = unpacked.texts();
    // It may fail, but it writes nowhere else; and what was laid out is whole.
    if files::lay_out(&target, manifest, tar).is_ok() {
        assert!(files::read(&target).is_some(), "an entry that was just laid out");
    }
    let outside = std::fs::read(folder.path().join("outside")).expect("the file beside it");
    assert_eq!(outside, SECRET);
    let count = |path| std::fs::read_dir(path).map_or(0, Iterator::count);
    let (root, inner) = (count(folder.path().into()), count(folder.path().join("a")));
    assert!((root, inner) == (2, 1), "{root} {inner}");
}

/// A file whose parts have the digests that its manifest promises.
fn whole(input: &mut Input<'_>) -> Vec<u8> {
    let (more, module) = (input.part(), input.part());
    let files = input.0;
    let hex = |b: &[u8]| Sha256::digest(b).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut manifest = serde_json::json!({
        "format": "davy-image", "format_version": 1, "abi": 1, "recipe": "", "packages": {},
        "python": {"version": "3.11.2", "minor": "3.11"},
        "module": {"sha256": hex(module), "size": module.len()},
        "files": {"sha256": hex(files), "size": files.len()},
    });
    // The input's own words go over these; with a word of a snapshot, the files are one as well.
    if let Ok(serde_json::Value::Object(words)) = serde_json::from_slice(more) {
        for (name, value) in words {
            manifest[name] = value;
        }
    }
    let frozen = !manifest["snapshot"].is_null();
    let snapshot = [MAGIC, &blake3::hash(files).as_bytes()[..], files].concat();
    if frozen {
        manifest["snapshot"] = serde_json::json!({
            "sha256": hex(&snapshot), "size": snapshot.len(), "env": {},
            "module": hex(module), "files": hex(files),
        });
    }
    let manifest = manifest.to_string();
    let mut archive = tar::Builder::new(Vec::new());
    let parts = [(MANIFEST, manifest.as_bytes()), (MODULE, module), (FILES, files)];
    for (name, bytes) in parts.into_iter().chain(frozen.then_some((SNAPSHOT, &snapshot[..]))) {
        add(&mut archive, name, bytes);
    }
    zstd::encode_all(&archive.into_inner().expect("a tar")[..], 1).expect("compressed")
}

fn add(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, name, bytes).expect("appended");
}

/// The input is the files of an entry: manifest, index, and one Python file. Without an index, that is
/// made as for an image.
pub(super) fn entry(data: &[u8]) {
    let mut input = Input(data);
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        let file = std::fs::File::create(folder.path().join(name));
        file.and_then(|mut f| f.write_all(bytes)).expect("a file");
    };
    let (manifest, index) = (input.part(), input.part());
    if index.is_empty() {
        let mut archive = tar::Builder::new(Vec::new());
        add(&mut archive, "a", input.0);
        let tar = archive.into_inner().expect("a tar");
        files::lay_out(folder.path(), manifest, &tar).expect("an entry");
    } else {
        std::fs::create_dir(folder.path().join(files::FOLDER)).expect("a folder");
        put(MANIFEST, manifest);
        put(files::INDEX, index);
        put("files/a", input.0);
    }
    let known: Option<Manifest> = serde_json::from_slice(manifest).ok();
    let read = files::read(folder.path());
    // An index that was made up may be wrong; a made one is right.
    assert!(read.is_none() || known.is_some());
    assert!(read.is_some() == known.is_some() || !index.is_empty());
}
