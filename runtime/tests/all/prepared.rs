//! The image's own snapshot: workers that boot from it are those that prepare themselves, but for the time it takes.

use crate::guests::{Lab, PATIENCE, converse, guest, hello, spec};
use crate::image::{overwrite, refusal, replace};
use crate::python;
use davy_runtime::{
    Cache, ClockPolicy, DirGrant, Engine, Fault, Grants, Image, Limits, RandomPolicy, Sandbox,
    SandboxSpec, SnapshotKey, StderrLog,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Grows memory, counts how often it was prepared, notes what random bytes and which time it got.
const PREPARE: &str = r#"(func (export "davy_prepare") (result i32)
  (drop (memory.grow (i32.const 62)))
  (i32.store8 (i32.const 3000000) (i32.add (i32.load8_u (i32.const 3000000)) (i32.const 1)))
  (drop (call $entropy (i32.const 3000008) (i32.const 8)))
  (drop (call $time (i32.const 0) (i64.const 1) (i32.const 3000016)))
  i32.const 0)"#;
/// Counts its calls as well.
const BOOT: &str = r#"(func (export "davy_boot") (result i32)
  (i32.store8 (i32.const 3000001) (i32.add (i32.load8_u (i32.const 3000001)) (i32.const 1)))
  i32.const 0)"#;
const SERVE: &str = r#"
  (drop (call $read (i32.const 3000002) (i32.const 1)))
  (drop (call $write (i32.const 3000000) (i32.const 24)))
  i32.const 0"#;
/// What clocks show where an image is frozen.
const STILL: u64 = 315_532_800_000_000_000;

fn seed(value: &str) -> Vec<(String, String)> {
    vec![("PYTHONHASHSEED".into(), value.into())]
}

fn parts() -> String {
    format!("{PREPARE} {BOOT}")
}

/// Module, Python files, snapshot: what an image is packed of.
struct Parts {
    module: Vec<u8>,
    files: Vec<u8>,
    snapshot: Vec<u8>,
}

impl Parts {
    fn new(lab: &Lab, more: &str) -> Parts {
        let module = wat::parse_str(guest(SERVE, more)).expect("text");
        let snapshot = frozen(lab, &module).expect("a snapshot");
        Parts { module, files: hello(), snapshot }
    }

    fn pack(&self, path: &Path) {
        let Parts { module, files, snapshot } = self;
        let env = seed("0").into_iter().collect();
        let mut file = std::fs::File::create(path).expect("image file");
        davy_runtime::pack_with_snapshot(module, files, snapshot, &env, 1, &mut file)
            .expect("packed");
    }
}

fn frozen(lab: &Lab, module: &[u8]) -> Result<Vec<u8>, Fault> {
    let image = Image::open(&lab.engine, &lab.pack_bytes(module, 1)).expect("an image");
    davy_runtime::freeze(image, &seed("0").into_iter().collect(), Arc::new(StderrLog))
}

fn image_with_snapshot(lab: &Lab) -> PathBuf {
    let path = lab.folder.path().join("frozen.davy");
    Parts::new(lab, &parts()).pack(&path);
    path
}

/// What a guest tells: prepared, booted, its input, random bytes, the time.
#[derive(Debug, PartialEq)]
struct Told {
    counts: [u8; 3],
    random: u64,
    time: u64,
}

fn run(image: &Arc<Image>, spec: SandboxSpec) -> (Told, bool) {
    let sandbox = Sandbox::start(image, spec).expect("a sandbox");
    let (output, end) = converse(&sandbox, &[9]);
    end.expect("a quiet end");
    let word = |at: usize| u64::from_le_bytes(output[at..at + 8].try_into().expect("8 bytes"));
    let counts = output[..3].try_into().expect("3 bytes");
    (Told { counts, random: word(8), time: word(16) }, sandbox.stats().from_snapshot)
}

fn with_env(env: Vec<(String, String)>, key: Option<&str>) -> SandboxSpec {
    let grants = Grants { env, ..Grants::default() };
    SandboxSpec { grants, snapshot_key: key_of(key), ..spec() }
}

