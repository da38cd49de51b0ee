//! Batches through linear memory: what a guest gives arrives as it was, and every lie about it is a
//! guest fault.

use crate::guests::{BOOT, Lab, PATIENCE, converse, guest, spec, start};
use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    DurationMicrosecondArray, FixedSizeListArray, Float64Array, Int8Array, Int64Array,
    LargeStringArray, NullArray, StringArray, StructArray, TimestampMicrosecondArray, make_array,
    types::Int16Type,
};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema};
use davy_runtime::{Fault, Image, InputBatch, Output, OutputBatch, READABLE, Sandbox};
use std::sync::Arc;
use std::time::Duration;

/// Reads its memory from the channel; then gives the schema and the batch that the first words
/// name: address and length of the schema message, address of the batch.
pub(crate) const GIVE: &str = r#"(local $at i32) (local $n i32)
  (loop $more
    (local.set $n (call $read (local.get $at) (i32.sub (i32.const 131072) (local.get $at))))
    (local.set $at (i32.add (local.get $at) (local.get $n)))
    (br_if $more (i32.gt_s (local.get $n) (i32.const 0))))
  (drop (call $gateway (i32.const 8) (i32.load (i32.const 0)) (i32.load (i32.const 4))
                       (i32.const 0) (i32.const 0)))
  (drop (call $gateway (i32.const 9) (i32.const 8) (i32.const 4) (i32.const 0) (i32.const 0)))
  i32.const 0"#;

/// A guest's memory under construction.
pub(crate) struct Memory {
    bytes: Vec<u8>,
    /// Where in the guest's memory it will lie.
    base: u32,
    /// How far from a multiple of 64 all in it lies.
    off: usize,
}

impl Memory {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(64) + self.off, 0);
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        self.base + at
    }

    /// An `ArrowArray` as a 32-bit guest lays it out, with all that it points at.
    fn array(&mut self, data: &ArrayData) -> u32 {
        let mut buffers: Vec<u32> = Vec::new();
        if *data.data_type() != DataType::Null {
            buffers.push(data.nulls().map_or(0, |nulls| {
                // The bitmap as an array with this offset has it.
                let mut bits = vec![0u8; (nulls.offset() + nulls.len()).div_ceil(8) + 8];
                for i in (0..nulls.len()).filter(|&i| nulls.is_valid(i)) {
                    bits[(data.offset() + i) / 8] |= 1 << ((data.offset() + i) % 8);
                }
                self.put(&bits)
            }));
        }
        buffers.extend(data.buffers().iter().map(|b| self.put(b.as_slice())).collect::<Vec<_>>());
        let children: Vec<u32> = data.child_data().iter().map(|c| self.array(c)).collect();
        self.structure(data.len(), data.offset(), &buffers, &children)
    }

    fn structure(
        &mut self,
        length: usize,
        offset: usize,
        buffers: &[u32],
        children: &[u32],
    ) -> u32 {
        let words = |list: &[u32]| list.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let (buffer_list, child_list) = (self.put(&words(buffers)), self.put(&words(children)));
        let mut bytes = Vec::new();
        for long in [length, usize::MAX, offset, buffers.len(), children.len()] {
            bytes.extend((long as i64).to_le_bytes());
        }
        bytes.extend(words(&[buffer_list, child_list, 0, 0, 0]));
        self.put(&bytes)
    }
}

/// Memory with a batch of these columns; the addresses of the batch and of its columns' structs.
pub(crate) fn lay(columns: &[ArrayRef]) -> (Vec<u8>, u32, Vec<u32>) {
    lay_at(0, 0, columns)
}

/// The same, to lie at `base`, and `off` a multiple of 64.
pub(crate) fn lay_at(base: u32, off: usize, columns: &[ArrayRef]) -> (Vec<u8>, u32, Vec<u32>) {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true))
        .collect();
    let mut memory = Memory { bytes: vec![0; 64], base, off };
    let message = memory.put(&schema_message(&Schema::new(fields)));
    let length = base + memory.bytes.len() as u32 - message;
    let places: Vec<u32> = columns.iter().map(|c| memory.array(&c.to_data())).collect();
    let batch = memory.structure(columns[0].len(), 0, &[0], &places);
    for (i, word) in [message, length, batch].into_iter().enumerate() {
        memory.bytes[4 * i..4 * i + 4].copy_from_slice(&word.to_le_bytes());
    }
    assert!(memory.bytes.len() < 131_072, "the test's memory is too small");
    (memory.bytes, batch, places)
}

