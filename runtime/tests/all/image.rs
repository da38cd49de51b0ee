//! Wrong, truncated and foreign images; the cache under damage and company.

use crate::guests::{BOOT, ECHO, Lab, converse, guest, spec, start};
use davy_runtime::{Cache, Engine, Image, Limits, Sandbox, SandboxSpec};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn refusal(lab: &Lab, path: &Path) -> String {
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
        assert!(
            end.contains("memory: 0.1 MiB allowed, 0.0 MiB used, 0.1 MiB asked in all"),
            "{end}"
        );
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

/// A lab whose image was opened twice: stamps stand beside all that was verified.
struct Stamped {
    lab: Lab,
    path: PathBuf,
    code: PathBuf,
    files: PathBuf,
}

impl Stamped {
    fn new() -> Stamped {
        let lab = Lab::new();
        let path = lab.pack(&guest(ECHO, BOOT));
        drop(lab.open(&path).expect("first"));
        drop(lab.open(&path).expect("second"));
        let cache = lab.folder.path().join("cache");
        let entries = std::fs::read_dir(&cache).expect("cache").flatten().map(|e| e.path());
        let folders: Vec<_> = entries.filter(|p| p.is_dir()).collect();
        let holder = |file: &str| {
            folders.iter().find(|f| f.join(file).exists()).expect("an entry with a stamp").clone()
        };
        let (code, files) = (holder("module.stamp"), holder("files.stamp"));
        Stamped { lab, path, code, files }
    }

    fn stamps(&self) -> [PathBuf; 3] {
        let cache = self.lab.folder.path().join("cache");
        let mut entries = std::fs::read_dir(cache).expect("cache").flatten().map(|e| e.path());
        let image = entries.find(|p| p.extension().is_some_and(|e| e == "stamp"));
        let image = image.expect("a stamp of the image");
        [self.code.join("module.stamp"), self.files.join("files.stamp"), image]
    }

    /// Opens the image, runs it, and answers whether the entries are what they were at first.
    fn opens(&self, what: &str) {
        let image = self.lab.open(&self.path).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(converse(&start(&image), b"x").0, b"x", "{what}");
        let hello = std::fs::read(self.files.join("files/lib/hello.txt")).expect("file");
        assert_eq!(hello, b"hello", "{what}");
        assert!(!self.files.join("files/lib/foreign.py").exists(), "{what}");
        assert!(!self.files.join("files/new").exists(), "{what}");
    }
}

/// Writes into the file itself, and puts back the times that can be put back.
pub(crate) fn overwrite(target: &Path, change: impl Fn(&mut Vec<u8>)) {
    // Guests that end beside the test may still have it mapped, and what is cut off would be missed.
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        maps.contains(&target.display().to_string())
    };
    while mapped() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let before = std::fs::metadata(target).expect("file");
    std::fs::set_permissions(target, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let mut bytes = std::fs::read(target).expect("file");
    change(&mut bytes);
    let mut file = std::fs::File::options().write(true).open(target).expect("file");
    file.write_all(&bytes).expect("written");
    file.set_len(bytes.len() as u64).expect("cut");
    let times = std::fs::FileTimes::new();
    let times = times.set_modified(before.modified().expect("time"));
    file.set_times(times.set_accessed(before.accessed().expect("time"))).expect("times");
    std::fs::set_permissions(target, before.permissions()).expect("mode");
}

#[test]
fn what_changes_after_it_was_stamped_is_found() {
    let stamped = Stamped::new();
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let module = stamped.code.join("module.cwasm");
    let good = std::fs::read(&module).expect("code");
    let hello = stamped.files.join("files/lib/hello.txt");
    let half = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    let same = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(path).expect("file");
        change(&mut bytes);
        replace(path, &bytes);
    };
    let cases: [(&str, &dyn Fn()); 11] = [
        ("code changed, times put back", &|| overwrite(&module, flip)),
        ("code cut", &|| overwrite(&module, half)),
        ("code replaced by another of its size", &|| same(&module, &flip)),
        ("code gone", &|| std::fs::remove_file(&module).expect("gone")),
        ("seal changed", &|| overwrite(&stamped.code.join("module.json"), flip)),
        ("file changed, times put back", &|| overwrite(&hello, flip)),
        ("file replaced by another of its size", &|| same(&hello, &flip)),
        ("file gone", &|| std::fs::remove_file(&hello).expect("gone")),
        ("a foreign file", &|| {
            std::fs::write(stamped.files.join("files/lib/foreign.py"), "import os").expect("file");
        }),
        ("a foreign folder", &|| {
            let new = stamped.files.join("files/new");
            std::fs::create_dir(&new).expect("folder");
            std::fs::write(new.join("foreign.py"), "import os").expect("file");
        }),
        ("manifest changed", &|| overwrite(&stamped.files.join("manifest.json"), flip)),
    ];
    for (what, damage) in cases {
        damage();
        stamped.opens(what);
        assert!(std::fs::read(&module).expect("code") == good, "{what}: the code was not rebuilt");
        stamped.opens(what); // with new stamps
        assert!(stamped.stamps().iter().all(|stamp| stamp.exists()), "{what}: no new stamp");
    }
}

