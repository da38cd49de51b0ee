//! Batches that a guest gives: its schema message, then C data structs in its memory.
//!
//! What is accepted is judged by code of its own, written from "Arrow columnar format": every buffer
//! holds what lengths and offsets say, to the last value.

use super::blames_the_guest;
use crate::abi::errno;
use crate::batches::Output;
use crate::columns::{ALIGNMENT, Node, OutputBatch};
use crate::imports::{GuestState, region};
use crate::memory_limit::MemoryLimit;
use crate::transfers::{give_batch, give_schema};
use arrow_schema::{DataType, Schema};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of one batch.
const MOST: u64 = 4 << 20;

/// The input is a memory, in its first words the place and length of the schema's message and the
/// place of the batch's struct.
pub(super) fn whole(memory: &[u8]) {
    let word = |at: usize| region(memory, at as u32, 4).map(|b| [b[0], b[1], b[2], b[3]]);
    let (Ok(message), Ok(length), Ok(batch)) = (word(0), word(4), word(8)) else { return };
    let [message, length, batch] = [message, length, batch].map(u32::from_le_bytes);
    let Ok(message) = region(memory, message, length) else { return };
    let mut state = state();
    let Some(schema) = given(&mut state, message) else { return };
    match give_batch(&mut state, memory, batch) {
        Ok(code) => assert!(code == 0 || code == -errno::NOTSUP, "{code}"),
        Err(error) => return blames_the_guest(&error),
    }
    if let Some(Output::Batch(batch)) = state.channels.take_output() {
        assert!(batch.bytes() as u64 <= MOST);
        Judge::new(&batch).batch(&schema, batch.rows());
    }
}

/// The input is the schema's message.
pub(super) fn schema(message: &[u8]) {
    given(&mut state(), message);
}

fn state() -> GuestState {
    let mut state = GuestState::blank();
    let channels = Arc::clone(&state.channels);
    state.memory_limit = MemoryLimit::new(Arc::default(), MOST, channels);
    state
}

/// The schema that was accepted; what the embedder reads says the same.
fn given(state: &mut GuestState, message: &[u8]) -> Option<Schema> {
    match give_schema(state, message) {
        Ok(code) => assert!(code == 0 || code == -errno::NOTSUP, "{code}"),
        Err(error) => blames_the_guest(&error),
    }
    let schema = state.output_schema.clone()?;
    let Some(Output::Schema(encoded)) = state.channels.take_output() else {
        panic!("a schema without its message");
    };
    let mut framed = (encoded.len() as u32).to_le_bytes().to_vec();
    framed.extend(encoded);
    let read = arrow_ipc::convert::try_schema_from_ipc_buffer(&framed).expect("its own message");
    assert_eq!(read, schema);
    Some(schema)
}

struct Judge<'b> {
    region: &'b [u8],
    nodes: std::slice::Iter<'b, Node>,
    buffers: std::slice::Iter<'b, Range<usize>>,
}

impl<'b> Judge<'b> {
    fn new(batch: &'b OutputBatch) -> Judge<'b> {
        let (nodes, buffers) = (batch.nodes().iter(), batch.buffers().iter());
        Judge { region: batch.region().as_slice(), nodes, buffers }
    }

    fn batch(mut self, schema: &Schema, rows: usize) {
        for field in schema.fields() {
            assert_eq!(self.array(field.data_type()), rows);
        }
        assert!(self.nodes.next().is_none() && self.buffers.next().is_none());
    }

    fn buffer(&mut self) -> &'b [u8] {
        let range = self.buffers.next().expect("a buffer").clone();
        assert_eq!(range.start % ALIGNMENT, 0);
        &self.region[range]
    }

    /// The length of the next array, which holds what it says.
    fn array(&mut self, kind: &DataType) -> usize {
        let &Node { length, nulls } = self.nodes.next().expect("a node");
        if let DataType::Null = kind {
            assert_eq!(nulls, length);
            return length;
        }
        let validity = self.buffer();
        assert_eq!(nulls, if validity.is_empty() { 0 } else { zeros(validity, length) });
        match kind {
            DataType::Boolean => assert!(self.buffer().len() * 8 >= length),
            DataType::Utf8 | DataType::Binary | DataType::LargeUtf8 | DataType::LargeBinary => {
                let large = matches!(kind, DataType::LargeUtf8 | DataType::LargeBinary);
                let offsets = offsets(self.buffer(), length, large);
                let values = self.buffer();
                for value in offsets.windows(2).map(|w| &values[w[0]..w[1]]) {
                    if matches!(kind, DataType::Utf8 | DataType::LargeUtf8) {
                        std::str::from_utf8(value).expect("UTF-8");
                    }
                }
            }
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
                let large = matches!(kind, DataType::LargeList(_));
                let offsets = offsets(self.buffer(), length, large);
                let items = self.array(item.data_type());
                assert!(offsets.last().is_none_or(|&end| end <= items));
            }
            DataType::FixedSizeList(item, size) => {
                assert!(self.array(item.data_type()) >= length * *size as usize);
            }
            DataType::Struct(fields) => {
                for field in fields {
                    assert!(self.array(field.data_type()) >= length);
                }
            }
            DataType::FixedSizeBinary(width) => {
                assert!(self.buffer().len() >= length * *width as usize);
            }
            primitive => {
                let width = primitive.primitive_width().expect("a primitive");
                assert!(self.buffer().len() >= length * width);
            }
        }
        length
    }
}

fn zeros(bits: &[u8], length: usize) -> usize {
    (0..length).filter(|i| bits[i / 8] >> (i % 8) & 1 == 0).count()
}

/// Offsets of `length` values, none before the one before it.
fn offsets(buffer: &[u8], length: usize, large: bool) -> Vec<usize> {
    let of = |i: usize| match large {
        true => i64::from_le_bytes(buffer[8 * i..8 * i + 8].try_into().expect("8 bytes")),
        false => i32::from_le_bytes(buffer[4 * i..4 * i + 4].try_into().expect("4 bytes")).into(),
    };
    let all: Vec<usize> =
        (0..=length).map(|i| usize::try_from(of(i)).expect("not negative")).collect();
    assert!(all.is_sorted());
    all
}