pub(crate) fn schema_message(schema: &Schema) -> Vec<u8> {
    // Without batches a stream is the schema's message.
    let writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), schema).expect("a writer");
    writer.into_inner().expect("bytes")
}

pub(crate) fn give(image: &Arc<Image>, memory: &[u8]) -> (Vec<Output>, Result<(), Fault>) {
    let sandbox = start(image);
    let (_, end) = converse(&sandbox, memory);
    (std::iter::from_fn(|| sandbox.channels().take_output()).collect(), end)
}

/// The columns of a batch, as the receiver would build them.
pub(crate) fn columns(batch: &OutputBatch, kinds: &[DataType]) -> Vec<ArrayRef> {
    let mut nodes = batch.nodes().iter();
    let mut buffers =
        batch.buffers().iter().map(|r| batch.region().slice_with_length(r.start, r.len()));
    kinds.iter().map(|kind| make_array(column(kind, &mut nodes, &mut buffers))).collect()
}

fn column<'n>(
    kind: &DataType,
    nodes: &mut impl Iterator<Item = &'n davy_runtime::Node>,
    buffers: &mut impl Iterator<Item = arrow_buffer::Buffer>,
) -> ArrayData {
    let node = nodes.next().expect("a node");
    let mut builder = ArrayData::builder(kind.clone()).len(node.length);
    let own = arrow_data::layout(kind).buffers.len();
    if *kind != DataType::Null {
        let bitmap = buffers.next().expect("a bitmap");
        builder = builder.null_bit_buffer((node.nulls > 0).then_some(bitmap));
    }
    for _ in 0..own {
        builder = builder.add_buffer(buffers.next().expect("a buffer"));
    }
    let children: Vec<&DataType> = match kind {
        DataType::List(f) | DataType::Map(f, _) | DataType::FixedSizeList(f, _) => {
            vec![f.data_type()]
        }
        DataType::Struct(fields) => fields.iter().map(|f| f.data_type()).collect(),
        _ => Vec::new(),
    };
    for child in children {
        builder = builder.add_child_data(column(child, nodes, buffers));
    }
    builder.build().expect("a valid column")
}

