//! The one wasmtime engine of a process.

use crate::cache::Cache;
use crate::fault::Fault;
use crate::instrument;
use crate::interrupt::RESERVATION;
use std::hash::{Hash, Hasher};
use wasmtime::{Config, OptLevel};

/// Bytes of wasm stack: CPython's C recursion (parser, repr, pickle) needs megabytes; 1 MiB traps.
pub(crate) const WASM_STACK: usize = 6 << 20;
/// Native stack of a guest's thread: wasm's share, once more for the guest that loads a command
/// within a host call of the first, and room for host calls.
pub(crate) const THREAD_STACK: usize = 2 * WASM_STACK + (4 << 20);

/// Compiles and runs guests; holds the cache of compiled images.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) cache: Cache,
}

impl Engine {
    /// An engine whose compiled images live in `cache`.
    ///
    /// # Errors
    /// [`Fault::Host`] if this machine cannot run it.
    pub fn new(cache: Cache) -> Result<Engine, Fault> {
        let mut config = Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            .max_wasm_stack(WASM_STACK)
            .async_stack_size(THREAD_STACK)
            .memory_reservation(RESERVATION)
            .memory_may_move(false)
            .wasm_exceptions(true) // C++ in the guest
            // 37,701 functions in a table: filled at once they are 1.2 MiB of every sandbox and most of
            // the time of its start; filled as they are called, Python is 2 % slower.
            .table_lazy_init(true)
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false) // only backtraces want it
            .memory_init_cow(true)
            .parallel_compilation(true);
        config.wasm_reference_types(true);
        let wasmtime = wasmtime::Engine::new(&config)
            .map_err(|e| Fault::host(format!("starting the WebAssembly engine: {e}")))?;
        Ok(Engine { wasmtime, cache })
    }

    /// Names what compiled code depends on besides the module: engine version, flags, CPU.
    pub(crate) fn compatibility(&self) -> String {
        struct Digest(blake3::Hasher);
        impl Hasher for Digest {
            fn finish(&self) -> u64 {
                0
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
        }
        let mut digest = Digest(blake3::Hasher::new());
        self.wasmtime.precompile_compatibility_hash().hash(&mut digest);
        env!("CARGO_PKG_VERSION").hash(&mut digest);
        instrument::VERSION.hash(&mut digest);
        if !instrument::STOPPABLE {
            "unstoppable".hash(&mut digest);
        }
        digest.0.finalize().to_hex()[..16].to_owned()
    }
}