#[test]
fn a_worker_boots_from_it_and_its_own_snapshot_is_made_of_that() {
    let lab = Lab::new();
    let image = lab.open(&image_with_snapshot(&lab)).expect("an image");
    let of_the_image = Told { counts: [1, 1, 9], random: 0, time: STILL };
    for from_snapshot in [false, true, true] {
        let (told, from) = run(&image, with_env(seed("0"), Some("worker")));
        assert_eq!((&told, from), (&of_the_image, from_snapshot));
    }
    assert_eq!(run(&image, with_env(seed("0"), None)), (of_the_image, false));
}

/// It has read the environment: with another one strings could hash otherwise.
#[test]
fn one_with_another_environment_clock_or_randomness_prepares_itself() {
    let lab = Lab::new();
    let image = lab.open(&image_with_snapshot(&lab)).expect("an image");
    let more = |name: &str| [seed("0"), vec![(name.into(), "0".into())]].concat();
    let envs = [vec![], seed("1"), seed("00"), seed(""), more("LANG"), more("PYTHONHASHSEED")];
    for env in envs {
        let (told, _) = run(&image, with_env(env.clone(), None));
        assert_eq!(told.counts, [1, 1, 9], "{env:?}");
        assert!(told.time > STILL && told.random != 0, "{env:?}: {told:?}");
    }
    let own = |clock, random| {
        let grants = Grants { env: seed("0"), clock, random, ..Grants::default() };
        run(&image, SandboxSpec { grants, ..spec() }).0
    };
    assert_eq!(own(ClockPolicy::Fixed(7), RandomPolicy::Real).time, 7_000_000_000);
    assert_ne!(own(ClockPolicy::Real, RandomPolicy::Seeded(7)).random, 0);
}

#[test]
fn what_is_frozen_is_the_same_every_time_and_holds_no_stack() {
    let lab = Lab::new();
    // On the stack, which lies below its pointer, a time of which only zeros may be left.
    let deep = PREPARE
        .replace("(drop (memory", "(i64.store (i32.const 60000) (i64.const -1)) (drop (memory");
    let module = wat::parse_str(guest(SERVE, &format!("{deep} {BOOT}"))).expect("text");
    let first = frozen(&lab, &module).expect("a snapshot");
    assert!(memchr::memmem::find(&first, &[0xff; 8]).is_none());
    assert!(first.len() < 3 * 4100, "{} bytes: a page, and its head", first.len());
    for _ in 0..3 {
        assert!(frozen(&Lab::new(), &module).expect("a snapshot") == first);
    }
}

#[test]
fn what_cannot_be_frozen_says_why() {
    let lab = Lab::new();
    let open = r#"(func (export "davy_prepare") (result i32)
        (i64.store (i32.const 100) (i64.const 0x65682f62696c)) ;; lib/he
        (i64.store (i32.const 106) (i64.const 0x7478742e6f6c6c)) ;; llo.txt
        (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 13) (i32.const 0)
              (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 200)))"#;
    let import = r#"(import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32))) (memory (export"#;
    let hello = r#"(data (i32.const 100) "lib/hello.txt")"#;
    let open = open.lines().filter(|line| !line.contains("i64.store")).collect::<String>();
    let opens = guest(SERVE, &format!("{open} {BOOT} {hello}")).replace("(memory (export", import);
    let fails = PREPARE.replace("i32.const 0)", "i32.const 1)");
    let state = "(global $more (mut i32) (i32.const 0))";
    for (text, kind, why) in [
        (opens, "guest", "it leaves descriptor 4 open"),
        (guest(SERVE, &format!("{fails} {BOOT}")), "guest", "its Python did not start"),
        (guest(SERVE, &format!("{} {state}", parts())), "guest", "it keeps state outside"),
        (guest(SERVE, &PREPARE.replace("i32.const 0)", "unreachable)")), "script", "aborted"),
    ] {
        let module = wat::parse_str(&text).expect("text");
        let fault = frozen(&lab, &module).expect_err(why);
        assert_eq!(fault.kind(), kind, "{why}: {fault}");
        assert!(fault.to_string().contains(why), "{fault}");
    }
}

/// The entries of an image file.
fn unpacked(path: &Path) -> Vec<(String, Vec<u8>)> {
    let tar = zstd::decode_all(std::fs::File::open(path).expect("image")).expect("zstd");
    let mut archive = tar::Archive::new(&tar[..]);
    let entries = archive.entries().expect("a tar").map(|entry| {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("bytes");
        (name, bytes)
    });
    entries.collect()
}

