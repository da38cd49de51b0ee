//! The system fails the host at each step where it can (files, mappings, threads, allocation), each time
//! that the step comes in a life: opening an image, boot, start from a snapshot, job snapshots,
//! batches, growth, call-backs, a stop. Whoever met it hears a sentence with the cause, nothing stays behind, and the same thing
//! done again is done rightly.
//!
//! One test: the steps that fail are of the process.

#[allow(dead_code)] // what the other tests use of it
#[path = "all/guests.rs"]
mod guests;

use davy_runtime::failpoints::fail;
use davy_runtime::{
    AdmitRule, CallbackRule, DirGrant, Fault, Grants, Image, Output, READABLE, Sandbox,
    SandboxSpec, SnapshotKey, TaskLimits,
};
use guests::{BOOT, Lab, PATIENCE, converse, guest, spec};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What the sentence says beside the cause, one or the other; `None`: nobody is told, for nothing is lost but time.
const SENTENCES: &[(&str, Option<&str>)] = &[
    ("image.read", Some("cannot be read")),
    ("cache.folder", Some("the cache folder")),
    ("cache.lock", Some("the cache folder")),
    ("cache.build", Some("the cache folder")),
    ("cache.rename", Some("the cache folder")),
    ("prepared.write", Some("the cache folder")),
    ("files.write", Some("the cache folder")),
    ("files.thread", None),
    ("code.write", Some("the cache folder")),
    ("instance.memory", Some("the host failed")),
    ("guest.thread", Some("the host failed: starting a guest thread")),
    ("grant.open", Some("the host failed: opening the granted directory")),
    ("admission.folder", Some("the host failed: making the folder for admitted files")),
    ("snapshot.memfd", Some("the host failed: taking a snapshot|cannot be read")),
    ("snapshot.write", Some("the host failed: taking a snapshot")),
    ("snapshot.seal", Some("the host failed: taking a snapshot|cannot be read")),
    ("snapshot.map", Some("the host failed: mapping a snapshot")),
    ("snapshot.thread", None),
    ("snapshot.save", None),
    ("jobs.thread", None),
    ("watchdog.thread", Some("the host failed: starting the thread that watches time limits")),
    ("batch.region", Some("the host failed: allocating 0 bytes for a batch")),
    ("snapshot.read", None),
    ("stop.close", None),
    ("stop.protect", None),
    ("callback.connect", Some("the guest heard error 14")), // that the connection was refused
    // The guest hears -1, and fails in its own words; the host's own growth names the cause.
    ("memory.grow", Some("memory|its Python did not start")),
];

/// Steps whose failure is an answer to the guest, in whose words the cause is not.
const ANSWERS: [&str; 2] = ["callback.connect", "memory.grow"];

/// Boot grows memory and writes 7 far up; serve grows it once more and answers that value and 1.
const SERVE: &str = r#"
  (i32.store8 (i32.const 0) (i32.load8_u (i32.const 3000000)))
  (i32.store8 (i32.const 1) (i32.ne (memory.grow (i32.const 9)) (i32.const -1)))
  (drop (call $read (i32.const 3000001) (i32.const 1)))
  (drop (call $write (i32.const 0) (i32.const 2)))
  i32.const 0"#;
const GROWN: &str = r#"(func (export "davy_boot") (result i32)
  (if (i32.eq (memory.grow (i32.const 62)) (i32.const -1)) (then
    (drop (call $write (i32.const 0) (i32.const 1)))
    (return (i32.const 1))))
  (i32.store8 (i32.const 3000000) (i32.const 7))
  i32.const 0)"#;

/// Loads its command (one more at 400), asks for a job snapshot, and answers how often it was loaded.
const JOB: &str = r#"(local $role i32)
  (drop (call $gateway (i32.const 11) (i32.const 0) (i32.const 0) (i32.const 200) (i32.const 64)))
  (local.set $role (i32.load8_u (i32.const 200)))
  (drop (call $read (i32.const 300) (i32.const 1)))
  (drop (call $gateway (i32.const 12) (i32.const 100) (i32.const 32) (i32.const 201) (i32.const 8)))
  (if (i32.ne (local.get $role) (i32.const 114)) (then
    (i32.store8 (i32.const 400) (i32.add (i32.load8_u (i32.const 400)) (i32.const 1)))))
  (if (i32.eq (local.get $role) (i32.const 112)) (then
    (drop (call $gateway (i32.const 14) (i32.const 500) (i32.const 0) (i32.const 200) (i32.const 8)))
    (return (i32.const 0))))
  (if (i32.eq (i32.load8_u (i32.const 201)) (i32.const 117)) (then
    (drop (call $gateway (i32.const 13) (i32.const 100) (i32.const 32) (i32.const 201) (i32.const 8)))))
  (drop (call $write (i32.const 400) (i32.const 1)))
  i32.const 0"#;

