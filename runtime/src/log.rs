//! The guest's standard output and error: whole lines to a sink, bounded.

use crate::sandbox::Meter;
use bytes::Bytes;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Where a guest's log lines go.
pub trait LogSink: Send + Sync {
    /// One or more whole lines (or, past 8 KiB, a part of one), line ends included.
    fn lines(&self, text: &[u8]);

    /// The end of the sentence that stands in the log where the rest was dropped: what to do.
    fn remedy(&self) -> &str {
        ""
    }
}

/// Writes to the process's standard error, where Spark's executors keep their Python output.
#[derive(Debug, Default)]
pub struct StderrLog;

impl LogSink for StderrLog {
    fn lines(&self, text: &[u8]) {
        // A log that cannot be written must not fail the task.
        let _ = std::io::stderr().lock().write_all(text);
    }
}

/// Bytes a partial line may grow to before it is passed on as it is.
const LINE_BYTES: usize = 8 << 10;

/// One sandbox's log: both standard streams share its budget.
#[derive(Clone)]
pub(crate) struct GuestLog {
    shared: Arc<Mutex<Budget>>,
    sink: Arc<dyn LogSink>,
    partial: Arc<Mutex<Vec<u8>>>,
    /// Where the limit counts as met, once.
    meter: Arc<Meter>,
}

struct Budget {
    left: u64,
    limit: u64,
    told: bool,
}

impl GuestLog {
    pub(crate) fn new(sink: Arc<dyn LogSink>, limit: u64) -> GuestLog {
        let budget = Budget { left: limit, limit, told: false };
        GuestLog {
            shared: Arc::new(Mutex::new(budget)),
            sink,
            partial: Arc::default(),
            meter: Arc::default(),
        }
    }

    pub(crate) fn counted_in(self, meter: &Arc<Meter>) -> GuestLog {
        GuestLog { meter: Arc::clone(meter), ..self }
    }

    /// The other standard stream: same sink and budget, its own line.
    pub(crate) fn sibling(&self) -> GuestLog {
        GuestLog { partial: Arc::default(), ..self.clone() }
    }

    pub(crate) fn push(&self, text: &[u8]) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        partial.extend_from_slice(text);
        let whole = match partial.iter().rposition(|&b| b == b'\n') {
            Some(end) => end + 1,
            None if partial.len() >= LINE_BYTES => partial.len(),
            None => return,
        };
        let rest = partial.split_off(whole);
        self.emit(&std::mem::replace(&mut *partial, rest));
    }

    /// Passes a last line without its end on.
    pub(crate) fn finish(&self) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if !partial.is_empty() {
            let mut last = std::mem::take(&mut *partial);
            last.push(b'\n');
            self.emit(&last);
        }
    }

    fn emit(&self, text: &[u8]) {
        let mut budget = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let take = (text.len() as u64).min(budget.left) as usize;
        budget.left -= take as u64;
        if take > 0 {
            self.sink.lines(&text[..take]);
        }
        if take < text.len() && !budget.told {
            budget.told = true;
            self.meter.refusals.fetch_add(1, Ordering::Relaxed);
            let notice = format!(
                "\n[davy] log limit of {} bytes reached; this sandbox's further output is dropped{}\n",
                budget.limit,
                self.sink.remedy()
            );
            self.sink.lines(notice.as_bytes());
        }
    }
}

impl IsTerminal for GuestLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI preview 2 asks for this form; the guest speaks preview 1.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for GuestLog {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}