fn packed(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, &bytes[..]).expect("tar");
    }
    zstd::encode_all(&archive.into_inner().expect("tar")[..], 1).expect("zstd")
}

/// The same image with another snapshot, or another word about it in the manifest. The digests are right.
fn lying(good: &Path, change: impl Fn(&mut Vec<u8>, &mut Value)) -> Vec<u8> {
    let mut entries = unpacked(good);
    let mut manifest: Value = serde_json::from_slice(&entries[0].1).expect("a manifest");
    let mut frozen = manifest["snapshot"].take();
    change(&mut entries[3].1, &mut frozen);
    let digest = Sha256::digest(&entries[3].1);
    frozen["sha256"] = digest.iter().map(|b| format!("{b:02x}")).collect::<String>().into();
    frozen["size"] = entries[3].1.len().into();
    manifest["snapshot"] = frozen;
    entries[0].1 = manifest.to_string().into_bytes();
    packed(&entries)
}

/// Its own digest made right as well.
fn sealed(snapshot: &mut [u8]) {
    let digest = blake3::hash(&snapshot[40..]);
    snapshot[8..40].copy_from_slice(digest.as_bytes());
}

#[test]
fn a_snapshot_that_is_cut_or_lies_is_refused_and_poisons_nothing() {
    let lab = Lab::new();
    let good = image_with_snapshot(&lab);
    let path = lab.folder.path().join("bad.davy");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("image");
        let text = refusal(&lab, &path);
        let image = lab.open(&good).expect("the good one");
        assert_eq!(run(&image, with_env(seed("0"), None)).0.counts, [1, 1, 9]);
        text
    };
    let mut entries = unpacked(&good);
    assert_eq!(
        entries.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(),
        ["manifest.json", "module.wasm", "files.tar", "memory.snapshot"]
    );
    let whole = std::fs::read(&good).expect("image");
    let tar = zstd::decode_all(&whole[..]).expect("zstd");
    let inside = zstd::encode_all(&tar[..tar.len() - 4000], 1).expect("zstd");
    assert!(refused(&inside).contains("memory.snapshot"));
    for cut in [whole.len() / 2, whole.len() - 40] {
        let text = refused(&whole[..cut]);
        assert!(text.contains("truncated") || text.contains("not a Davy image"), "{cut}: {text}");
    }
    let snapshot = entries.pop().expect("the snapshot");
    assert!(refused(&packed(&entries)).contains("it ends before memory.snapshot"));
    let mut other = snapshot.1.clone();
    other[2000] ^= 1;
    let damaged = packed(&[&entries[..], &[(snapshot.0, other)]].concat());
    let text = refused(&damaged);
    assert!(text.contains("damaged: memory.snapshot has digest"), "{text}");
    type Lie<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>, &mut Value));
    let lies: [Lie<'_>; 11] = [
        ("made of another module", &|_, frozen| frozen["module"] = "0".repeat(64).into()),
        ("made of other Python files", &|_, frozen| frozen["files"] = "0".repeat(64).into()),
        ("does not parse", &|bytes, _| bytes.clear()),
        ("does not parse", &|bytes, _| bytes.truncate(bytes.len() - 1)),
        ("does not parse", &|bytes, _| bytes[0] ^= 1),
        ("does not parse", &|bytes, _| bytes[50] ^= 1),
        // Another length: beyond what can be addressed, none of whole pages, less than its pages' numbers.
        ("does not parse", &|bytes, _| {
            bytes[44..52].copy_from_slice(&(1u64 << 40).to_le_bytes());
            sealed(bytes);
        }),
        ("does not parse", &|bytes, _| {
            bytes[44..52].copy_from_slice(&4096u64.to_le_bytes());
            sealed(bytes);
        }),
        ("does not parse", &|bytes, _| {
            bytes[44..52].copy_from_slice(&(1u64 << 16).to_le_bytes());
            sealed(bytes);
        }),
        ("does not parse", &|bytes, _| {
            bytes[52..56].copy_from_slice(&u32::MAX.to_le_bytes());
            sealed(bytes);
        }),
        ("smaller than the memory that the module begins with", &|bytes, _| {
            bytes.truncate(52);
            bytes[44..52].copy_from_slice(&(1u64 << 16).to_le_bytes());
            sealed(bytes);
        }),
    ];
    for (number, (why, lie)) in lies.iter().enumerate() {
        let text = refused(&lying(&good, lie));
        assert!(text.contains("the snapshot of image") && text.contains(why), "{number}: {text}");
    }
    let text = refused(&lying(&good, |_, frozen| frozen["env"] = 7.into()));
    assert!(text.contains("its manifest does not parse"), "{text}");
}