/// Gives the schema and the batch whose places are in its first words.
const GIVE: &str = r#"(drop (call $read (i32.const 0) (i32.const 60000)))
  (drop (call $gateway (i32.const 8) (i32.load (i32.const 0)) (i32.load (i32.const 4))
                       (i32.const 0) (i32.const 0)))
  (drop (call $gateway (i32.const 9) (i32.const 8) (i32.const 4) (i32.const 0) (i32.const 0)))
  i32.const 0"#;

/// Says a byte, and runs in circles.
const CIRCLE: &str =
    "(drop (call $write (i32.const 0) (i32.const 1))) (loop $l (br $l)) i32.const 0";

/// Connects to the socket that its input names, and tells the answer.
const CONNECT: &str = r#"(local $n i32)
  (local.set $n (call $read (i32.const 100) (i32.const 1000)))
  (i32.store (i32.const 0)
    (call $gateway (i32.const 3) (i32.const 100) (local.get $n) (i32.const 8) (i32.const 4)))
  (drop (call $write (i32.const 0) (i32.const 4)))
  i32.const 0"#;
const SOCKET: &str = "s-01234567-89ab-cdef-0123-456789abcdef.sock";

/// Memory with a batch of five rows without columns.
fn batch() -> Vec<u8> {
    let none = arrow_schema::Schema::empty();
    let stream = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &none).expect("a writer");
    let message = stream.into_inner().expect("bytes");
    let mut memory = vec![0u8; 1024];
    let words: [u32; 3] = [256, message.len() as u32, 128];
    memory[..12].copy_from_slice(words.map(u32::to_le_bytes).as_flattened());
    let array: [i64; 5] = [5, 0, 0, 1, 0]; // rows, nulls, offset, buffers, children
    memory[128..168].copy_from_slice(array.map(i64::to_le_bytes).as_flattened());
    memory[168..172].copy_from_slice(&64u32.to_le_bytes()); // its one buffer is absent
    memory[256..256 + message.len()].copy_from_slice(&message);
    memory
}

/// The image of a guest that grows, with a snapshot of its own.
fn prepared() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let lab = Lab::new();
        let module = wat::parse_str(guest(SERVE, GROWN)).expect("text");
        let image = Image::open(&lab.engine, &lab.pack_bytes(&module, 1)).expect("an image");
        let env = BTreeMap::new();
        let log = Arc::new(davy_runtime::StderrLog);
        let snapshot = davy_runtime::freeze(image, &env, log).expect("a snapshot");
        let mut packed = Vec::new();
        davy_runtime::pack_with_snapshot(
            &module,
            &guests::hello(),
            &snapshot,
            &env,
            1,
            &mut packed,
        )
        .expect("packed");
        packed
    })
}

/// One life: images opened, and what is done with them.
struct Life {
    lab: Lab,
    images: BTreeMap<&'static str, Arc<Image>>,
}

/// What is met in one of them does not depend on the others.
const LIVES: [&[&str]; 6] = [
    &["open serve", "boot", "start", "again", "open by stamp", "from disk"],
    &["open job", "made", "used"],
    &["open give", "batch"],
    &["open circle", "stop"],
    &["open connect", "connect"],
    &["open prepared", "boot prepared"],
];

impl Life {
    fn open(&mut self, name: &'static str, body: &str, boot: &str) -> Result<Vec<u8>, Fault> {
        let path = self.lab.pack(&guest(body, boot));
        let image = self.lab.open(&path)?;
        self.images.insert(name, image);
        Ok(Vec::new())
    }

    fn run(&self, name: &str, jobs: bool, input: &[u8]) -> Result<(Vec<u8>, Sandbox), Fault> {
        let sandbox = self.start(name, jobs)?;
        let (output, end) = converse(&sandbox, input);
        end.map(|()| (output, sandbox))
    }

