//! Wrong, truncated and foreign images; the cache under damage and company.

use crate::guests::{BOOT, ECHO, Lab, converse, guest, spec, start};
use davy_runtime::{Cache, Engine, Image, Limits, Sandbox, SandboxSpec};
use std::path::{Path, PathBuf};

fn refusal(lab: &Lab, path: &Path) -> String {
    let fault = lab.open(path).expect_err("it must be refused");
    assert_eq!(fault.kind(), "image", "{fault}");
    assert!(!fault.poisons());
    fault.to_string()
}

#[test]
fn bad_images_are_refused_with_their_reason() {
    let lab = Lab::new();
    let good = lab.pack(&guest(ECHO, BOOT));
    let bytes = std::fs::read(&good).expect("image");
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = lab.folder.path().join(name);
        std::fs::write(&path, bytes).expect("file");
        path
    };
    assert!(refusal(&lab, Path::new("/nowhere.davy")).contains("cannot be read"));
    assert!(refusal(&lab, &write("empty", b"")).contains("is not a Davy image"));
    assert!(refusal(&lab, &write("jar", b"PK\x03\x04zip")).contains("is not a Davy image"));
    for cut in [5, 20, bytes.len() / 2, bytes.len() - 40] {
        let text = refusal(&lab, &write("cut", &bytes[..cut]));
        assert!(text.contains("truncated") || text.contains("not a Davy image"), "{cut}: {text}");
    }
    let wasm = wat::parse_str(guest(ECHO, BOOT)).expect("text");
    let text = refusal(&lab, &lab.pack_bytes(&wasm, 99));
    assert!(text.contains("guest contract version 99, this Davy speaks 1"), "{text}");
    let text = refusal(&lab, &lab.pack_bytes(b"not wasm at all", 1));
    assert!(text.contains("is refused"), "{text}");
    // The good one still opens.
    assert!(lab.open(&good).is_ok());
}

