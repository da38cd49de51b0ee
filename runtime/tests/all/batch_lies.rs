//! What a guest can do with a batch beside lying outright: odd places, changes after it was given, memory
//! that grows, the edge of what 32 bits address, parts that are used twice, counts that nobody believes.
//! What is allowed arrives as it was given; the rest is a guest fault.

use crate::batches::{
    BUFFERS, CHILD_COUNT, CHILDREN, GIVE, LENGTH, OFFSET, buffer, columns, every_kind, give, lay,
    lay_at, schema_message, set, word,
};
use crate::guests::{Lab, converse, spec};
use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use davy_runtime::{Fault, Image, Limits, Output, OutputBatch, Sandbox, SandboxSpec};
use std::sync::Arc;

/// Of an `ArrowArray`: what it says of its nulls.
const NULL_COUNT: usize = 8;
/// Bytes that guests here read into their memory at first.
const ROOM: u32 = 131_072;
const SCHEMA: &str =
    "(drop (call $gateway (i32.const 8) (i32.load (i32.const 0)) (i32.load (i32.const 4))
                       (i32.const 0) (i32.const 0)))";
const BATCH: &str =
    "(drop (call $gateway (i32.const 9) (i32.const 8) (i32.const 4) (i32.const 0) (i32.const 0)))";

fn batches(outputs: &[Output]) -> Vec<&OutputBatch> {
    fn batch(output: &Output) -> Option<&OutputBatch> {
        match output {
            Output::Batch(batch) => Some(batch),
            Output::Schema(_) => None,
        }
    }
    outputs.iter().filter_map(batch).collect()
}

/// What arrived is `wanted`, to the last null.
fn arrived(batch: &OutputBatch, wanted: &[ArrayRef], what: &str) {
    let kinds: Vec<DataType> = wanted.iter().map(|c| c.data_type().clone()).collect();
    for (got, wanted) in columns(batch, &kinds).iter().zip(wanted) {
        assert_eq!(got, wanted, "{what}");
        assert_eq!(got.logical_null_count(), wanted.logical_null_count(), "{what}");
    }
    for part in batch.buffers() {
        assert_eq!(part.start % 64, 0, "{what}: the copy is not aligned");
    }
}

fn guest_fault(end: Result<(), Fault>, outputs: &[Output], what: &str) {
    let fault = end.expect_err(what);
    assert_eq!(fault.kind(), "guest", "{what}: {fault}");
    assert!(batches(outputs).is_empty(), "{what}: a batch came");
}

fn numbers() -> ArrayRef {
    Arc::new((0..10).map(|i| (i % 4 != 1).then_some(i * i)).collect::<Int64Array>())
}

#[test]
fn misaligned_structs_and_buffers_are_copied_right() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let all = every_kind();
    for off in [1, 2, 3, 4, 5, 7, 12, 63] {
        for (from, length) in [(0, 10), (3, 6)] {
            let sliced: Vec<ArrayRef> = all.iter().map(|c| c.slice(from, length)).collect();
            let (memory, batch, _) = lay_at(0, off, &sliced);
            assert_eq!(batch as usize % 64, off);
            let (outputs, end) = give(&image, &memory);
            end.expect("a quiet end");
            arrived(batches(&outputs)[0], &sliced, &format!("{off} off, from {from}"));
        }
    }
}