    fn start(&self, name: &str, jobs: bool) -> Result<Sandbox, Fault> {
        let shared = self.lab.folder.path().join("shared");
        std::fs::create_dir_all(&shared).expect("a folder");
        let dir = DirGrant {
            host: shared.clone(),
            guest: "/s".into(),
            write: false,
            quota_bytes: None,
            lower: None,
        };
        let admit = AdmitRule { root: shared, patterns: vec!["*".into()] };
        let root = self.lab.folder.path().into();
        let callbacks = CallbackRule { root, prefix: "s-".into(), suffix: ".sock".into() };
        let grants = Grants {
            dirs: vec![dir],
            admit: vec![admit],
            callbacks: Some(callbacks),
            ..Grants::default()
        };
        let key = SnapshotKey { key: "k".into(), on_disk: !jobs, jobs };
        let spec = SandboxSpec { snapshot_key: Some(key), grants, ..spec() };
        let sandbox = Sandbox::start(&self.images[name], spec)?;
        sandbox.begin_task(TaskLimits { deadline: Some(PATIENCE), ..TaskLimits::default() });
        Ok(sandbox)
    }

    /// Stops a guest that runs and calls nobody: it ends at once, long before its deadline.
    fn stop(&self) -> Result<Vec<u8>, Fault> {
        let sandbox = self.start("circle", false)?;
        let channels = sandbox.channels();
        while channels.wait_ready(READABLE, PATIENCE) == 0 {}
        if channels.read(&mut [0; 9]).is_none() {
            return sandbox.wait().map(|()| Vec::new());
        }
        // It is in its circle when it has worked for longer than the host has for it.
        let before = sandbox.stats().cpu_us;
        let until = Instant::now() + PATIENCE / 2;
        while sandbox.stats().cpu_us < before + 10_000 {
            assert!(Instant::now() < until, "it does not run");
            std::thread::sleep(Duration::from_millis(1));
        }
        let stopped = Instant::now();
        sandbox.interrupt().stop(Fault::Stopped { reason: "enough".into() });
        let end = sandbox.wait();
        assert!(stopped.elapsed() < PATIENCE / 4, "the stop came after {:?}", stopped.elapsed());
        match end {
            Err(Fault::Stopped { reason }) if reason == "enough" => Ok(Vec::new()),
            other => panic!("{other:?}"),
        }
    }

    fn connect(&self) -> Result<Vec<u8>, Fault> {
        let path = self.lab.folder.path().join(SOCKET);
        let _ = std::fs::remove_file(&path);
        let _listener = UnixListener::bind(&path).expect("a socket");
        let (answer, _) = self.run("connect", false, path.as_os_str().as_bytes())?;
        match i32::from_le_bytes(answer[..].try_into().expect("4 bytes")) {
            handle if handle > 0 => Ok(Vec::new()),
            errno => Err(Fault::Script { what: format!("the guest heard error {}", -errno) }),
        }
    }

    /// Serves from memory that a guest has grown; one that could not grow says so.
    fn serve(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let (told, _) = self.run(name, false, b"x")?;
        match told[..] {
            [value, 0] => {
                let what = format!("the guest got no memory beside its {value}");
                Err(Fault::Script { what })
            }
            _ => Ok(told),
        }
    }

    fn step(&mut self, step: &str) -> Result<Vec<u8>, Fault> {
        match step {
            "open serve" => self.open("serve", SERVE, GROWN),
            "open job" => self.open("job", JOB, BOOT),
            "open give" => self.open("give", GIVE, BOOT),
            "open by stamp" => {
                // Laid out, verified and stamped, believed: a stamp is not written at once.
                let path = self.lab.pack(&guest(SERVE, GROWN));
                for _ in 0..3 {
                    std::thread::sleep(Duration::from_millis(30));
                    // The last one stands for another process: nothing but the disk is shared.
                    self.images.insert("serve", self.lab.open(&path)?);
                }
                Ok(Vec::new())
            }
            "boot" | "start" | "again" | "from disk" => self.serve("serve"),
            "open prepared" => {
                let path = self.lab.folder.path().join("prepared.davy");
                std::fs::write(&path, prepared()).expect("an image");
                self.images.insert("prepared", self.lab.open(&path)?);
                Ok(Vec::new())
            }
            "boot prepared" => self.serve("prepared"),
            "open circle" => self.open("circle", CIRCLE, BOOT),
            "stop" => self.stop(),
            "open connect" => self.open("connect", CONNECT, BOOT),
            "connect" => self.connect(),
            "made" | "used" => self.run("job", true, b"x").map(|(told, _)| told),
            "batch" => self.run("give", false, &batch()).map(|(_, sandbox)| {
                let given = std::iter::from_fn(|| sandbox.channels().take_output());
                let rows = given.filter_map(|output| match output {
                    Output::Batch(batch) => Some(batch.rows() as u8),
                    Output::Schema(_) => None,
                });
                rows.collect()
            }),
            other => panic!("{other}"),
        }
    }

