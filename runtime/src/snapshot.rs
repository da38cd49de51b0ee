//! Snapshots: the frozen linear memory of a booted guest, from which sandboxes start.
//!
//! The memory lies in a sealed memfd, so nothing can change or shorten it while it is mapped.
//! Restoring maps it copy-on-write over a fresh instance's memory: microseconds, and untouched
//! pages are shared by all sandboxes.
#![allow(unsafe_code)]

use crate::fault::Fault;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::fs::File;
use std::os::unix::fs::FileExt;
use wasmtime::{AsContextMut, Memory};

const WASM_PAGE: usize = 64 << 10;

/// An immutable memory image with its stack pointer.
#[derive(Debug)]
pub(crate) struct Snapshot {
    file: File,
    bytes: usize,
    pub(crate) stack_pointer: i32,
}

impl Snapshot {
    /// Copies `memory`, leaving out pages that are all zero.
    pub(crate) fn take(memory: &[u8], stack_pointer: i32) -> std::io::Result<Snapshot> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create("davy-snapshot", flags)?);
        file.set_len(memory.len() as u64)?;
        const STEP: usize = 4096;
        for (i, page) in memory.chunks(STEP).enumerate() {
            if page.iter().any(|&b| b != 0) {
                file.write_all_at(page, (i * STEP) as u64)?;
            }
        }
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(Snapshot { file, bytes: memory.len(), stack_pointer })
    }

    /// Maps the snapshot over `memory`, growing it first. The instance must not have run yet.
    pub(crate) fn restore(
        &self,
        mut store: impl AsContextMut,
        memory: Memory,
    ) -> Result<(), Fault> {
        let now = memory.data_size(&store);
        if self.bytes > now {
            let pages = (self.bytes - now).div_ceil(WASM_PAGE) as u64;
            memory
                .grow(&mut store, pages)
                .map_err(|e| Fault::host(format!("growing memory for a snapshot: {e}")))?;
        }
        if memory.data_size(&store) != self.bytes {
            return Err(Fault::host("a snapshot of another module's size"));
        }
        let base = memory.data_ptr(&store).cast::<c_void>();
        // SAFETY: [base, base + bytes) is exactly the accessible linear memory of this instance
        // (checked above), page-aligned because wasmtime reserves memories with mmap, and
        // `store` is borrowed exclusively, so nobody reads or writes it meanwhile. MAP_FIXED
        // replaces only those pages; wasmtime never remembers what backs them and unmaps the
        // whole reservation on drop. The file is sealed: no SIGBUS by truncation.
        let mapped = unsafe {
            rustix::mm::mmap(
                base,
                self.bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::FIXED,
                &self.file,
                0,
            )
        };
        mapped.map(|_| ()).map_err(|e| Fault::host(format!("mapping a snapshot: {e}")))
    }
}
