//! Modules before they are compiled: the check of their imports, and their rewriting.

use crate::imports::check;
use crate::instrument::instrument;
use wasmparser::{Validator, WasmFeatures};

/// The input is the module. A valid one stays valid, and both answer for every other.
pub(super) fn run(wasm: &[u8]) {
    let valid =
        |wasm: &[u8]| Validator::new_with_features(WasmFeatures::default()).validate_all(wasm);
    let checked = check(wasm);
    let Ok((rewritten, _)) = instrument(wasm) else { return };
    if checked.is_ok() && valid(wasm).is_ok() {
        valid(&rewritten).map(drop).expect("still a valid module");
        check(&rewritten).expect("the same imports");
    }
}
