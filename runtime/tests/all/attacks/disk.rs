//! Poison in the cache: whatever somebody who cannot forge a digest leaves there, the guest that runs is
//! the image's. (Who can write there with right digests runs as the executor's user already.)

use super::{Neighbour, tell};
use crate::guests::{BOOT, Lab, PATIENCE, converse, guest, spec, start};
use davy_runtime::{Fault, Image, Sandbox, SandboxSpec, SnapshotKey};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The entry of the cache that holds `file`.
fn entry(cache: &Path, file: &str) -> Option<PathBuf> {
    folders(cache).into_iter().find(|f| f.join(file).exists())
}

fn folders(cache: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(cache).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// Replaces the file: what processes have mapped is not written into.
fn replace(file: &Path, content: &[u8]) {
    let other = file.with_extension("other");
    std::fs::write(&other, content).expect("poison");
    std::fs::rename(other, file).expect("poison");
}

#[test]
fn poison_in_entries_of_the_cache() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let says = |word: &str| {
        guest(
            "(drop (call $write (i32.const 0) (i32.const 4))) i32.const 0",
            &format!(r#"{BOOT} (data (i32.const 0) "{word}")"#),
        )
    };
    let path = lab.pack(&says("good"));
    let cache = lab.folder.path().join("cache");
    let evil = lab.folder.path().join("evil");
    drop(lab.open(&lab.pack(&says("evil"))).expect("an image"));
    let others = folders(&cache);
    // What one of them would be if it were the other.
    let other = Lab::new();
    drop(other.open(&other.pack(&says("evil"))).expect("an image"));
    let other = entry(&other.folder.path().join("cache"), "module.cwasm").expect("an entry");
    let code = std::fs::read(other.join("module.cwasm")).expect("code");
    std::fs::write(&evil, &code).expect("code");
    type Poison<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));
    let poisons: [Poison<'_>; 14] = [
        ("the code of another module", "module.cwasm", &|f| replace(f, &code)),
        ("a link to the code of another module", "module.cwasm", &|f| {
            std::fs::remove_file(f).expect("poison");
            symlink(&evil, f).expect("poison");
        }),
        ("code that is a folder", "module.cwasm", &|f| {
            std::fs::remove_file(f).expect("poison");
            std::fs::create_dir(f).expect("poison");
        }),
        ("half of the code", "module.cwasm", &|f| {
            let bytes = std::fs::read(f).expect("code");
            replace(f, &bytes[..bytes.len() / 2]);
        }),
        ("no code at all", "module.cwasm", &|f| replace(f, b"")),
        ("code with a byte more", "module.cwasm", &|f| {
            let mut bytes = std::fs::read(f).expect("code");
            bytes.push(0);
            replace(f, &bytes);
        }),
        ("garbage with a right digest", "module.cwasm", &|f| {
            replace(f, b"garbage");
            let seal = f.with_file_name("module.json");
            let text = String::from_utf8(std::fs::read(&seal).expect("seal")).expect("JSON");
            let mut seal_json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            seal_json["blake3"] = blake3::hash(b"garbage").to_hex().as_str().into();
            replace(&seal, seal_json.to_string().as_bytes());
        }),
        ("a digest that is none", "module.json", &|f| replace(f, b"{\"blake3\":7}")),
        ("a digest nested a million deep", "module.json", &|f| replace(f, &vec![b'['; 1 << 20])),
        ("a manifest of another kind", "manifest.json", &|f| replace(f, b"[1e999999]")),
        ("a Python file that is another", "files/lib/hello.txt", &|f| replace(f, b"jello")),
        ("a Python file that is a link", "files/lib/hello.txt", &|f| {
            std::fs::remove_file(f).expect("poison");
            symlink("/etc/hostname", f).expect("poison");
        }),
        ("an index of files that names others", "files.json", &|f| {
            replace(f, br#"[{"path":"../../../../etc/passwd","size":1,"blake3":"0"}]"#);
        }),
        ("a folder that is a link", "files.json", &|f| {
            let folder = f.parent().expect("a folder");
            std::fs::rename(folder, evil.with_extension("moved")).expect("poison");
            symlink("/nonexistent", folder).expect("poison");
        }),
    ];
    drop(lab.open(&path).expect("an image"));
    let own = |file: &str| {
        folders(&cache).into_iter().find(|f| !others.contains(f) && f.join(file).exists())
    };
    for (name, file, poison) in poisons {
        let folder = own(file).expect(name);
        poison(&folder.join(file));
        let image = lab.open(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(converse(&start(&image), b"").0, b"good", "{name}");
        neighbour.answers(name);
        tell(&format!("cache: {name}"), "rebuilt, the right guest runs");
        drop(image);
        // The next poison meets a sound entry.
        assert!(own(file).is_some(), "{name}");
        let _ = std::fs::remove_dir_all(evil.with_extension("moved"));
    }
}

/// Boot writes 7 far up, serve says it.
fn booted(lab: &Lab) -> PathBuf {
    let boot = r#"(func (export "davy_boot") (result i32)
      (i32.store8 (i32.const 70000) (i32.const 7)) i32.const 0)"#;
    lab.pack(&guest("(drop (call $write (i32.const 70000) (i32.const 1))) i32.const 0", boot))
}