/// One of every kind, ten values each.
pub(crate) fn every_kind() -> Vec<ArrayRef> {
    let text = ["", "a", "é", "日本", "long enough", "x", "", "y", "z", "end"];
    let some = |i: usize| i % 3 != 1;
    let mut lists = ListBuilder::new(Int32Builder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for i in 0..10 {
        (0..i % 4).for_each(|k| lists.values().append_value(k));
        lists.append(i != 4);
        (0..i % 3).for_each(|k| {
            maps.keys().append_value(format!("k{k}"));
            maps.values().append_option((k != 1).then_some(i));
        });
        maps.append(i != 7).expect("a map");
    }
    let numbers: Int64Array = (0..10).map(|i| some(i).then_some(i as i64 - 5)).collect();
    let words: StringArray = (0..10).map(|i| some(i).then_some(text[i])).collect();
    let pairs = StructArray::try_new(
        vec![Field::new("n", DataType::Int64, true), Field::new("s", DataType::Utf8, true)].into(),
        vec![Arc::new(numbers.clone()), Arc::new(words.clone())],
        Some((0..10).map(|i| i != 2).collect::<Vec<bool>>().into()),
    );
    vec![
        Arc::new(numbers),
        Arc::new(Int64Array::from_iter_values(0..10)),
        Arc::new(Int8Array::from_iter_values(0..10)),
        Arc::new(Float64Array::from_iter_values(
            [f64::NAN, -0.0, 1e300].into_iter().cycle().take(10),
        )),
        Arc::new((0..10).map(|i| some(i).then_some(i % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(words),
        Arc::new(LargeStringArray::from_iter_values(text)),
        Arc::new(BinaryArray::from_iter_values(text.map(str::as_bytes))),
        Arc::new(Date32Array::from_iter_values(-5..5)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(0..10).with_timezone("UTC")),
        Arc::new(DurationMicrosecondArray::from_iter_values(0..10)),
        Arc::new(Decimal128Array::from_iter_values((0..10).map(|i| i * 10_i128.pow(30)))),
        Arc::new(NullArray::new(10)),
        Arc::new(lists.finish()),
        Arc::new(maps.finish()),
        Arc::new(pairs.expect("a struct")),
        Arc::new(FixedSizeListArray::from_iter_primitive::<Int16Type, _, _>(
            (0..10).map(|i| some(i).then(|| vec![Some(i as i16), None])),
            2,
        )),
    ]
}

#[test]
fn a_batch_arrives_as_it_was_given() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let all = every_kind();
    // Whole, sliced at and off byte borders, and empty.
    for (from, length) in [(0, 10), (1, 9), (3, 4), (8, 2), (5, 0)] {
        let sliced: Vec<ArrayRef> = all.iter().map(|c| c.slice(from, length)).collect();
        let (outputs, end) = give(&image, &lay(&sliced).0);
        end.expect("a quiet end");
        let [Output::Schema(_), Output::Batch(batch)] = &outputs[..] else {
            panic!("{from} + {length}: {outputs:?}")
        };
        assert_eq!(batch.rows(), length);
        let kinds: Vec<DataType> = sliced.iter().map(|c| c.data_type().clone()).collect();
        for (got, wanted) in columns(batch, &kinds).iter().zip(&sliced) {
            assert_eq!(got, wanted, "{from} + {length}");
            let nulls = |array: &ArrayRef| array.logical_null_count();
            assert_eq!(nulls(got), nulls(wanted));
        }
    }
}

/// Places in an `ArrowArray`.
pub(crate) const LENGTH: usize = 0;
pub(crate) const OFFSET: usize = 16;
const BUFFER_COUNT: usize = 24;
pub(crate) const CHILD_COUNT: usize = 32;
pub(crate) const BUFFERS: usize = 40;
pub(crate) const CHILDREN: usize = 44;
const DICTIONARY: usize = 48;

pub(crate) fn word(memory: &[u8], at: usize) -> usize {
    u32::from_le_bytes(memory[at..at + 4].try_into().expect("4 bytes")) as usize
}

pub(crate) fn set(memory: &mut [u8], at: usize, bytes: &[u8]) {
    memory[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The address of buffer `n` of the array at `array`.
pub(crate) fn buffer(memory: &[u8], array: usize, n: usize) -> usize {
    word(memory, word(memory, array + BUFFERS) + 4 * n)
}

#[test]
fn every_lie_about_a_batch_is_a_guest_fault() {
    type Lie = fn(&mut Vec<u8>, usize);
    fn long(memory: &mut [u8], at: usize, value: i64) {
        set(memory, at, &value.to_le_bytes());
    }
    // On a column of strings: validity, offsets, bytes.
    let lies: &[(&str, Lie)] = &[
        ("negative length", |m, a| long(m, a + LENGTH, -1)),
        ("length too small", |m, a| long(m, a + LENGTH, 9)),
        ("endless length", |m, a| long(m, a + LENGTH, i64::MAX)),
        ("negative offset", |m, a| long(m, a + OFFSET, -1)),
        ("offset beyond memory", |m, a| long(m, a + OFFSET, 1 << 30)),
        ("endless offset", |m, a| long(m, a + OFFSET, i64::MAX)),
        ("a buffer missing", |m, a| long(m, a + BUFFER_COUNT, 2)),
        ("a buffer too many", |m, a| long(m, a + BUFFER_COUNT, 4)),
        ("negative number of buffers", |m, a| long(m, a + BUFFER_COUNT, -3)),
        ("endless number of buffers", |m, a| long(m, a + BUFFER_COUNT, 1 << 34)),
        ("a child too many", |m, a| long(m, a + CHILD_COUNT, 1)),
        ("endless number of children", |m, a| long(m, a + CHILD_COUNT, 1 << 34)),
        ("buffers outside memory", |m, a| set(m, a + BUFFERS, &[0xff; 4])),
        ("a dictionary", |m, a| set(m, a + DICTIONARY, &[1, 0, 0, 0])),
        ("validity outside memory", |m, a| {
            let list = word(m, a + BUFFERS);
            set(m, list, &[0xff; 4]);
        }),
        ("offsets outside memory", |m, a| {
            let list = word(m, a + BUFFERS);
            set(m, list + 4, &131_070_u32.to_le_bytes());
        }),
        ("values outside memory", |m, a| {
            let list = word(m, a + BUFFERS);
            set(m, list + 8, &131_071_u32.to_le_bytes());
        }),
        ("offsets that go back", |m, a| {
            let offsets = buffer(m, a, 1);
            set(m, offsets + 16, &1000_i32.to_le_bytes());
        }),
        ("a negative offset of a value", |m, a| {
            let offsets = buffer(m, a, 1);
            set(m, offsets, &(-4_i32).to_le_bytes());
        }),
        ("a last offset beyond memory", |m, a| {
            let offsets = buffer(m, a, 1);
            set(m, offsets + 40, &i32::MAX.to_le_bytes());
        }),
        ("bytes that are not UTF-8", |m, a| {
            let values = buffer(m, a, 2);
            set(m, values, &[0xff]);
        }),
        ("half of a character", |m, a| {
            // The third offset falls into "é".
            let offsets = buffer(m, a, 1);
            set(m, offsets + 12, &2_i32.to_le_bytes());
        }),
    ];
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let text = ["", "a", "é", "日本", "long enough", "x", "", "y", "z", "end"];
    let strings: ArrayRef = Arc::new(StringArray::from_iter_values(text));
    for (what, lie) in lies {
        let (mut memory, _, places) = lay(std::slice::from_ref(&strings));
        lie(&mut memory, places[0] as usize);
        let (outputs, end) = give(&image, &memory);
        let fault = end.expect_err(what);
        assert_eq!(fault.kind(), "guest", "{what}: {fault}");
        assert!(!outputs.iter().any(|o| matches!(o, Output::Batch(_))), "{what}: a batch came");
    }
}

#[test]
fn lies_about_the_batch_itself_are_guest_faults() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let (memory, batch, places) = lay(&[numbers]);
    let (batch, place) = (batch as usize, places[0] as usize);
    let lies: [(&str, usize, Vec<u8>); 8] = [
        ("more rows than values", batch + LENGTH, 11_i64.to_le_bytes().to_vec()),
        ("negative rows", batch + LENGTH, (-1_i64).to_le_bytes().to_vec()),
        ("a column too few", batch + CHILD_COUNT, 0_i64.to_le_bytes().to_vec()),
        ("a column too many", batch + CHILD_COUNT, 2_i64.to_le_bytes().to_vec()),
        ("columns outside memory", batch + CHILDREN, vec![0xff; 4]),
        ("a batch outside memory", 8, vec![0xff; 4]),
        ("a schema outside memory", 0, vec![0xff; 4]),
        ("values beyond 4 GiB", place + OFFSET, (1_i64 << 32).to_le_bytes().to_vec()),
    ];
    for (what, at, bytes) in lies {
        let mut lying = memory.clone();
        set(&mut lying, at, &bytes);
        let fault = give(&image, &lying).1.expect_err(what);
        assert_eq!(fault.kind(), "guest", "{what}: {fault}");
    }
    // A schema of random bytes never passes.
    let (start, length) = (word(&memory, 0), word(&memory, 4));
    for n in (0..length).step_by(7) {
        let mut lying = memory.clone();
        lying[start + n] ^= 0xff;
        if let Err(fault) = give(&image, &lying).1 {
            assert_eq!(fault.kind(), "guest", "byte {n}: {fault}");
        }
    }
}

/// A child that is its own parent, and columns that share one buffer many times over.
#[test]
fn small_descriptions_of_large_batches_meet_the_memory_limit() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let bytes = "x".repeat(60_000);
    let wide: ArrayRef = Arc::new(StringArray::from_iter_values([bytes]));
    let columns: Vec<ArrayRef> = vec![wide.clone(); 1];
    let (mut memory, batch, places) = lay(&columns);
    // 400 columns of one array: 24 MB out of 60 KB.
    let fields: Vec<Field> =
        (0..400).map(|i| Field::new(format!("c{i}"), DataType::Utf8, true)).collect();
    let mut more = Memory { bytes: memory, base: 0, off: 0 };
    let message = more.put(&schema_message(&Schema::new(fields)));
    let length = more.bytes.len() as u32 - message;
    let again = more.structure(1, 0, &[0], &vec![places[0]; 400]);
    memory = more.bytes;
    assert!(batch > 0 && memory.len() < 131_072);
    for (i, value) in [message, length, again].into_iter().enumerate() {
        set(&mut memory, 4 * i, &value.to_le_bytes());
    }
    let mut small = spec();
    small.limits.memory_bytes = 8 << 20;
    let sandbox = Sandbox::start(&image, small).expect("a sandbox");
    let fault = converse(&sandbox, &memory).1.expect_err("too much");
    assert_eq!(fault.kind(), "limit", "{fault}");
    assert!(give(&image, &memory).1.is_ok(), "with room it passes");
}

/// What the guest says about a batch that it was not given.
#[test]
fn a_guest_takes_only_what_was_put() {
    struct Bytes(Vec<u8>);
    impl InputBatch for Bytes {
        fn bytes(&self) -> usize {
            self.0.len()
        }
        fn copy_to(&self, into: &mut [u8]) {
            into.copy_from_slice(&self.0);
        }
    }
    let lab = Lab::new();
    let take = |size: u32| {
        format!(
            "(drop (call $read (i32.const 0) (i32.const 1)))
             (i32.store (i32.const 0)
               (call $gateway (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {size})))
             (drop (call $write (i32.const 0) (i32.const 16))) i32.const 0"
        )
    };
    for (put, size, wanted) in
        [(None, 8, -28), (Some(8), 7, -28), (Some(8), 9, -28), (Some(8), 8, 8)]
    {
        let image = lab.open(&lab.pack(&guest(&take(size), BOOT))).expect("an image");
        let sandbox = start(&image);
        if let Some(n) = put {
            let early = sandbox.channels().put_batch(Box::new(Bytes(vec![7; n])));
            assert!(!early, "no task passes batches yet");
            sandbox.channels().pass_batches(true);
            assert!(sandbox.channels().put_batch(Box::new(Bytes(vec![7; n]))));
        }
        let (output, end) = converse(&sandbox, b"!");
        end.expect("a quiet end");
        assert_eq!(output[..4], i32::to_le_bytes(wanted), "{put:?} {size}");
        assert_eq!(sandbox.channels().batches_taken(), u64::from(wanted > 0));
    }
    let outside = take(8).replace("i32.const 8) (i32.const 8)", "i32.const 131070) (i32.const 8)");
    let sandbox = start(&lab.image(&outside));
    assert_eq!(converse(&sandbox, b"!").1.expect_err("a lie").kind(), "guest");
}

/// One write may announce more batches than may wait: it is accepted in whole, the next one waits.
#[test]
fn one_write_announces_many_batches() {
    struct Byte;
    impl InputBatch for Byte {
        fn bytes(&self) -> usize {
            1
        }
        fn copy_to(&self, into: &mut [u8]) {
            into.fill(1);
        }
    }
    let lab = Lab::new();
    // Reads a byte of the channel and takes a batch, until the end.
    let take = "(block $done (loop $again
        (br_if $done (i32.eqz (call $read (i32.const 0) (i32.const 1))))
        (br_if $again (i32.eq (i32.const 1)
          (call $gateway (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1))))))
        i32.const 0";
    let sandbox = start(&lab.image(take));
    let channels = sandbox.channels();
    channels.pass_batches(true);
    let mut taken = 0;
    for write in 0..100 {
        for _ in 0..10 {
            assert!(channels.put_batch(Box::new(Byte)));
        }
        let mut left = 10;
        while left > 0 {
            assert_ne!(channels.wait_ready(davy_runtime::WRITABLE, PATIENCE), 0, "it hangs");
            left -= channels.write(&vec![0; left]).expect("a guest that takes");
        }
        assert!(channels.batches_taken() + 12 > taken, "write {write} did not wait");
        taken += 10;
    }
    channels.end_input();
    sandbox.wait().expect("a quiet end");
    assert_eq!(channels.batches_taken(), 1000);
}

/// A guest that gives batches to a host that takes none waits, and a stop ends the wait.
#[test]
fn giving_waits_for_the_host_and_ends_with_a_stop() {
    let lab = Lab::new();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let endless = GIVE.replace(
        "(drop (call $gateway (i32.const 9) (i32.const 8) (i32.const 4) (i32.const 0) (i32.const 0)))",
        "(drop (call $write (i32.const 0) (i32.const 1)))
         (loop $again
           (drop (call $gateway (i32.const 9) (i32.const 8) (i32.const 4) (i32.const 0) (i32.const 0)))
           (br $again))",
    );
    let sandbox = start(&lab.image(&endless));
    let memory = lay(&[numbers]).0;
    let mut given = 0;
    while given < memory.len() {
        sandbox.channels().wait_ready(davy_runtime::WRITABLE, PATIENCE);
        given += sandbox.channels().write(&memory[given..]).expect("a guest that reads");
    }
    sandbox.channels().end_input();
    assert_eq!(sandbox.channels().wait_ready(READABLE, PATIENCE), READABLE);
    std::thread::sleep(Duration::from_millis(50));
    let before = sandbox.channels().bytes_out();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(sandbox.channels().bytes_out(), before, "it went on without the host");
    // The schema and two batches wait for the host; one byte went through the channel.
    assert_eq!(sandbox.channels().batches_given(), (2, before - 1));
    sandbox.interrupt().stop(Fault::Stopped { reason: "test".into() });
    assert_eq!(sandbox.wait().expect_err("stopped").kind(), "stopped");
}
