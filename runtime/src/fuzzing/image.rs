//! Image files, and the entries that the cache keeps of them.

use super::Input;
use super::world::SECRET;
use crate::image::{FILES, MANIFEST, MODULE, Unpacked, read_files, unpack_files};
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
    let target = folder.path().join("a/b/files");
    // It may fail, but it writes nowhere else.
    if let Ok(index) = unpack_files(unpacked.files(), &target) {
        assert!(index.iter().all(|line| target.join(&line.path).starts_with(&target)));
    }
    let outside = std::fs::read(folder.path().join("outside")).expect("the file beside it");
    assert_eq!(outside, SECRET);
    let count = |path| std::fs::read_dir(path).map_or(0, Iterator::count);
    let (root, inner) = (count(folder.path().into()), count(folder.path().join("a")));
    assert!((root, inner) == (2, 1) && count(folder.path().join("a/b")) == 1, "{root} {inner}");
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
    // The input's own words go over these.
    if let Ok(serde_json::Value::Object(words)) = serde_json::from_slice(more) {
        for (name, value) in words {
            manifest[name] = value;
        }
    }
    let manifest = manifest.to_string();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [(MANIFEST, manifest.as_bytes()), (MODULE, module), (FILES, files)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, bytes).expect("appended");
    }
    zstd::encode_all(&archive.into_inner().expect("a tar")[..], 1).expect("compressed")
}

/// The input is the files of an entry: manifest, index, and one Python file.
pub(super) fn entry(data: &[u8]) {
    let mut input = Input(data);
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        let file = std::fs::File::create(folder.path().join(name));
        file.and_then(|mut f| f.write_all(bytes)).expect("a file");
    };
    std::fs::create_dir(folder.path().join("files")).expect("a folder");
    let (manifest, index) = (input.part(), input.part());
    put(MANIFEST, manifest);
    put("files.json", index);
    put("files/a", input.0);
    if let Some(read) = read_files(folder.path()) {
        assert!(manifest.windows(6).any(|w| w == b"sha256"), "{read:?}");
    }
}
