//! What a guest writes to its standard streams.

use super::Input;
use crate::log::{GuestLog, LogSink};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Kept(Mutex<Vec<Vec<u8>>>);

impl LogSink for Kept {
    fn lines(&self, text: &[u8]) {
        self.0.lock().expect("no panic under it").push(text.to_vec());
    }
}

/// The input is the budget, then texts: written to the one stream, or to the other.
pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let limit = u64::from(input.word() % 70_000);
    let sink = Arc::new(Kept::default());
    let out = GuestLog::new(Arc::<Kept>::clone(&sink), limit);
    let streams = [&out, &out.sibling()];
    let mut written = [Vec::new(), Vec::new()];
    while !input.is_empty() {
        let how = input.byte();
        let which = usize::from(how & 1);
        let text = input.part();
        // Some are long.
        let text = text.repeat(if how & 2 == 0 { 1 } else { 40 });
        // Not to be mistaken for the host's own word.
        let text: Vec<u8> = text.iter().map(|&b| if b == b'[' { b'(' } else { b }).collect();
        streams[which].push(&text);
        written[which].extend(text);
    }
    streams.iter().for_each(|stream| stream.finish());
    let texts = sink.0.lock().expect("no panic under it");
    let total: usize = written.iter().map(Vec::len).sum();
    // `finish` ends a last line that has no end: a byte each.
    let (notices, lines): (Vec<_>, Vec<_>) =
        texts.iter().partition(|text| text.starts_with(b"\n[davy] log limit of "));
    let kept: usize = lines.iter().map(|text| text.len()).sum();
    assert!(kept as u64 <= limit, "{kept} of {limit}");
    assert!(notices.len() <= 1);
    assert!(notices.len() == 1 || kept >= total, "{kept} of {total}, and no word of it");
    // One stream alone comes as it was written.
    if let [only, other] = &written
        && other.is_empty()
    {
        let all: Vec<u8> = lines.iter().flat_map(|text| text.iter().copied()).collect();
        let ended = [&only[..], b"\n"].concat();
        assert!(ended.starts_with(&all), "its lines are changed");
    }
}
