//! What one sandbox leaves behind, the next one must not find: not in its memory, whoever had those pages
//! before, nor in descriptors, files, names, tables. And what is drawn at random is drawn anew.
//!
//! A guest hides a secret wherever Python can; the test looks for it in the linear memory of guests that
//! start from the same snapshot after it, all of it, from outside, so that nothing in them can lie.

use crate::guests::{BOOT, Lab, PATIENCE, converse, guest, spec};
use crate::python::image;
use davy_runtime::{
    DirGrant, Fault, Grants, Image, READABLE, Sandbox, SandboxSpec, SnapshotKey, TaskLimits,
};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a secret: those that all of one test share, and then its own.
const SHARED: usize = 8;

/// No zero, no slash, no end of a line: it is a path's and an environment's as well.
fn secret(shared: &[u8], own: u64) -> Vec<u8> {
    let mut random = [0; 8];
    File::open("/dev/urandom").and_then(|f| f.read_exact_at(&mut random, 0)).expect("random bytes");
    let more = (u64::from_le_bytes(random) ^ own).to_le_bytes();
    let bytes = shared.iter().chain(&more).map(|byte| byte | 0x80);
    bytes.take(16).collect()
}

fn hoarder(scratch: &Path, seed: Option<&str>, reuse: bool) -> SandboxSpec {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/attacks/python");
    let own = own.canonicalize().expect("the worker's folder");
    let guest = own.display().to_string();
    let session = serde_json::json!({
        "worker": "hoarder", "sys_path": [&guest], "env": {}, "cwd": null, "reuse": reuse,
        "buffer_size": 65536,
    });
    std::fs::create_dir_all(scratch).expect("a folder");
    let dir = |host: &Path, guest: &str, write| DirGrant {
        host: host.into(),
        guest: guest.into(),
        write,
        quota_bytes: None,
        lower: None,
    };
    let key = format!("hoarder {seed:?}");
    SandboxSpec {
        session: session.to_string().into_bytes(),
        grants: Grants {
            dirs: vec![dir(&own, &guest, false), dir(scratch, "/tmp", true)],
            env: seed.map(|seed| ("PYTHONHASHSEED".into(), seed.into())).into_iter().collect(),
            ..Grants::default()
        },
        snapshot_key: Some(SnapshotKey { key, on_disk: false, jobs: false }),
        ..spec()
    }
}

/// Says a line, and hears one.
fn ask(sandbox: &Sandbox, line: &str) -> serde_json::Value {
    say(sandbox, line);
    let (channels, mut heard) = (sandbox.channels(), Vec::new());
    while !heard.ends_with(b"\n") {
        assert_ne!(channels.wait_ready(READABLE, PATIENCE), 0, "{line}: it hangs");
        let mut byte = [0; 4096];
        let n =
            channels.read(&mut byte).unwrap_or_else(|| panic!("{line}: {:?}", sandbox.outcome()));
        heard.extend_from_slice(&byte[..n]);
    }
    serde_json::from_slice(&heard).expect("JSON")
}

fn say(sandbox: &Sandbox, line: &str) {
    let line = format!("{line}\n");
    assert_eq!(sandbox.channels().write(line.as_bytes()), Some(line.len()));
}

fn begin(image: &Arc<Image>, spec: SandboxSpec) -> Sandbox {
    let sandbox = Sandbox::start(image, spec).expect("a sandbox");
    sandbox.begin_task(TaskLimits { deadline: Some(PATIENCE), ..TaskLimits::default() });
    sandbox
}

/// Where a guest's linear memory lies: its switch shows it, so that no guest has to be believed.
fn memory_of(sandbox: &Sandbox) -> u64 {
    for _ in 0..10_000 {
        let shown = format!("{:?}", sandbox.interrupt());
        if let Some((_, after)) = shown.split_once("LinearMemory(") {
            return after.split(')').next().and_then(|n| n.parse().ok()).expect("an address");
        }
        std::thread::sleep(Duration::from_millis(1)); // somebody had its lock
    }
    panic!("no memory is armed: {:?}", sandbox.interrupt());
}