    fn right(step: &str) -> Vec<u8> {
        match step {
            "boot" | "start" | "again" | "from disk" | "boot prepared" => vec![7, 1],
            "made" | "used" => vec![1],
            "batch" => vec![5],
            _ => Vec::new(),
        }
    }
}

/// Descriptors, guest threads and linear memories or snapshots mapped. The watchdog and the sweeper of
/// job snapshots stay a while; both are one a process or image.
fn held() -> (usize, usize, usize) {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let stays = ["davy-watchdog", "davy-jobs"];
    let guests =
        names.filter(|name| name.starts_with("davy") && !stays.contains(&name.trim())).count();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("mappings");
    let large = |line: &&str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let size = u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?;
        (size >= 1 << 30 || line.contains("davy-snapshot")).then_some(())
    };
    let mapped = maps.lines().filter(|line| large(line).is_some()).count();
    (std::fs::read_dir("/proc/self/fd").expect("descriptors").count(), guests, mapped)
}

/// A life of these steps in which `failing` fails once; where it may fail, and who was told what.
fn live(
    steps: &[&'static str],
    failing: Option<(&str, usize)>,
) -> (Vec<&'static str>, Vec<(&'static str, String)>) {
    let mut life = Life { lab: Lab::new(), images: BTreeMap::new() };
    let (mut told, mut met) = (Vec::new(), fail(failing));
    met.clear();
    for &step in steps {
        let done = life.step(step).or_else(|fault| {
            told.push((step, fault.to_string()));
            life.step(step)
        });
        let right = Life::right(step);
        assert_eq!(done.map_err(|f| f.to_string()), Ok(right), "{step}, after {failing:?}");
        // What runs beside a sandbox is done before the next: each life meets the same steps.
        let until = Instant::now() + PATIENCE;
        while held().1 > 0 {
            assert!(Instant::now() < until, "a thread stays after {step} with {failing:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    met.extend(fail(None));
    (met, told)
}

#[test]
fn a_failing_system_is_one_tasks_error() {
    let told_of: BTreeMap<_, _> = SENTENCES.iter().copied().collect();
    prepared();
    // The watchdog is started once a process: first, and failing.
    let first = live(LIVES[0], Some(("watchdog.thread", 0))).1;
    check("watchdog.thread", &first, &told_of);
    assert_eq!(first.len(), 1);
    let before = held();
    let mut heard: BTreeMap<&str, usize> = BTreeMap::from([("watchdog.thread", 1)]);
    for steps in LIVES {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for name in live(steps, None).0 {
            *count.entry(name).or_default() += 1;
        }
        count.remove("watchdog.thread");
        for (name, times) in count {
            for n in 0..times {
                let (_, told) = live(steps, Some((name, n)));
                *heard.entry(name).or_default() += told.len();
                check(name, &told, &told_of);
                assert_eq!(held(), before, "left behind after {name} failed the {n}th time");
            }
        }
    }
    let known: BTreeSet<_> = told_of.keys().copied().collect();
    assert_eq!(heard.keys().copied().collect::<BTreeSet<_>>(), known, "each step is met");
    for (name, errors) in heard {
        assert_eq!(errors > 0, told_of[name].is_some(), "who hears of {name}");
    }
}

fn check(
    name: &str,
    told: &[(&'static str, String)],
    told_of: &BTreeMap<&'static str, Option<&'static str>>,
) {
    // A job snapshot that cannot be made is a reason in the log, and its task goes on.
    assert!(told.len() <= 1, "{name}: {told:?}");
    let Some((step, sentence)) = told.first() else { return };
    let words = told_of[name].unwrap_or_else(|| panic!("{name} is nobody's error: {sentence}"));
    let cause = format!("injected at {name}");
    let caused = sentence.contains(&cause) || ANSWERS.contains(&name);
    let said = words.split('|').any(|words| sentence.contains(words));
    assert!(said && caused, "{step}: {sentence}");
}