fn run(image: &Arc<Image>) -> (Vec<u8>, Result<(), Fault>, bool) {
    let key = SnapshotKey { key: "disk".into(), on_disk: true, jobs: false };
    let spec = SandboxSpec { snapshot_key: Some(key), ..spec() };
    let sandbox = Sandbox::start(image, spec).expect("a sandbox");
    let (output, end) = converse(&sandbox, b"");
    (output, end, sandbox.stats().from_snapshot)
}

/// A snapshot's file is digest and body; here the digest is right.
#[test]
fn poison_in_snapshots() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let path = booted(&lab);
    let cache = lab.folder.path().join("cache");
    run(&lab.open(&path).expect("an image")).1.expect("a quiet end");
    let until = Instant::now() + PATIENCE;
    let file = loop {
        assert!(Instant::now() < until, "the snapshot is not saved");
        match entry(&cache, "memory.snapshot") {
            Some(folder)
                if folder.file_name().is_some_and(|n| n.to_string_lossy().starts_with("snap")) =>
            {
                break folder.join("memory.snapshot");
            }
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let good = std::fs::read(&file).expect("a snapshot");
    let forged = |body: &[u8]| [&good[..8], &blake3::hash(body).as_bytes()[..], body].concat();
    let body = &good[40..];
    let with_length = |length: u64| [&body[..4], &length.to_le_bytes(), &body[12..]].concat();
    let page = |number: u32| [&number.to_le_bytes()[..], &[1; 4096]].concat();
    let poisons = [
        ("a flipped bit", [&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat()),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("no byte", Vec::new()),
        ("only its digest", good[..40].to_vec()),
        ("a length beyond wasm32", forged(&with_length(1 << 33))),
        ("an endless length", forged(&with_length(u64::MAX))),
        ("a length of no whole pages", forged(&with_length(131_071))),
        ("a page beyond the end", forged(&[body, &page(u32::MAX)].concat())),
        ("a page twice", forged(&[body, &body[12..12 + 4100]].concat())),
        ("half of a page", forged(&[body, &page(31)[..100]].concat())),
    ];
    for (name, poison) in poisons {
        replace(&file, &poison);
        // Another `Image` stands for another process.
        let (output, end, from_snapshot) = run(&lab.open(&path).expect("an image"));
        assert!(end.is_ok() && output == [7] && !from_snapshot, "{name}: {output:?} {end:?}");
        neighbour.answers(name);
        tell(&format!("snapshot: {name}"), "not used, the guest boots");
        let until = Instant::now() + PATIENCE;
        while std::fs::read(&file).ok().as_ref() != Some(&good) {
            assert!(Instant::now() < until, "{name}: it is not saved again");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