/// Looks through all memory that the guest can reach: the places of `what` in it, and its size.
fn search(sandbox: &Sandbox, what: &[u8]) -> (Vec<u64>, u64) {
    const PART: usize = 1 << 20;
    let base = memory_of(sandbox);
    let (mut end, mut places) = (base, Vec::new());
    for line in std::fs::read_to_string("/proc/self/maps").expect("mappings").lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().expect("a range"), words.next().expect("its access"));
        let (from, to) = range.split_once('-').expect("a range");
        let number = |hex| u64::from_str_radix(hex, 16).expect("an address");
        // Linear memory is readable without a gap, and what follows it is not.
        if number(from) <= end && end < number(to) && access.starts_with("rw") {
            end = number(to);
        }
    }
    let memory = File::open("/proc/self/mem").expect("memory");
    let mut part = vec![0; PART + what.len() - 1];
    for at in (base..end).step_by(PART) {
        let n = part.len().min((end - at) as usize);
        memory.read_exact_at(&mut part[..n], at).expect("memory that is mapped");
        places.extend(
            memchr::memmem::find_iter(&part[..n], what).map(|place| at - base + place as u64),
        );
    }
    (places, end - base)
}

/// Hides a secret, and shows that the search finds it where it should be.
fn hide(sandbox: &Sandbox, secret: &[u8]) {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ask(sandbox, &format!("hide {hex}")), "hidden");
}

/// A guest that begins finds nothing of what is searched for, and the same things as the first one did.
fn finds_nothing(sandbox: &Sandbox, shared: &[u8], first: &serde_json::Value, when: &str) {
    let found = ask(sandbox, "look");
    assert!(sandbox.stats().from_snapshot, "{when}: it was booted afresh");
    let (places, bytes) = search(sandbox, shared);
    assert!(places.is_empty(), "{when}: in its memory, at {places:x?}");
    assert!(bytes > 36 << 20, "{when}: its memory was {bytes} bytes");
    assert_eq!(&found, first, "{when}");
}

#[test]
fn what_a_sandbox_hid_no_later_one_finds() {
    let (lab, image) = (Lab::new(), image());
    let folder = |name: &str| lab.folder.path().join(name);
    let shared = secret(&[0; 8], 0)[SHARED..].to_vec();
    // Boots, and makes the snapshot.
    let booted = begin(&image, hoarder(&folder("first"), Some("0"), false));
    ask(&booted, "draw");
    drop(booted);
    let start = |name: &str, reuse| begin(&image, hoarder(&folder(name), Some("0"), reuse));
    let first = ask(&start("look", false), "look");
    for (number, how) in ["end", "exit", "spin", "killed", "reused", "dropped"].iter().enumerate() {
        let sandbox = start(how, *how == "reused");
        let mine = secret(&shared, number as u64);
        assert_eq!(mine[..SHARED], shared);
        hide(&sandbox, &mine);
        let (places, bytes) = search(&sandbox, &shared);
        // Live and freed; the stack of compiled code lies lowest.
        assert!(places.len() > 2000, "{how}: {} places in {bytes} bytes", places.len());
        assert!(places.iter().any(|at| *at < 8 << 20), "{how}: none on the stack");
        match *how {
            "end" => {
                say(&sandbox, "end");
                sandbox.channels().end_input();
                sandbox.wait().expect("a quiet end");
            }
            "exit" => {
                say(&sandbox, "exit");
                assert!(matches!(sandbox.wait(), Err(Fault::Script { .. })));
            }
            "spin" => {
                say(&sandbox, "spin");
                std::thread::sleep(Duration::from_millis(50));
                sandbox.interrupt().stop(Fault::Stopped { reason: "enough".into() });
                assert!(matches!(sandbox.wait(), Err(Fault::Stopped { .. })));
            }
            "killed" => {
                sandbox.interrupt().stop(Fault::Stopped { reason: "enough".into() });
                assert!(matches!(sandbox.wait(), Err(Fault::Stopped { .. })));
            }
            "reused" => {
                // Another task of the same tenant; what it hides is searched for as well.
                say(&sandbox, "end");
                sandbox.begin_task(TaskLimits::default());
                hide(&sandbox, &secret(&shared, 99));
                say(&sandbox, "end");
                sandbox.channels().end_input();
                sandbox.wait().expect("a quiet end");
            }
            _ => {}
        }
        // While the one that hid it is still there, and when it is gone.
        finds_nothing(&start("look", false), &shared, &first, how);
        drop(sandbox);
        for _ in 0..2 {
            finds_nothing(&start("look", false), &shared, &first, how);
        }
    }
    assert_eq!(std::fs::read(folder("end").join("kept")).expect("its own folder").len(), 16_000);
}

