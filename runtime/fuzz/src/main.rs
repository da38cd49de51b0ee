//! One program for all targets: `DAVY_FUZZ_TARGET` names the one to run, all else is libFuzzer's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let names = || davy_runtime::fuzzing::TARGETS.iter().map(|t| t.name).collect::<Vec<_>>();
        let name = std::env::var("DAVY_FUZZ_TARGET").unwrap_or_default();
        let Some(run) = davy_runtime::fuzzing::target(&name) else {
            eprintln!("DAVY_FUZZ_TARGET must be one of {}", names().join(", "));
            std::process::exit(2);
        };
        TARGET.set(run).expect("set once");
    },
    |data: &[u8]| {
        if let Some(run) = TARGET.get() {
            run(data);
        }
    }
);
