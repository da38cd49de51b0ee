//! The gateway's verbs that carry batches; see [`crate::abi::verb`].

use crate::abi::errno;
use crate::batches::Output;
use crate::channel::Transfer;
use crate::columns::{self, Refused};
use crate::fault::Fault;
use crate::imports::{GuestState, Raised};
use arrow_ipc::convert::try_schema_from_ipc_buffer;
use wasmtime::Result;

/// Bytes of a schema message: names and types of columns.
const MAX_SCHEMA: usize = 16 << 20;

fn raise(fault: Fault) -> wasmtime::Error {
    wasmtime::Error::new(Raised(fault))
}

pub(crate) fn take_batch(state: &mut GuestState, into: &mut [u8]) -> Result<i32> {
    match state.channels.guest_take(into) {
        Transfer::Bytes(n) => Ok(n as i32),
        Transfer::Ended => Ok(-errno::INVAL),
        Transfer::Stopped => Err(Raised::stopped()),
    }
}

pub(crate) fn give_schema(state: &mut GuestState, message: &[u8]) -> Result<i32> {
    if message.len() > MAX_SCHEMA {
        return Ok(-errno::INVAL);
    }
    let message = message.to_vec();
    let schema = try_schema_from_ipc_buffer(&message)
        .map_err(|e| raise(Fault::guest(format!("its schema is wrong: {e}"))))?;
    if !columns::supports(&schema) {
        return Ok(-errno::NOTSUP);
    }
    // What goes on is the host's own encoding: the JVM reads it without checks.
    let options = arrow_ipc::writer::IpcWriteOptions::default();
    let mut tracker = arrow_ipc::writer::DictionaryTracker::new(false);
    let encoded = arrow_ipc::writer::IpcDataGenerator::default()
        .schema_to_bytes_with_dictionary_tracker(&schema, &mut tracker, &options)
        .ipc_message;
    // Batches are validated against what the JVM reads: an empty time zone, for one, does not come
    // through.
    let mut framed = (encoded.len() as u32).to_le_bytes().to_vec();
    framed.extend_from_slice(&encoded);
    let schema = try_schema_from_ipc_buffer(&framed)
        .map_err(|e| raise(Fault::guest(format!("its schema is wrong: {e}"))))?;
    state.output_schema = Some(schema);
    give(state, Output::Schema(encoded))
}

pub(crate) fn give_batch(state: &mut GuestState, memory: &[u8], address: u32) -> Result<i32> {
    let schema = state.output_schema.as_ref();
    let schema = schema.ok_or_else(|| raise(Fault::guest("a batch before its schema")))?;
    let batch = match columns::read(memory, address, schema, state.memory_limit.bytes) {
        Ok(batch) => batch,
        Err(Refused::Unsupported) => return Ok(-errno::NOTSUP),
        Err(Refused::Fault(fault)) => return Err(raise(fault)),
    };
    let bytes = batch.bytes() as u64;
    state.may_output(bytes)?;
    state.output_written += bytes;
    give(state, Output::Batch(batch))
}

fn give(state: &GuestState, output: Output) -> Result<i32> {
    match state.channels.guest_give(output) {
        Transfer::Stopped => Err(Raised::stopped()),
        Transfer::Bytes(_) | Transfer::Ended => Ok(0),
    }
}