/// Pages that one gives back are another's a moment later.
#[test]
fn sixty_four_that_come_and_go_find_nothing_of_each_other() {
    let (lab, image) = (Lab::new(), image());
    let folder = |name: String| lab.folder.path().join(name);
    let shared = secret(&[0; 8], 1)[SHARED..].to_vec();
    let booted = begin(&image, hoarder(&folder("first".into()), Some("0"), false));
    ask(&booted, "draw");
    drop(booted);
    let start = |name: String| begin(&image, hoarder(&folder(name), Some("0"), false));
    let first = ask(&start("look".into()), "look");
    let hiding: Vec<Sandbox> = (0..64).map(|n| start(format!("hide {n}"))).collect();
    for (n, sandbox) in hiding.iter().enumerate() {
        let hex = secret(&shared, n as u64);
        say(
            sandbox,
            &format!("hide {}", hex.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        );
    }
    // Eight host threads end them, one way or another, and start one in the place of each.
    let queue = std::sync::Mutex::new(hiding.into_iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some((n, sandbox)) = queue.lock().expect("the queue").next() else {
                        return;
                    };
                    match n % 4 {
                        // In the middle of it, and at its end.
                        0 => std::thread::sleep(Duration::from_millis(n as u64 % 7)),
                        _ => while sandbox.channels().wait_ready(READABLE, PATIENCE) == 0 {},
                    }
                    if n % 4 == 1 {
                        say(&sandbox, "spin");
                    }
                    drop(sandbox);
                    finds_nothing(
                        &start(format!("look {n}")),
                        &shared,
                        &first,
                        &format!("after {n}"),
                    );
                }
            });
        }
    });
}

/// Each random generator, the clocks, and the seed of hashes, in guests from one snapshot and from several.
#[test]
fn generators_are_reseeded_clocks_are_fresh_and_hashes_follow_their_seed() {
    let (lab, image) = (Lab::new(), image());
    let draw = |seed: Option<&str>| {
        let sandbox = begin(&image, hoarder(&lab.folder.path().join("scratch"), seed, true));
        let drawn = ask(&sandbox, "draw");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let told = drawn["clocks"]["time"].as_f64().expect("a time");
        assert!((now - told).abs() < 1.0, "{told} is not {now}");
        say(&sandbox, "end");
        // The clocks go on in the next task, and nothing is drawn twice.
        let again = ask(&sandbox, "draw");
        let clock =
            |of: &serde_json::Value, name: &str| of["clocks"][name].as_f64().expect("a time");
        assert!(clock(&again, "monotonic") > clock(&drawn, "monotonic"));
        // What was read of it before the snapshot lies in the past.
        assert!(clock(&drawn, "monotonic") > clock(&drawn, "boot"), "{drawn}");
        (sandbox.stats().from_snapshot, [drawn, again])
    };
    let zero: Vec<_> = (0..4).map(|_| draw(Some("0"))).collect();
    assert_eq!(zero.iter().map(|(from, _)| *from).collect::<Vec<_>>(), [false, true, true, true]);
    let all: Vec<_> = zero.iter().flat_map(|(_, drawn)| drawn).collect();
    for name in all[0]["drawn"].as_object().expect("what was drawn").keys() {
        let mut values: Vec<_> = all.iter().map(|one| one["drawn"][name].to_string()).collect();
        values.sort();
        values.dedup();
        assert_eq!(values.len(), all.len(), "{name} was drawn twice: {values:?}");
    }
    let hash = |drawn: &(bool, [serde_json::Value; 2])| drawn.1[0]["same"]["hash"].clone();
    assert!(zero.iter().all(|drawn| hash(drawn) == hash(&zero[0])));
    // Two boots with one seed hash alike, with another seed otherwise, and with none each in its own way.
    let (lab, image) = (Lab::new(), crate::python::image());
    let draw = |seed: Option<&str>| {
        let sandbox = begin(&image, hoarder(&lab.folder.path().join("scratch"), seed, false));
        (sandbox.stats().from_snapshot, [ask(&sandbox, "draw"), serde_json::Value::Null])
    };
    let (same, seven, again) = (draw(Some("0")), draw(Some("7")), draw(Some("7")));
    assert_eq!(hash(&same), hash(&zero[0]), "booted apart");
    assert_eq!(hash(&seven), hash(&again));
    assert_ne!(hash(&seven), hash(&same));
    let (none, random) = (draw(None), draw(Some("random")));
    assert_ne!(hash(&none), hash(&random));
    assert_ne!(hash(&none), hash(&same));
    assert_ne!(hash(&random), hash(&same));
}