#[test]
fn imports_outside_the_list_are_refused() {
    let lab = Lab::new();
    for (module, name) in [
        ("wasi_snapshot_preview1", "sock_accept"),
        ("wasi_snapshot_preview1", "proc_raise"),
        ("env", "system"),
        ("davy", "run_process"),
    ] {
        let wat = guest(ECHO, BOOT).replace(
            "(memory (export",
            &format!(r#"(import "{module}" "{name}" (func)) (memory (export"#),
        );
        let text = refusal(&lab, &lab.pack(&wat));
        assert!(
            text.contains(&format!("imports {module}.{name}, which is never granted")),
            "{text}"
        );
    }
    let two = guest(ECHO, BOOT).replace("(global $sp", "(memory 1) (global $sp");
    assert!(refusal(&lab, &lab.pack(&two)).contains("exactly one memory"));
    let start = "(func $early (loop $again (br $again))) (start $early) ";
    let early = guest(ECHO, &format!("{BOOT} {start}"));
    assert!(refusal(&lab, &lab.pack(&early)).contains("it has a start function"));
}

/// Instances wait for their sandbox before its limits are known.
#[test]
fn a_limit_below_a_guests_first_memory_is_met_at_its_start() {
    let lab = Lab::new();
    let image = lab.image(ECHO);
    for _ in 0..4 {
        let limits = Limits { memory_bytes: 1 << 16, ..Limits::default() };
        let sandbox = Sandbox::start(&image, SandboxSpec { limits, ..spec() }).expect("sandbox");
        let end = converse(&sandbox, b"x").1.expect_err("a limit").to_string();
        assert!(end.contains("memory: 0.1 MiB allowed, 0.1 MiB asked"), "{end}");
        assert!(converse(&start(&image), b"x").1.is_ok());
    }
}

#[test]
fn a_damaged_cache_entry_is_rebuilt() {
    let lab = Lab::new();
    let path = lab.pack(&guest(ECHO, BOOT));
    // Somebody who uses the entry does not hinder it, and goes on.
    let user = lab.open(&path).expect("first");
    let cache = lab.folder.path().join("cache");
    let entries = std::fs::read_dir(&cache).expect("cache").flatten();
    let folders: Vec<_> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    let holder = |file: &str| folders.iter().find(|f| f.join(file).exists()).expect("an entry");
    let (code_entry, files_entry) = (holder("module.cwasm"), holder("manifest.json"));
    for (file, content) in [
        ("module.cwasm", Some(&b"garbage"[..])),
        ("module.cwasm", None),
        ("module.json", Some(b"{}")),
        ("module.json", None),
        ("files/lib/hello.txt", Some(b"HELLO")),
        ("files/lib/hello.txt", None),
        ("manifest.json", Some(b"{")),
        ("files.json", Some(b"[]x")),
    ] {
        let code = file.starts_with("module");
        let target = if code { code_entry } else { files_entry }.join(file);
        match content {
            Some(content) => replace(&target, content),
            None => std::fs::remove_file(&target).expect("damage"),
        }
        let image = lab.open(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(converse(&start(&image), b"x").0, b"x", "{file}");
        assert_eq!(std::fs::read(files_entry.join("files/lib/hello.txt")).expect("file"), b"hello");
    }
    // A flipped bit in the machine code is never run.
    let code = code_entry.join("module.cwasm");
    let mut bytes = std::fs::read(&code).expect("code");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(&code, &bytes);
    drop(lab.open(&path).expect("rebuilt"));
    assert_ne!(std::fs::read(&code).expect("code"), bytes);
    assert_eq!(converse(&start(&user), b"x").0, b"x");
}

/// As a disk fault or a copy would: a file in use is not written into.
fn replace(target: &std::path::Path, content: &[u8]) {
    let other = target.with_extension("other");
    std::fs::write(&other, content).expect("damage");
    std::fs::rename(other, target).expect("damage");
}

#[test]
fn images_that_differ_in_their_files_share_compiled_code() {
    let lab = Lab::new();
    let wasm = wat::parse_str(guest(ECHO, BOOT)).expect("text");
    let pack = |name: &str, text: &[u8]| {
        let mut files = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        files.append_data(&mut header, "lib/hello.txt", text).expect("tar");
        let path = lab.folder.path().join(name);
        let mut file = std::fs::File::create(&path).expect("image file");
        davy_runtime::pack(&wasm, &files.into_inner().expect("tar"), 1, &mut file).expect("packed");
        path
    };
    drop((lab.open(&pack("a", b"one")).expect("a"), lab.open(&pack("b", b"two")).expect("b")));
    let count = |prefix: &str| {
        let entries = std::fs::read_dir(lab.folder.path().join("cache")).expect("cache").flatten();
        let folders = entries.filter(|e| e.path().is_dir()).map(|e| e.file_name());
        folders.filter(|n| n.to_string_lossy().starts_with(prefix)).count()
    };
    assert_eq!((count("files-"), count("code-")), (2, 1));
}

#[test]
fn a_cache_folder_that_cannot_be_written_is_named() {
    let lab = Lab::new();
    let path = lab.pack(&guest(ECHO, BOOT));
    let file = lab.folder.path().join("occupied");
    std::fs::write(&file, "a file where the folder should be").expect("file");
    let engine = Engine::new(Cache::new(&file, 1 << 30)).expect("engine");
    let text = Image::open(&engine, &path).expect_err("no cache").to_string();
    assert!(text.contains("cache folder") && text.contains("occupied"), "{text}");
}

#[test]
fn many_open_one_empty_cache_at_once() {
    let lab = Lab::new();
    let path = lab.pack(&guest(ECHO, BOOT));
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..6).map(|_| scope.spawn(|| lab.open(&path))).collect();
        for image in opened {
            let image = image.join().expect("no panic").expect("an image");
            assert_eq!(converse(&start(&image), b"x").0, b"x");
        }
    });
}

#[test]
fn what_a_killed_builder_left_is_removed() {
    let lab = Lab::new();
    let cache = lab.folder.path().join("cache");
    let folders = [cache.join("building-old"), cache.join("building-new")];
    for folder in &folders {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    std::fs::File::open(&folders[0]).expect("folder").set_modified(yesterday).expect("aged");
    lab.image(ECHO);
    assert_eq!(folders.map(|f| f.exists()), [false, true]);
}

#[test]
fn the_cache_is_bounded_and_spares_entries_in_use() {
    let lab = Lab::new();
    let cache = lab.folder.path().join("small");
    let engine = Engine::new(Cache::new(&cache, 1)).expect("engine");
    let variants: Vec<_> = (0..4)
        .map(|i| lab.pack(&guest(&format!("(drop (i32.const {i})) i32.const 0"), BOOT)))
        .collect();
    let entries = || {
        std::fs::read_dir(&cache).expect("cache").flatten().filter(|e| e.path().is_dir()).count()
    };
    let kept = Image::open(&engine, &variants[0]).expect("image");
    for variant in &variants[1..] {
        drop(Image::open(&engine, variant).expect("image"));
    }
    // Each has two entries: its files and its code.
    assert_eq!(entries(), 4, "the one in use and the newest");
    drop(kept);
    drop(Image::open(&engine, &variants[1]).expect("image"));
    assert_eq!(entries(), 2);
}