/// The host has the batch when the call returns: what the guest does then is its own affair.
#[test]
fn what_the_guest_changes_after_it_gave_a_batch_changes_nothing() {
    let lab = Lab::new();
    let all = every_kind();
    let (memory, _, places) = lay(&all);
    // The second column's first value becomes 77, is given again, and then all is overwritten.
    let value = buffer(&memory, places[1] as usize, 1);
    let spoil = format!("(memory.fill (i32.const 16) (i32.const 255) (i32.const {}))", ROOM - 16);
    let change =
        format!("(i64.store (i32.const {value}) (i64.const 77)) {BATCH} {spoil} i32.const 0");
    let body = GIVE.strip_suffix("i32.const 0").expect("its end");
    let (outputs, end) = give(&lab.image(&format!("{body} {change}")), &memory);
    end.expect("a quiet end");
    let [first, second] = batches(&outputs)[..] else { panic!("{outputs:?}") };
    arrived(first, &all, "the first");
    let mut changed = all.clone();
    changed[1] = Arc::new(Int64Array::from_iter_values([77, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    arrived(second, &changed, "the second");
}

/// A guest that reads its memory, gives the schema, grows to `pages`, moves all to `base`, spoils the old place
/// and gives the batch from there.
fn grows(pages: u32, base: u32) -> String {
    let read = GIVE.split(SCHEMA).next().expect("its beginning");
    let moved = BATCH
        .replace("(i32.const 8) (i32.const 4)", &format!("(i32.const {}) (i32.const 4)", base + 8));
    format!(
        "{read} (i32.store (i32.const 0) (i32.sub (i32.load (i32.const 0)) (i32.const {base}))) {SCHEMA}
         (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const {base})))
         (if (i32.eq (memory.grow (i32.sub (i32.const {pages}) (memory.size))) (i32.const -1)) (then unreachable))
         (memory.copy (i32.const {base}) (i32.const 0) (i32.const {ROOM}))
         (memory.fill (i32.const 0) (i32.const 255) (i32.const {ROOM}))
         {moved} i32.const 0"
    )
}

#[test]
fn a_batch_beyond_the_memory_of_before_is_found_after_growth_and_not_before() {
    let lab = Lab::new();
    let all = every_kind();
    let (memory, ..) = lay_at(ROOM, 0, &all);
    let (outputs, end) = give(&lab.image(&grows(4, ROOM)), &memory);
    end.expect("a quiet end");
    arrived(batches(&outputs)[0], &all, "after growth");
    // The same addresses, and memory that is as it was: of the schema, and of the batch alone.
    let (outputs, end) = give(&lab.image(GIVE), &memory);
    guest_fault(end, &outputs, "a schema before growth");
    let early = grows(4, ROOM)
        .replace("(if (i32.eq (memory.grow", &format!("{BATCH} (if (i32.eq (memory.grow"));
    let (outputs, end) = give(&lab.image(&early), &memory);
    guest_fault(end, &outputs, "a batch before growth");
}

/// The largest memory there is: 65,535 pages, of which hardly any is ever touched.
#[test]
fn at_the_edge_of_32_bits_nothing_wraps_around() {
    const PAGES: u32 = 65_535;
    let base = (PAGES << 16) - ROOM;
    let lab = Lab::new();
    let image = lab.image(&grows(PAGES, base));
    let give = |image: &Arc<Image>, memory: &[u8]| {
        let limits = Limits { memory_bytes: 4 << 30, ..Limits::default() };
        let sandbox = Sandbox::start(image, SandboxSpec { limits, ..spec() }).expect("a sandbox");
        let end = converse(&sandbox, memory).1;
        (std::iter::from_fn(|| sandbox.channels().take_output()).collect::<Vec<_>>(), end)
    };
    let column = numbers();
    let (mut memory, _, places) = lay_at(base, 0, std::slice::from_ref(&column));
    memory.resize(ROOM as usize, 0);
    let place = (places[0] - base) as usize;
    let list = word(&memory, place + BUFFERS) - base as usize;
    // Values in the last 80 bytes of all.
    let mut last = memory.clone();
    let values = word(&memory, list + 4) - base as usize;
    last.copy_within(values..values + 80, ROOM as usize - 80);
    set(&mut last, list + 4, &((PAGES << 16) - 80).to_le_bytes());
    let (outputs, end) = give(&image, &last);
    end.expect("a quiet end");
    arrived(batches(&outputs)[0], std::slice::from_ref(&column), "at the end of memory");
    // Each would be a place in low memory if sums were of 32 bits.
    let low = |address: u32| (address as i64 + (1 << 32) - i64::from((PAGES << 16) - 80)) / 8;
    let lies: [(&str, usize, Vec<u8>); 9] = [
        ("values eight bytes too far", list + 4, ((PAGES << 16) - 72_u32).to_le_bytes().into()),
        ("values in the page that is not", list + 4, (PAGES << 16).to_le_bytes().into()),
        ("values at the last address", list + 4, [0xff; 4].into()),
        ("validity at the last address", list, [0xff; 4].into()),
        ("an offset that wraps around", place + OFFSET, low(64).to_le_bytes().into()),
        (
            "an offset that wraps to the same place",
            place + OFFSET,
            (1_i64 << 29).to_le_bytes().into(),
        ),
        ("a length that wraps around", place + LENGTH, ((1_i64 << 29) + 10).to_le_bytes().into()),
        ("a list of buffers that wraps around", place + BUFFERS, [0xfc, 0xff, 0xff, 0xff].into()),
        ("a batch that wraps around", 8, [0xf0, 0xff, 0xff, 0xff].into()),
    ];
    for (what, at, bytes) in lies {
        let mut lying = last.clone();
        set(&mut lying, at, &bytes);
        if what.starts_with("a length") {
            // The batch has as many rows, so that they are looked for.
            let batch = word(&lying, 8) - base as usize;
            set(&mut lying, batch + LENGTH, &bytes);
        }
        let (outputs, end) = give(&image, &lying);
        guest_fault(end, &outputs, what);
    }
}

#[test]
fn buffers_that_overlap_are_copied_each_for_itself() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let text = ["", "a", "é", "日本", "long enough", "x", "", "y", "z", "end"];
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(text));
    let both = [numbers(), numbers(), words];
    let (memory, batch, places) = lay(&both);
    let [first, second, third] = [0, 1, 2].map(|n| places[n] as usize);
    let arrives = |memory: &[u8], wanted: &[ArrayRef], what: &str| {
        let (outputs, end) = give(&image, memory);
        end.expect(what);
        arrived(batches(&outputs)[0], wanted, what);
    };
    let list = |place: usize| word(&memory, place + BUFFERS);
    // One buffer, one list of buffers, one array, for two columns.
    let shared = |at: usize, of: usize| {
        let mut memory = memory.clone();
        let from = memory[of..of + 4].to_vec();
        set(&mut memory, at, &from);
        memory
    };
    arrives(&shared(list(second) + 4, list(first) + 4), &both, "a buffer of two columns");
    arrives(&shared(second + BUFFERS, first + BUFFERS), &both, "a list of buffers of two columns");
    let children = word(&memory, batch as usize + CHILDREN);
    arrives(&shared(children + 4, children), &both, "an array that is two columns");
    // Values that are their own validity, and each other's, eight bytes on.
    let values = buffer(&memory, first, 1);
    let valid = |bytes: &[u8]| {
        let number =
            |i: usize| i64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("8 bytes"));
        let is = |i: usize| bytes[i / 8] & 1 << (i % 8) != 0;
        Arc::new((0..10).map(|i| is(i).then(|| number(i))).collect::<Int64Array>()) as ArrayRef
    };
    let mut own = shared(list(first), list(first) + 4);
    let itself = valid(&own[values..values + 80]);
    arrives(&own, &[itself, both[1].clone(), both[2].clone()], "values that are their validity");
    set(&mut own, list(first), &((values + 8) as u32).to_le_bytes());
    let (outputs, end) = give(&image, &own);
    end.expect("a quiet end");
    assert_eq!(batches(&outputs)[0].rows(), 10);
    // Offsets in the middle of the text, which are no offsets.
    let text = buffer(&memory, third, 2) as u32;
    let mut lying = memory.clone();
    set(&mut lying, list(third) + 4, &text.to_le_bytes());
    let (outputs, end) = give(&image, &lying);
    guest_fault(end, &outputs, "text that is its offsets");
}

