//! A hostile suite: one small guest or Python script per attack. Each ends as its row says, in that fault
//! and these words, while a neighbour of the same process goes on to answer rightly; so does a sandbox
//! that starts after it.
//!
//! Each attack's name and end are printed: `cargo test --release -p davy-runtime attacks`.

mod disk;
mod lies;
mod neighbours;
mod protocol;
mod python;
mod resources;

use crate::guests::{ECHO, Lab, PATIENCE, converse, start};
use davy_runtime::{Fault, Image, READABLE, Sandbox};
use std::cell::RefCell;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// The end of an attack: of the guest, and what it had said until then.
type End = (Vec<u8>, Result<(), Fault>);

/// What has to come of it.
#[derive(Debug, Clone, Copy)]
enum Comes<'a> {
    /// A fault of this kind, with these words in its sentence.
    Fault(&'a str, &'a str),
    /// The guest lives to its end, and its output has these words.
    Says(&'a str),
    /// The same, and these are all of its output.
    SaysNoMore(&'a str),
    /// The guest lives to its end, with the answer of one host call as its output.
    Answers(i32),
}

impl Comes<'_> {
    fn judge(self, name: &str, (output, end): &End) -> Result<(), String> {
        let said = String::from_utf8_lossy(output);
        let text = end.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let right = match (self, end) {
            (Comes::Fault(kind, words), Err(fault)) => {
                fault.kind() == kind && text.contains(words) && fault.poisons()
            }
            (Comes::Says(words), Ok(())) => said.contains(words),
            (Comes::SaysNoMore(words), Ok(())) => said == words,
            (Comes::Answers(code), Ok(())) => output[..] == code.to_le_bytes(),
            _ => false,
        };
        let shown = match self {
            Comes::Answers(code) if right => format!("answer {code}"),
            _ if text.is_empty() => said.chars().filter(|c| !c.is_control()).take(100).collect(),
            _ => text.lines().next().unwrap_or_default().chars().take(100).collect(),
        };
        tell(name, &shown);
        if right { Ok(()) } else { Err(format!("{name}: {self:?} was expected, not {text}{said}")) }
    }
}

/// Past the capture of tests' output.
fn tell(name: &str, end: &str) {
    let _ = writeln!(std::io::stdout(), "attack: {name}: {end}");
}

/// A sandbox beside the attacked one, and the means for another.
struct Neighbour {
    /// Attacks that did not end as they should: told together.
    failures: RefCell<Vec<String>>,
    image: Arc<Image>,
    sandbox: Sandbox,
}

impl Neighbour {
    fn of(lab: &Lab) -> Neighbour {
        let image = lab.image(ECHO);
        Neighbour { failures: RefCell::default(), sandbox: start(&image), image }
    }

    /// Asks it, and asks a new one.
    fn answers(&self, name: &str) {
        let channels = self.sandbox.channels();
        let asked = format!("after {name}").into_bytes();
        let (mut given, mut got, mut part) = (0, Vec::new(), [0; 256]);
        while given < asked.len() {
            given += channels.write(&asked[given..]).expect("the neighbour is gone");
        }
        while got.len() < asked.len() {
            assert_ne!(channels.wait_ready(READABLE, PATIENCE), 0, "{name}: the neighbour hangs");
            let n = channels.read(&mut part).unwrap_or_else(|| panic!("{name}: it is gone"));
            got.extend_from_slice(&part[..n]);
        }
        assert_eq!(got, asked, "{name}: the neighbour answers wrongly");
        assert_eq!(
            converse(&start(&self.image), &asked).0,
            asked,
            "{name}: a new one answers wrongly"
        );
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let failures = self.failures.borrow();
        assert!(std::thread::panicking() || failures.is_empty(), "{failures:#?}");
    }
}

/// Runs one attack to its end and asks the neighbour, during it and after it.
fn attack(name: &str, sandbox: &Sandbox, input: &[u8], neighbour: &Neighbour, comes: Comes<'_>) {
    neighbour.answers(name);
    let end = converse(sandbox, input);
    if let Err(failure) = comes.judge(name, &end) {
        neighbour.failures.borrow_mut().push(failure);
    }
    neighbour.answers(name);
}

/// The body of a guest that gives the answer of `call` as its output.
fn answer(call: &str) -> String {
    format!(
        "(i32.store (i32.const 70000) {call})
         (drop (call $write (i32.const 70000) (i32.const 4))) i32.const 0"
    )
}

const LONG: Duration = Duration::from_secs(50);