/// What a module of its own can keep beside memory: globals and tables. Those are never shared.
#[test]
fn globals_and_tables_are_each_guests_own() {
    let lab = Lab::new();
    let parts = format!(
        "{BOOT} (global $kept (mut i64) (i64.const 0)) (table $t 2 64 funcref) (elem declare func $f)
         (func $f (result i32) i32.const 7)"
    );
    // Answers what it finds, and then keeps its input everywhere.
    let body = "(i64.store (i32.const 100) (global.get $kept))
        (i32.store (i32.const 108) (table.size $t))
        (i32.store (i32.const 112) (ref.is_null (table.get $t (i32.const 0))))
        (drop (call $read (i32.const 200) (i32.const 8)))
        (global.set $kept (i64.load (i32.const 200)))
        (table.set $t (i32.const 0) (ref.func $f))
        (drop (table.grow $t (ref.func $f) (i32.const 40)))
        (global.set $sp (i32.load (i32.const 200)))
        (drop (call $write (i32.const 100) (i32.const 16))) i32.const 0";
    let image = lab.image_with(body, &parts);
    for n in 0..20_u8 {
        let key = SnapshotKey { key: "tables".into(), on_disk: false, jobs: false };
        let sandbox = begin(&image, SandboxSpec { snapshot_key: Some(key), ..spec() });
        let (found, end) = converse(&sandbox, &[n + 1; 8]);
        end.expect("a quiet end");
        assert_eq!(found, [[0; 8], [2, 0, 0, 0, 1, 0, 0, 0]].concat(), "guest {n}");
    }
}

/// A guest in text that fills all of its memory, and another that goes through all of its own.
#[test]
fn a_memory_full_of_secrets_leaves_none_to_the_next() {
    let lab = Lab::new();
    // The secret comes masked: whoever looks for it must not have it in memory.
    let body = "(local $at i32) (local $found i32) (local $what i64)
        (drop (call $read (i32.const 0) (i32.const 9)))
        (local.set $what (i64.xor (i64.load (i32.const 1)) (i64.const 0x5a5a5a5a5a5a5a5a)))
        (drop (memory.grow (i32.const 200)))
        (local.set $at (i32.const 16))
        (loop $all
          (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 104)) (then
            (i64.store (local.get $at) (local.get $what))))
          (local.set $found (i32.add (local.get $found)
            (i64.eq (i64.load (local.get $at)) (local.get $what))))
          (br_if $all (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                                (i32.mul (memory.size) (i32.const 65536)))))
        (i32.store (i32.const 0) (local.get $found))
        (drop (call $write (i32.const 0) (i32.const 4))) i32.const 0";
    let image = lab.open(&lab.pack(&guest(body, BOOT))).expect("an image");
    let what = secret(&[7; 8], 2);
    let masked: Vec<u8> = what[..8].iter().map(|byte| byte ^ 0x5a).collect();
    let run = |how: u8| {
        let key = SnapshotKey { key: "full".into(), on_disk: false, jobs: false };
        let sandbox = begin(&image, SandboxSpec { snapshot_key: Some(key), ..spec() });
        let (found, end) = converse(&sandbox, &[&[how], &masked[..]].concat());
        end.expect("a quiet end");
        u32::from_le_bytes(found.try_into().expect("4 bytes"))
    };
    for _ in 0..10 {
        std::thread::scope(|scope| {
            let hiding: Vec<_> = (0..8).map(|_| scope.spawn(|| run(b'h'))).collect();
            let looking: Vec<_> = (0..8).map(|_| scope.spawn(|| run(b'l'))).collect();
            for thread in hiding {
                assert_eq!(thread.join().expect("a guest"), 202 * 8192 - 2);
            }
            for thread in looking {
                assert_eq!(thread.join().expect("a guest"), 0);
            }
        });
    }
}
