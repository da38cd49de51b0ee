//! Snapshots: the frozen linear memory of a guest, from which sandboxes start.
//!
//! The memory lies in a sealed memfd, so nothing can change or shorten it while it is mapped; the image's
//! own ([`crate::prepared`]) in a file of the cache that nobody writes into.
//! Restoring maps it copy-on-write over a fresh instance's memory: microseconds, and untouched
//! pages are shared by all sandboxes. Which pages a start writes is learnt from the first one: the
//! next ones have their own copies at once, for half of what a fault for each of them costs.
#![allow(unsafe_code)]

use crate::failpoint::step;
use crate::fault::Fault;
use crate::interrupt::RESERVATION;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;
use wasmtime::{AsContextMut, Memory};

const WASM_PAGE: usize = 64 << 10;

/// An immutable memory image with its stack pointer.
#[derive(Debug)]
pub(crate) struct Snapshot {
    file: File,
    bytes: usize,
    content: u64,
    pub(crate) stack_pointer: i32,
    /// Pages that a guest writes while it starts, by number.
    written: OnceLock<Vec<Range<usize>>>,
}

pub(crate) const MAGIC: &[u8; 8] = b"DAVYSNP1";
const PAGE: usize = 4096;
/// Bytes after which what was written of a memory is given back.
const PART: usize = 8 << 20;
/// Most pages that are copied before a guest writes them; who writes more has its faults.
const MOST_AHEAD: usize = (8 << 20) / PAGE;
/// An entry of `/proc/self/pagemap`, and its bits: in memory; of a file, or shared.
const ENTRY: usize = 8;
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;
/// What wasm32 can address.
const MOST_BYTES: usize = 1 << 32;