/// What lies about the stack harms the guest that believes it, and nobody else.
#[test]
fn a_lie_about_the_stack_ends_its_own_guest() {
    let lab = Lab::new();
    let uses = SERVE.replace(
        "(drop (call $read",
        "(i32.store (global.get $sp) (i32.const 1)) (drop (call $read",
    );
    let module = wat::parse_str(guest(&uses, &parts())).expect("text");
    let snapshot = frozen(&lab, &module).expect("a snapshot");
    let good = lab.folder.path().join("stack.davy");
    Parts { module, files: hello(), snapshot }.pack(&good);
    let bad = lab.folder.path().join("bad.davy");
    let bytes = lying(&good, |bytes, _| {
        bytes[40..44].copy_from_slice(&(-8i32).to_le_bytes());
        sealed(bytes);
    });
    std::fs::write(&bad, bytes).expect("image");
    let image = lab.open(&bad).expect("an image");
    for _ in 0..3 {
        let sandbox = Sandbox::start(&image, with_env(seed("0"), None)).expect("a sandbox");
        let fault = converse(&sandbox, &[9]).1.expect_err("a trap");
        assert!(fault.to_string().contains("out of bounds"), "{fault}");
    }
    let image = lab.open(&good).expect("the good one");
    assert_eq!(run(&image, with_env(seed("0"), None)).0.counts, [1, 1, 9]);
}

/// The entry of the cache that holds it.
fn entry(lab: &Lab) -> PathBuf {
    let entries = std::fs::read_dir(lab.folder.path().join("cache")).expect("cache").flatten();
    let mut folders = entries.map(|e| e.path()).filter(|path| path.join("memory.image").exists());
    folders.next().expect("an entry")
}

#[test]
fn one_that_is_damaged_in_the_cache_is_laid_out_again() {
    let lab = Lab::new();
    let path = image_with_snapshot(&lab);
    let user = lab.open(&path).expect("an image");
    let opens = |what: &str| {
        let image = lab.open(&path).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (told, _) = run(&image, with_env(seed("0"), None));
        assert_eq!(told, Told { counts: [1, 1, 9], random: 0, time: STILL }, "{what}");
    };
    opens("whole");
    let entry = entry(&lab);
    let (memory, seal) = (entry.join("memory.image"), entry.join("memory.json"));
    let good = std::fs::read(&memory).expect("memory");
    assert_eq!(good.len(), 64 << 16);
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&memory).expect("file"));
    assert!(blocks < 64, "{blocks} blocks: zeros are holes");
    let flip = |bytes: &mut Vec<u8>| bytes[3_000_000] ^= 1;
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(1 << 20);
    let cases: [(&str, &dyn Fn()); 6] = [
        ("changed, times put back", &|| overwrite(&memory, flip)),
        ("cut", &|| overwrite(&memory, cut)),
        ("replaced", &|| replace(&memory, &vec![1; good.len()])),
        ("gone", &|| std::fs::remove_file(&memory).expect("gone")),
        ("its seal changed", &|| overwrite(&seal, |bytes| bytes[20] ^= 1)),
        ("its seal is garbage", &|| replace(&seal, b"{}")),
    ];
    for (what, damage) in cases {
        damage();
        opens(what);
        assert!(std::fs::read(&memory).expect("memory") == good, "{what}");
        opens(what); // by its stamp
        assert!(entry.join("memory.stamp").exists(), "{what}");
    }
    // Who has the damaged one open has what was verified, or an error; here the file that was replaced.
    assert_eq!(run(&user, with_env(seed("0"), None)).0.counts[1..], [1, 9]);
}