#[test]
fn an_image_file_that_changes_after_it_was_stamped_is_read_again() {
    let stamped = Stamped::new();
    let other = stamped.lab.pack(&guest("i32.const 7", BOOT));
    let other = std::fs::read(other).expect("image");
    let mine = std::fs::read(&stamped.path).expect("image");
    let key = |path: &Path| stamped.lab.open(path).map(|image| format!("{:?}", image.manifest()));
    let before = key(&stamped.path).expect("image");
    overwrite(&stamped.path, |bytes| other.clone_into(bytes));
    assert_ne!(key(&stamped.path).expect("the other image"), before);
    overwrite(&stamped.path, |bytes| bytes.truncate(bytes.len() - 40));
    let text = refusal(&stamped.lab, &stamped.path);
    assert!(text.contains("truncated") || text.contains("not a Davy image"), "{text}");
    replace(&stamped.path, &mine);
    assert_eq!(key(&stamped.path).expect("mine"), before);
}

#[test]
fn stamps_that_lie_or_are_garbage_cost_a_verification() {
    let stamped = Stamped::new();
    let good = stamped.stamps().map(|path| std::fs::read(path).expect("stamp"));
    let module = stamped.code.join("module.cwasm");
    let code = std::fs::read(&module).expect("code");
    for (number, path) in stamped.stamps().iter().enumerate() {
        let contents: [(&str, Vec<u8>); 5] = [
            ("empty", Vec::new()),
            ("garbage", b"garbage".to_vec()),
            ("cut", good[number][..good[number].len() - 1].to_vec()),
            ("a changed byte", [&good[number][..80], b"!", &good[number][81..]].concat()),
            ("of other files", good[(number + 1) % 3].clone()),
        ];
        for (what, content) in contents {
            std::fs::write(path, content).expect("stamp");
            overwrite(&module, |bytes| bytes.truncate(1000));
            stamped.opens(what);
            assert!(std::fs::read(&module).expect("code") == code, "{what} {number}");
            stamped.opens(what);
        }
    }
    // A folder in a stamp's place: no stamp can be written there.
    let path = &stamped.stamps()[0];
    std::fs::remove_file(path).expect("stamp");
    std::fs::create_dir_all(path.join("inner")).expect("folder");
    stamped.opens("a folder");
}

/// Whoever can write the cache's folder can make a stamp; one that leads astray is forgotten.
#[test]
fn a_stamp_of_another_image_does_not_stick() {
    let stamped = Stamped::new();
    let image = stamped.stamps()[2].clone();
    let text = String::from_utf8(std::fs::read(&image).expect("stamp")).expect("text");
    let (_, body) = text.split_at(64);
    let mut content: serde_json::Value = serde_json::from_str(body).expect("a stamp");
    content["note"]["blake3"] = "0".repeat(64).into();
    let body = content.to_string();
    std::fs::write(&image, format!("{}{body}", blake3::hash(body.as_bytes()))).expect("stamp");
    let opened = stamped.lab.open(&stamped.path).expect("its code is there");
    let text = Sandbox::start(&opened, spec()).map(|sandbox| converse(&sandbox, b"x").1);
    let text = format!("{text:?}");
    assert!(text.contains("changed while it was opened"), "{text}");
    drop(opened);
    stamped.opens("after the lie");
}

#[test]
fn two_processes_with_one_cache_verify_and_stamp_at_once() {
    let stamped = Stamped::new();
    for round in 0..5 {
        for stamp in stamped.stamps() {
            std::fs::remove_file(stamp).expect("stamp");
        }
        if round % 2 == 1 {
            overwrite(&stamped.code.join("module.cwasm"), |bytes| bytes.truncate(1000));
            overwrite(&stamped.files.join("files/lib/hello.txt"), |bytes| bytes[0] = b'J');
        }
        // Locks of files are of open files: engines in one process meet as processes do.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::new(stamped.lab.folder.path().join("cache"), 1 << 30);
                    let engine = Engine::new(cache).expect("engine");
                    let image = Image::open(&engine, &stamped.path).expect("image");
                    assert_eq!(converse(&start(&Arc::new(image)), b"x").0, b"x");
                });
            }
        });
        stamped.opens("after four at once");
    }
}

/// As a disk fault or a copy would: a file in use is not written into.
pub(crate) fn replace(target: &std::path::Path, content: &[u8]) {
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