impl Snapshot {
    /// Writes the snapshot as a file: magic, BLAKE3 of the rest, stack pointer, length, and each
    /// page that is not zero after its number. A part at a time: the host may have no memory for all of it.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let digest = self.write(&mut file)?;
        step("snapshot.save")?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.write_all_at(digest.as_bytes(), MAGIC.len() as u64)?;
        file.sync_all()
    }

    /// The same as bytes.
    pub(crate) fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let digest = self.write(&mut bytes)?;
        bytes[MAGIC.len()..][..blake3::OUT_LEN].copy_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    /// All of the file but the digest, for which there is room.
    fn write(&self, file: &mut impl Write) -> std::io::Result<blake3::Hash> {
        file.write_all(MAGIC)?;
        file.write_all(&[0; blake3::OUT_LEN])?;
        let mut digest = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            digest.update(bytes);
            file.write_all(bytes)
        };
        put(&self.stack_pointer.to_le_bytes())?;
        put(&(self.bytes as u64).to_le_bytes())?;
        self.pages(|number, page| {
            put(&(number as u32).to_le_bytes())?;
            put(page)
        })?;
        Ok(digest.finalize())
    }

    /// Lays the memory out in `file`, which is empty, as it is to be mapped.
    pub(crate) fn copy_to(&self, file: &File) -> std::io::Result<()> {
        file.set_len(self.bytes as u64)?;
        self.pages(|number, page| file.write_all_at(page, (number * PAGE) as u64))
    }

    /// The pages that are not zero, each with its number.
    fn pages(
        &self,
        mut each: impl FnMut(usize, &[u8]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut page = [0; PAGE];
        for number in 0..self.bytes / PAGE {
            self.file.read_exact_at(&mut page, (number * PAGE) as u64)?;
            if page.iter().any(|&b| b != 0) {
                each(number, &page)?;
            }
        }
        Ok(())
    }

    /// What was laid out in `file` and verified since ([`crate::prepared::read`]); `None` if it has another length.
    pub(crate) fn of_file(
        file: File,
        bytes: usize,
        content: u64,
        stack_pointer: i32,
    ) -> Option<Snapshot> {
        let whole = bytes <= MOST_BYTES && bytes.is_multiple_of(WASM_PAGE);
        (whole && file.metadata().ok()?.len() == bytes as u64).then(|| Snapshot {
            file,
            bytes,
            content,
            stack_pointer,
            written: OnceLock::new(),
        })
    }

    /// Reads a saved snapshot; `None` if it is missing or damaged.
    pub(crate) fn load(path: &Path) -> Option<Snapshot> {
        let bytes = step("snapshot.read").and_then(|()| std::fs::read(path));
        Snapshot::parse(&bytes.ok()?).ok()?
    }

    /// `None`: no file of ours, or a damaged one.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub(crate) fn parse(bytes: &[u8]) -> std::io::Result<Option<Snapshot>> {
        let Some((stack_pointer, length, pages)) = Snapshot::checked(bytes) else {
            return Ok(None);
        };
        let file = blank(length)?;
        let mut free = 0;
        for page in pages.chunks_exact(4 + PAGE) {
            let Some((number, content)) = page.split_first_chunk::<4>() else { return Ok(None) };
            let at = u64::from(u32::from_le_bytes(*number)) * PAGE as u64;
            // Each once, in order, and none beyond the end.
            if at < free || at >= length as u64 {
                return Ok(None);
            }
            file.write_all_at(content, at)?;
            free = at + PAGE as u64;
        }
        let content = (pages.len() / (4 + PAGE) * PAGE) as u64;
        freeze(file, length, content, stack_pointer).map(Some)
    }

    /// Stack pointer, length and pages of a file that is what its digest says.
    fn checked(bytes: &[u8]) -> Option<(i32, usize, &[u8])> {
        let body = bytes.strip_prefix(MAGIC)?;
        let (digest, body) = body.split_at_checked(blake3::OUT_LEN)?;
        if blake3::hash(body).as_bytes()[..] != *digest {
            return None;
        }
        let (pointer, body) = body.split_first_chunk::<4>()?;
        let (length, pages) = body.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        if length > MOST_BYTES || length % WASM_PAGE != 0 || pages.len() % (4 + PAGE) != 0 {
            return None;
        }
        Some((i32::from_le_bytes(*pointer), length, pages))
    }

    /// Length of the file that holds it.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// Length of the memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of its pages that are not zero: what it takes of the host's memory.
    pub(crate) fn content(&self) -> u64 {
        self.content
    }

    /// Copies `memory`, leaving out pages that are all zero.
    pub(crate) fn take(memory: &[u8], stack_pointer: i32) -> std::io::Result<Snapshot> {
        let file = blank(memory.len())?;
        step("snapshot.write")?;
        let mut content = 0;
        for (number, part) in memory.chunks(PART).enumerate() {
            content += write(&file, number * PART, part)?;
        }
        freeze(file, memory.len(), content, stack_pointer)
    }

    /// As [`Snapshot::take`], of a memory that nobody uses any more: what is written is given back
    /// to the system, so a large one is there once, not twice.
    pub(crate) fn take_last(memory: &mut [u8], stack_pointer: i32) -> std::io::Result<Snapshot> {
        let (bytes, mut content) = (memory.len(), 0);
        let file = blank(bytes)?;
        step("snapshot.write")?;
        for (number, part) in memory.chunks_mut(PART).enumerate() {
            content += write(&file, number * PART, part)?;
            if part.as_ptr().addr() % PAGE == 0 {
                // SAFETY: `part` is borrowed exclusively, begins a page and is not read again here; only its
                // whole pages are discarded. They stay mapped and readable, and hold zeros or what the file
                // that they are mapped from holds: any bytes are valid, and no guest runs in them any more.
                let _ = unsafe {
                    let whole = part.len() / PAGE * PAGE;
                    rustix::mm::madvise(part.as_mut_ptr().cast(), whole, Advice::LinuxDontNeed)
                };
            }
        }
        freeze(file, bytes, content, stack_pointer)
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
        step("snapshot.map").map_err(|e| Fault::host(format!("mapping a snapshot: {e}")))?;
        let base = memory.data_ptr(&store).cast::<c_void>();
        // SAFETY: [base, base + bytes) is exactly the accessible linear memory of this instance
        // (checked above), page-aligned because wasmtime reserves memories with mmap, and
        // `store` is borrowed exclusively, so nobody reads or writes it meanwhile. MAP_FIXED
        // replaces only those pages; wasmtime never remembers what backs them and unmaps the
        // whole reservation on drop. The file is sealed, or one of the cache's, which has this length, is
        // read-only and replaced, never written into, as with machine code (`compiled.rs`): no SIGBUS by
        // truncation. Whoever can change files of the 0700 cache folder already runs as this user.
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
        mapped.map_err(|e| Fault::host(format!("mapping a snapshot: {e}")))?;
        // A model in memory that grows has a five hundredth of the faults. Without such pages all stays as it is.
        // SAFETY: the engine reserves RESERVATION bytes from `base` for this memory alone, and `bytes`
        // is at most that, as wasm32 can address no more. Which size its pages have changes no byte.
        let _ = unsafe {
            let beyond = RESERVATION as usize - self.bytes;
            rustix::mm::madvise(base.byte_add(self.bytes), beyond, Advice::LinuxHugepage)
        };
        for pages in self.written.get().into_iter().flatten() {
            // SAFETY: `pages` lie in the mapping just made, as `learn` saw to it; they become what
            // a write of their own bytes would make them.
            let copied = unsafe {
                rustix::mm::madvise(
                    base.byte_add(pages.start * PAGE),
                    pages.len() * PAGE,
                    Advice::LinuxPopulateWrite,
                )
            };
            if copied.is_err() {
                break; // an older Linux; the guest's writes do it
            }
        }
        Ok(())
    }

    /// Learns which pages a guest that was started from here has written until now.
    pub(crate) fn learn(&self, memory: &[u8]) {
        if self.written.get().is_none() && memory.len() >= self.bytes {
            let written = written(&memory[..self.bytes]).unwrap_or_default();
            let _ = self.written.set(written);
        }
    }
}