#[test]
fn two_processes_lay_it_out_and_boot_from_it_at_once() {
    let lab = Lab::new();
    let path = image_with_snapshot(&lab);
    drop(lab.open(&path).expect("its code is compiled"));
    for round in 0..6 {
        let entry = entry(&lab);
        match round % 3 {
            0 => std::fs::remove_dir_all(&entry).expect("gone"),
            1 => std::fs::remove_file(entry.join("memory.stamp")).expect("a stamp"),
            _ => overwrite(&entry.join("memory.image"), |bytes| bytes.truncate(1 << 20)),
        }
        // Locks of files are of open files: engines in one process meet as processes do.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::new(lab.folder.path().join("cache"), 1 << 30);
                    let engine = Engine::new(cache).expect("engine");
                    let image = Arc::new(Image::open(&engine, &path).expect("image"));
                    for _ in 0..3 {
                        let (told, _) = run(&image, with_env(seed("0"), Some("worker")));
                        assert_eq!(told, Told { counts: [1, 1, 9], random: 0, time: STILL });
                    }
                });
            }
        });
    }
}

#[test]
fn a_memory_limit_below_it_is_met_at_the_start() {
    let lab = Lab::new();
    let image = lab.open(&image_with_snapshot(&lab)).expect("an image");
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let spec = SandboxSpec { limits, ..with_env(seed("0"), None) };
    let sandbox = Sandbox::start(&image, spec).expect("a sandbox");
    let fault = converse(&sandbox, &[9]).1.expect_err("a limit").to_string();
    assert!(fault.contains("memory: 1.0 MiB allowed"), "{fault}");
    assert_eq!(run(&image, with_env(seed("0"), None)).0.counts, [1, 1, 9]);
}

/// Sandboxes of the real image, whose worker tells all that it can see of its own start.
struct Probe {
    image: Arc<Image>,
    folder: tempfile::TempDir,
}

impl Probe {
    fn new() -> Probe {
        Probe { image: python::image(), folder: tempfile::tempdir().expect("a folder") }
    }

    fn ask(&self, env: Vec<(String, String)>, key: Option<&str>) -> Value {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/python");
        let own = own.canonicalize().expect("the worker's folder");
        let guest = own.display().to_string();
        let session = serde_json::json!({
            "worker": "probe", "sys_path": [&guest], "cwd": "/tmp", "reuse": false,
            "env": {"TZ": "Asia/Kolkata", "ONLY": "this", "PYTHONHASHSEED": "0"}, "buffer_size": 65536,
        });
        let dir = |host: &Path, guest: &str, write| DirGrant {
            host: host.into(),
            guest: guest.into(),
            write,
            quota_bytes: None,
            lower: None,
        };
        let grants = Grants {
            dirs: vec![dir(&own, &guest, false), dir(self.folder.path(), "/tmp", true)],
            env,
            ..Grants::default()
        };
        let session = session.to_string().into_bytes();
        let spec = SandboxSpec { session, grants, snapshot_key: key_of(key), ..spec() };
        let sandbox = Sandbox::start(&self.image, spec).expect("a sandbox");
        sandbox.begin_task(davy_runtime::TaskLimits {
            deadline: Some(PATIENCE),
            ..davy_runtime::TaskLimits::default()
        });
        let (output, end) = converse(&sandbox, b"\n");
        end.expect("a quiet end");
        serde_json::from_slice(&output).expect("JSON")
    }
}

/// Of the globals, which are thousands, one by one.
fn assert_same(one: &Value, other: &Value) {
    for name in other["same"].as_object().expect("what is the same").keys() {
        let (one, other) = (&one["same"][name], &other["same"][name]);
        if name == "globals" {
            let names = |of: &Value| of.as_object().expect("globals").clone();
            let (one, other) = (names(one), names(other));
            let all = one.keys().chain(other.keys());
            let differ: Vec<_> = all
                .filter(|&key| one.get(key) != other.get(key))
                .map(|key| (key, one.get(key), other.get(key)))
                .collect();
            assert!(differ.is_empty(), "{differ:#?}");
        } else {
            assert_eq!(one, other, "{name}");
        }
    }
}

fn key_of(key: Option<&str>) -> Option<SnapshotKey> {
    key.map(|key| SnapshotKey { key: key.into(), on_disk: false, jobs: false })
}