/// The schema's depth bounds the way down: an array in a circle is at most as deep.
#[test]
fn a_child_that_is_its_own_parent_ends_where_the_schema_ends() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    for (depth, leaf, passes) in [
        (1, DataType::Int64, false),
        (30, DataType::Int64, false),
        (30, DataType::Null, true), // which has nothing to be looked at
        (60, DataType::Utf8, false),
    ] {
        let mut kind = leaf.clone();
        for _ in 0..depth {
            kind = DataType::Struct(Fields::from(vec![Field::new("c", kind, true)]));
        }
        let column = numbers();
        let (mut memory, batch, places) = lay(&[column]);
        memory.resize(memory.len().next_multiple_of(64), 0);
        let message = schema_message(&Schema::new(vec![Field::new("c", kind, true)]));
        let (place, at) = (places[0] as usize, memory.len());
        memory.extend_from_slice(&message);
        set(&mut memory, 0, &(at as u32).to_le_bytes());
        set(&mut memory, 4, &(message.len() as u32).to_le_bytes());
        // One buffer, and one child: itself.
        set(&mut memory, place + 24, &1_i64.to_le_bytes());
        set(&mut memory, place + CHILD_COUNT, &1_i64.to_le_bytes());
        let children = word(&memory, batch as usize + CHILDREN) as u32;
        set(&mut memory, place + CHILDREN, &children.to_le_bytes());
        let (outputs, end) = give(&image, &memory);
        if passes {
            end.expect("a batch of nothing");
            assert_eq!(batches(&outputs)[0].nodes().len(), depth + 1);
        } else {
            guest_fault(end, &outputs, &format!("{depth} times itself, then {leaf}"));
        }
        // The batch as its own column.
        set(&mut memory, children as usize, &batch.to_le_bytes());
        let (outputs, end) = give(&image, &memory);
        match (passes, end) {
            (true, Ok(())) => assert_eq!(batches(&outputs)[0].rows(), 10),
            (_, end) => {
                guest_fault(end, &outputs, &format!("the batch {depth} times, then {leaf}"))
            }
        }
    }
}

#[test]
fn nulls_are_counted_by_the_host() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let all = every_kind();
    let (memory, batch, places) = lay(&all);
    for said in [0, 1, 3, 10, 11, -1, -7, i64::MAX, i64::MIN] {
        let mut lying = memory.clone();
        for place in places.iter().chain([&batch]) {
            set(&mut lying, *place as usize + NULL_COUNT, &said.to_le_bytes());
        }
        let (outputs, end) = give(&image, &lying);
        end.expect("a quiet end");
        arrived(batches(&outputs)[0], &all, &format!("{said} nulls"));
        let nodes = batches(&outputs)[0].nodes().iter();
        assert!(nodes.clone().all(|node| node.nulls <= node.length), "{said} nulls");
    }
    // Nulls are said to be there, and no bitmap is: every value counts.
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let (mut lying, _, places) = lay(std::slice::from_ref(&column));
    set(&mut lying, places[0] as usize + NULL_COUNT, &4_i64.to_le_bytes());
    let (outputs, end) = give(&image, &lying);
    end.expect("a quiet end");
    arrived(batches(&outputs)[0], &[column], "nulls without a bitmap");
}