/// The pages of `memory`, a private mapping of a file, that were written; at most [`MOST_AHEAD`].
fn written(memory: &[u8]) -> std::io::Result<Vec<Range<usize>>> {
    if rustix::param::page_size() != PAGE {
        return Ok(Vec::new());
    }
    let mut entries = vec![0; memory.len() / PAGE * ENTRY];
    let first = memory.as_ptr().addr() / PAGE;
    File::open("/proc/self/pagemap")?.read_exact_at(&mut entries, (first * ENTRY) as u64)?;
    let is_written =
        |entry: &[u8; ENTRY]| u64::from_le_bytes(*entry) & (PRESENT | OF_FILE) == PRESENT;
    let (entries, _) = entries.as_chunks::<ENTRY>();
    let mut found: Vec<Range<usize>> = Vec::new();
    let numbers = entries.iter().enumerate().filter(|(_, entry)| is_written(entry));
    for (number, _) in numbers.take(MOST_AHEAD) {
        match found.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => found.push(number..number + 1),
        }
    }
    Ok(found)
}

/// Writes `part`, which belongs at `offset`, in runs of pages that are not zero; their bytes.
fn write(file: &File, offset: usize, part: &[u8]) -> std::io::Result<u64> {
    let (mut written, mut from) = (0, 0);
    let is_zero = |at: usize| part[at..(at + PAGE).min(part.len())].iter().all(|&b| b == 0);
    for at in (0..part.len()).step_by(PAGE).chain([part.len()]) {
        if at == part.len() || is_zero(at) {
            file.write_all_at(&part[from..at], (offset + from) as u64)?;
            written += (at - from) as u64;
            from = (at + PAGE).min(part.len());
        }
    }
    Ok(written)
}

/// An anonymous file of zeros that takes no memory yet.
fn blank(bytes: usize) -> std::io::Result<File> {
    step("snapshot.memfd")?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("davy-snapshot", flags)?);
    file.set_len(bytes as u64)?;
    Ok(file)
}

fn freeze(file: File, bytes: usize, content: u64, stack_pointer: i32) -> std::io::Result<Snapshot> {
    step("snapshot.seal")?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(Snapshot { file, bytes, content, stack_pointer, written: OnceLock::new() })
}

#[cfg(test)]
mod tests {
    use super::{PAGE, Snapshot, WASM_PAGE, written};
    use wasmtime::{Engine, Memory, MemoryType, Store};

    #[test]
    fn what_a_start_writes_is_copied_for_the_next_and_holds_nothing_of_the_first()
    -> wasmtime::Result<()> {
        let image: Vec<u8> = (0..WASM_PAGE).map(|at| (at / PAGE) as u8 + 1).collect();
        let snapshot = Snapshot::take(&image, 0)?;
        let engine = Engine::default();
        let restored = |snapshot: &Snapshot| {
            let mut store = Store::new(&engine, ());
            let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
            snapshot.restore(&mut store, memory)?;
            Ok::<_, wasmtime::Error>((store, memory))
        };
        let (mut store, memory) = restored(&snapshot)?;
        assert!(written(memory.data(&store))?.is_empty());
        for page in [1, 2, 5] {
            memory.data_mut(&mut store)[page * PAGE + 7] = 99;
        }
        snapshot.learn(memory.data(&store));
        memory.data_mut(&mut store)[9 * PAGE] = 99;
        snapshot.learn(memory.data(&store)); // once is enough
        let (mut next, memory) = restored(&snapshot)?;
        assert_eq!(written(memory.data(&next))?, [1..3, 5..6]);
        assert!(memory.data(&next) == image);
        memory.data_mut(&mut next)[3 * PAGE] = 77;
        let last = Snapshot::take_last(memory.data_mut(&mut next), 0)?;
        assert!(written(memory.data(&next))?.is_empty(), "its pages are given back");
        let (end, memory) = restored(&last)?;
        assert_eq!(memory.data(&end)[3 * PAGE], 77);
        assert!(memory.data(&end)[4 * PAGE..] == image[4 * PAGE..]);
        Ok(())
    }
}