#[test]
fn the_real_images_snapshot_makes_no_difference_but_to_time() {
    let probe = Probe::new();
    let frozen = probe.image.manifest().snapshot.as_ref().expect("the image holds one");
    assert_eq!(frozen.env, seed("0").into_iter().collect::<BTreeMap<_, _>>());
    let more = [seed("0"), vec![("LANG".into(), "C".into())]].concat();
    let own = probe.ask(more.clone(), None); // prepares itself
    let from = probe.ask(seed("0"), None);
    assert_same(&from, &own);
    let worker = |env: &[(String, String)], key| {
        (0..2).map(|_| probe.ask(env.to_vec(), Some(key))).collect::<Vec<_>>()
    };
    let all =
        [vec![own, from], worker(&seed("0"), "a"), worker(&seed("0"), "b"), worker(&more, "c")];
    let all: Vec<Value> = all.concat();
    for told in &all {
        assert_same(told, &all[0]);
        for (name, age) in told["age"].as_object().expect("ages") {
            let age = age.as_f64().expect("seconds");
            assert!((0.0..120.0).contains(&age), "{name} is {age} s old");
        }
    }
    // Numbers drawn for a task are drawn once; those of a boot once for each worker that was booted.
    for (kind, different) in [("drawn", all.len()), ("boot", 5)] {
        for name in all[0][kind].as_object().expect("what was drawn").keys() {
            let mut values: Vec<_> = all.iter().map(|told| told[kind][name].to_string()).collect();
            values.sort();
            values.dedup();
            assert_eq!(values.len(), different, "{kind} {name}: {values:?}");
        }
    }
    let other = probe.ask(seed("7"), None);
    assert_ne!(other["same"]["hash"], all[0]["same"]["hash"], "another seed hashes otherwise");
    assert_eq!(other["same"]["modules"], all[0]["same"]["modules"]);
}

/// The image's own recipe promises it: the same bytes from the same module and files.
#[test]
fn the_real_image_is_frozen_to_the_bytes_that_it_holds() {
    let image = python::image();
    let held = image.manifest().snapshot.clone().expect("the image holds one");
    let engine = Engine::new(Cache::new(python::compiled(), 4 << 30)).expect("engine");
    for _ in 0..2 {
        let image = Image::open(&engine, &python::path()).expect("an image");
        let bytes = davy_runtime::freeze(image, &held.env, Arc::new(StderrLog)).expect("frozen");
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!((digest, bytes.len() as u64), (held.part.sha256.clone(), held.part.size));
    }
}

/// `csv` is in the image's snapshot, `html` is not; a job may have its own of both.
#[test]
fn a_module_of_the_jobs_own_stands_before_a_standard_one_that_is_prepared() {
    let probe = Probe::new();
    let folder = tempfile::tempdir().expect("a folder");
    let host = folder.path();
    for (file, text) in [
        ("csv.py", "OWN = True"),
        ("html/__init__.py", "from .parser import OWN"),
        ("html/parser.py", "OWN = True"),
        (
            "shadow.py",
            "def main(infile, outfile):\n    import calendar, csv, html, html.parser, json\n    \
             modules = calendar, csv, html, html.parser, json\n    \
             outfile.write(repr([hasattr(m, 'OWN') for m in modules]).encode())\n",
        ),
    ] {
        std::fs::create_dir_all(host.join(file).parent().expect("a folder")).expect("a folder");
        std::fs::write(host.join(file), text).expect("a file");
    }
    let guest = host.display().to_string();
    let session = serde_json::json!({
        "worker": "shadow", "sys_path": [&guest], "cwd": null, "reuse": false, "env": {}, "buffer_size": 65536,
    });
    let dirs =
        vec![DirGrant { host: host.into(), guest, write: false, quota_bytes: None, lower: None }];
    for env in [seed("0"), seed("1")] {
        let grants = Grants { dirs: dirs.clone(), env: env.clone(), ..Grants::default() };
        let session = session.to_string().into_bytes();
        let spec = SandboxSpec { session, grants, ..spec() };
        let (output, end) =
            converse(&Sandbox::start(&probe.image, spec).expect("a sandbox"), b"\n");
        end.expect("a quiet end");
        assert_eq!(String::from_utf8_lossy(&output), "[False, True, True, True, False]", "{env:?}");
    }
}
