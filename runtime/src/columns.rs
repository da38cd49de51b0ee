//! A batch that a guest gives: described by C data interface structs in its linear memory (32-bit
//! layout), copied out first, validated after.
//!
//! The guest's thread waits in the host call while this runs, so what is read twice does not change
//! in between. The source of the layouts: "The Arrow C data interface" and "Arrow columnar format".

use crate::failpoint::step;
use crate::fault::{Fault, LimitExceeded};
use crate::limits::LimitKind;
use arrow_buffer::{Buffer, MutableBuffer, ToByteSlice};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Schema};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Every buffer of a batch starts at a multiple of this.
pub(crate) const ALIGNMENT: usize = 64;
/// Deepest nesting of types; Spark's own data never comes near.
const MAX_DEPTH: usize = 64;

/// A batch in host memory: one region that holds all buffers of all columns.
#[derive(Debug)]
pub struct OutputBatch {
    rows: usize,
    region: Buffer,
    nodes: Vec<Node>,
    buffers: Vec<Range<usize>>,
    pub(crate) spent: Spent,
}

/// Time that the host spent on batches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// Batches of the embedder's, into linear memory.
    pub(crate) copying_in: Duration,
    /// The guest's, out of it.
    pub(crate) copying_out: Duration,
    pub(crate) validating: Duration,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, more: Spent) {
        self.copying_in += more.copying_in;
        self.copying_out += more.copying_out;
        self.validating += more.validating;
    }
}

/// One array of the batch, nested ones after their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Values, with nulls.
    pub length: usize,
    /// Null values.
    pub nulls: usize,
}

impl OutputBatch {
    /// Rows of every column.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of all buffers, with padding.
    pub fn bytes(&self) -> usize {
        self.region.len()
    }

    /// The memory of all buffers; it lives as long as a clone of it.
    pub fn region(&self) -> &Buffer {
        &self.region
    }

    /// The arrays, each before its children.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Places of the buffers in the region, in the order of Arrow's format; an absent validity
    /// bitmap is empty.
    pub fn buffers(&self) -> &[Range<usize>] {
        &self.buffers
    }
}

/// Why a batch was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A type that has no way here; the guest may use another.
    Unsupported,
    Fault(Fault),
}

fn lie(what: impl std::fmt::Display) -> Refused {
    Refused::Fault(Fault::guest(format!("its batch is wrong: {what}")))
}

/// Whether batches of this schema can be given.
pub(crate) fn supports(schema: &Schema) -> bool {
    fn known(kind: &DataType, depth: usize) -> bool {
        let child = |f: &arrow_schema::FieldRef| known(f.data_type(), depth + 1);
        depth < MAX_DEPTH
            && match kind {
                DataType::List(f) | DataType::LargeList(f) | DataType::Map(f, _) => child(f),
                DataType::FixedSizeList(f, _) => child(f),
                DataType::Struct(fields) => fields.iter().all(child),
                DataType::Null
                | DataType::Boolean
                | DataType::FixedSizeBinary(_)
                | DataType::Utf8
                | DataType::Binary
                | DataType::LargeUtf8
                | DataType::LargeBinary => true,
                other => other.primitive_width().is_some(),
            }
    }
    schema.fields().iter().all(|f| known(f.data_type(), 0))
}

/// A region that cannot be had is the task's error; arrow-rs would end the process.
fn may_allocate(bytes: usize) -> Result<(), Refused> {
    let had = Vec::<u8>::new().try_reserve_exact(bytes).map_err(|e| e.to_string());
    had.and_then(|()| step("batch.region").map_err(|e| e.to_string())).map_err(|e| {
        Refused::Fault(Fault::host(format!("allocating {bytes} bytes for a batch: {e}")))
    })
}

/// Copies the batch whose `ArrowArray` (a struct of the columns) lies at `address`.
///
/// `most`: bytes that a batch may have.
pub(crate) fn read(
    memory: &[u8],
    address: u32,
    schema: &Schema,
    most: u64,
) -> Result<OutputBatch, Refused> {
    let began = Instant::now();
    let batch = GuestArray::read(memory, address)?;
    let rows = batch.length;
    if batch.children.len() != schema.fields().len() {
        return Err(lie(format!(
            "{} columns where its schema has {}",
            batch.children.len(),
            schema.fields().len()
        )));
    }
    let mut plan = Plan { memory, copies: Vec::new(), bytes: 0, most };
    let columns: Vec<Column> = std::iter::zip(&batch.children, schema.fields())
        .map(|(&child, field)| {
            plan.column(child, field.data_type(), batch.offset..batch.offset + rows)
        })
        .collect::<Result<_, _>>()?;
    let (region, buffers) = plan.copy()?;
    let copied = Instant::now();
    let mut nodes = Vec::new();
    for (column, field) in std::iter::zip(&columns, schema.fields()) {
        column.validate(field.data_type(), &region, &buffers, &mut nodes)?;
    }
    let buffers = drop_full_bitmaps(&columns, &nodes, buffers);
    let spent =
        Spent { copying_out: copied - began, validating: copied.elapsed(), ..Spent::default() };
    Ok(OutputBatch { rows, region, nodes, buffers, spent })
}

/// `ArrowArray` as a 32-bit guest lays it out: five `i64`, then five pointers.
struct GuestArray {
    length: usize,
    offset: usize,
    buffers: Vec<u32>,
    children: Vec<u32>,
    dictionary: u32,
}

impl GuestArray {
    fn read(memory: &[u8], address: u32) -> Result<GuestArray, Refused> {
        let bytes = part(memory, address, 60)?;
        let long = |at: usize| {
            let value = i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
            // More elements than bits in the guest's memory cannot be.
            usize::try_from(value)
                .ok()
                .filter(|&n| n <= 8 << 32)
                .ok_or_else(|| lie(format!("{value} as a length, an offset or a count")))
        };
        let pointer =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let pointers = |at: usize, count: usize| -> Result<Vec<u32>, Refused> {
            if count == 0 {
                return Ok(Vec::new());
            }
            let list = part(memory, pointer(at), count * 4)?;
            let of = |c: &[u8]| u32::from_le_bytes(c.try_into().unwrap_or_default());
            Ok(list.chunks_exact(4).map(of).collect())
        };
        Ok(GuestArray {
            length: long(0)?,
            offset: long(16)?,
            buffers: pointers(40, long(24)?)?,
            children: pointers(44, long(32)?)?,
            dictionary: pointer(48),
        })
    }
}

/// `len` bytes of the guest's memory at `address`.
fn part(memory: &[u8], address: u32, len: usize) -> Result<&[u8], Refused> {
    memory
        .get(address as usize..)
        .and_then(|tail| tail.get(..len))
        .ok_or_else(|| lie(format!("{len} bytes at {address:#x} are outside its memory")))
}

/// One buffer to copy.
enum Copy<'m> {
    /// No validity bitmap: all values are valid.
    Absent,
    Bytes(&'m [u8]),
    /// A bitmap that starts `shift` bits into its first byte.
    Bits {
        bytes: &'m [u8],
        shift: usize,
        bits: usize,
    },
    /// Offsets, to be counted from the first one; `width` 4 or 8.
    Offsets {
        bytes: &'m [u8],
        width: usize,
    },
}

impl Copy<'_> {
    fn len(&self) -> usize {
        match self {
            Copy::Absent => 0,
            Copy::Bytes(bytes) => bytes.len(),
            Copy::Bits { bits, .. } => bits.div_ceil(8),
            // An empty array may come without offsets; one is always written.
            Copy::Offsets { bytes, width } => bytes.len().max(*width),
        }
    }
}

/// An array with the numbers of its buffers in the plan.
struct Column {
    length: usize,
    buffers: Range<usize>,
    children: Vec<Column>,
}

struct Plan<'m> {
    memory: &'m [u8],
    copies: Vec<Copy<'m>>,
    bytes: usize,
    most: u64,
}

impl<'m> Plan<'m> {
    /// Plans the copy of `range` of the array at `address`.
    fn column(
        &mut self,
        address: u32,
        kind: &DataType,
        range: Range<usize>,
    ) -> Result<Column, Refused> {
        let array = GuestArray::read(self.memory, address)?;
        if array.dictionary != 0 {
            return Err(lie("a dictionary where its schema has none"));
        }
        if range.end > array.length {
            return Err(lie(format!("{} values where {} are needed", array.length, range.end)));
        }
        let length = range.len();
        let at = array.offset + range.start;
        let first = self.copies.len();
        let shape = |buffers: usize, children: usize| {
            if (array.buffers.len(), array.children.len()) == (buffers, children) {
                Ok(())
            } else {
                Err(lie(format!(
                    "{} buffers and {} children for {kind}",
                    array.buffers.len(),
                    array.children.len()
                )))
            }
        };
        // Each child with the range of it that belongs to this array.
        let mut below: Vec<(u32, &DataType, Range<usize>)> = Vec::new();
        if !matches!(kind, DataType::Null) && !array.buffers.is_empty() {
            self.bitmap(array.buffers[0], at, length, true)?;
        }
        match kind {
            // Arrow's C++ exports one absent buffer for it, the specification none.
            DataType::Null => {}
            DataType::Boolean => {
                shape(2, 0)?;
                self.bitmap(array.buffers[1], at, length, false)?;
            }
            DataType::Utf8 | DataType::Binary => {
                shape(3, 0)?;
                let values = self.offsets(array.buffers[1], at, length, 4)?;
                self.values(array.buffers[2], values, 1)?;
            }
            DataType::LargeUtf8 | DataType::LargeBinary => {
                shape(3, 0)?;
                let values = self.offsets(array.buffers[1], at, length, 8)?;
                self.values(array.buffers[2], values, 1)?;
            }
            DataType::List(item) | DataType::Map(item, _) => {
                shape(2, 1)?;
                let values = self.offsets(array.buffers[1], at, length, 4)?;
                below.push((array.children[0], item.data_type(), values));
            }
            DataType::LargeList(item) => {
                shape(2, 1)?;
                let values = self.offsets(array.buffers[1], at, length, 8)?;
                below.push((array.children[0], item.data_type(), values));
            }
            DataType::FixedSizeList(item, size) => {
                shape(1, 1)?;
                let size = usize::try_from(*size).map_err(lie)?;
                let edge = |n: usize| n.checked_mul(size).ok_or_else(|| lie("a list too long"));
                below.push((array.children[0], item.data_type(), edge(at)?..edge(at + length)?));
            }
            DataType::Struct(fields) => {
                shape(1, fields.len())?;
                let kinds = fields.iter().map(|f| f.data_type());
                below.extend(
                    std::iter::zip(&array.children, kinds)
                        .map(|(&child, kind)| (child, kind, at..at + length)),
                );
            }
            DataType::FixedSizeBinary(width) => {
                shape(2, 0)?;
                let width = usize::try_from(*width).map_err(lie)?;
                self.values(array.buffers[1], at..at + length, width)?;
            }
            primitive => {
                let width = primitive.primitive_width().ok_or(Refused::Unsupported)?;
                shape(2, 0)?;
                self.values(array.buffers[1], at..at + length, width)?;
            }
        }
        let buffers = first..self.copies.len();
        let children = below
            .into_iter()
            .map(|(child, kind, range)| self.column(child, kind, range))
            .collect::<Result<_, _>>()?;
        Ok(Column { length, buffers, children })
    }

    fn push(&mut self, copy: Copy<'m>) -> Result<(), Refused> {
        let used = self.bytes as u64;
        self.bytes += copy.len().next_multiple_of(ALIGNMENT);
        self.copies.push(copy);
        let (allowed, asked) = (self.most, self.bytes as u64);
        if asked > allowed {
            let limit = LimitExceeded { limit: LimitKind::Memory, allowed, used, asked };
            return Err(Refused::Fault(limit.into()));
        }
        Ok(())
    }

    fn bitmap(
        &mut self,
        address: u32,
        at: usize,
        bits: usize,
        may_be_absent: bool,
    ) -> Result<(), Refused> {
        if bits == 0 || (address == 0 && may_be_absent) {
            return self.push(Copy::Absent);
        }
        let span = at / 8..(at + bits).div_ceil(8);
        let bytes = self.span(address, span)?;
        self.push(Copy::Bits { bytes, shift: at % 8, bits })
    }

    fn values(&mut self, address: u32, range: Range<usize>, width: usize) -> Result<(), Refused> {
        let edge = |n: usize| n.checked_mul(width).ok_or_else(|| lie("a buffer too long"));
        let span = edge(range.start)?..edge(range.end)?;
        let bytes = if span.is_empty() { &[] } else { self.span(address, span)? };
        self.push(Copy::Bytes(bytes))
    }

    /// Plans the offsets of `length` values; the range of values they point at.
    fn offsets(
        &mut self,
        address: u32,
        at: usize,
        length: usize,
        width: usize,
    ) -> Result<Range<usize>, Refused> {
        if length == 0 {
            self.push(Copy::Offsets { bytes: &[], width })?;
            return Ok(0..0);
        }
        let bytes = self.span(address, at * width..(at + length + 1) * width)?;
        let edge = |bytes: &[u8]| {
            let value = match width {
                4 => i64::from(i32::from_le_bytes(bytes.try_into().unwrap_or_default())),
                _ => i64::from_le_bytes(bytes.try_into().unwrap_or_default()),
            };
            usize::try_from(value).map_err(|_| lie(format!("the offset {value}")))
        };
        let (start, end) = (edge(&bytes[..width])?, edge(&bytes[bytes.len() - width..])?);
        if start > end {
            return Err(lie(format!("offsets from {start} to {end}")));
        }
        self.push(Copy::Offsets { bytes, width })?;
        Ok(start..end)
    }

    fn span(&self, address: u32, span: Range<usize>) -> Result<&'m [u8], Refused> {
        let start = (address as usize).checked_add(span.start);
        let start = start.and_then(|s| u32::try_from(s).ok());
        let start = start.ok_or_else(|| lie("a buffer beyond its memory"))?;
        part(self.memory, start, span.len())
    }

    /// Copies everything into one region.
    fn copy(self) -> Result<(Buffer, Vec<Range<usize>>), Refused> {
        may_allocate(self.bytes)?;
        let mut region = MutableBuffer::with_capacity(self.bytes);
        let mut buffers = Vec::with_capacity(self.copies.len());
        for copy in &self.copies {
            let start = region.len();
            match copy {
                Copy::Absent => {}
                Copy::Bytes(bytes) | Copy::Bits { bytes, shift: 0, .. } => {
                    region.extend_from_slice(bytes);
                }
                Copy::Bits { bytes, shift, bits } => {
                    let next = bytes[1..].iter().copied().chain([0]);
                    let shifted = std::iter::zip(*bytes, next)
                        .map(|(low, high)| low >> shift | high << (8 - shift));
                    shifted.take(bits.div_ceil(8)).for_each(|byte| region.push(byte));
                }
                Copy::Offsets { bytes: [], width } => region.extend_zeros(*width),
                Copy::Offsets { bytes, width: 4 } => rebase::<4>(bytes, &mut region),
                Copy::Offsets { bytes, .. } => rebase::<8>(bytes, &mut region),
            }
            buffers.push(start..region.len());
            region.resize(region.len().next_multiple_of(ALIGNMENT), 0);
        }
        Ok((region.into(), buffers))
    }
}

/// Appends offsets, counted from the first one. Offsets that go wrong stay wrong, for validation.
fn rebase<const WIDTH: usize>(bytes: &[u8], region: &mut MutableBuffer) {
    let of = |c: &[u8]| {
        let mut wide = [0; 8];
        wide[..WIDTH].copy_from_slice(c);
        i64::from_le_bytes(wide)
    };
    let first = of(&bytes[..WIDTH]);
    if first == 0 {
        return region.extend_from_slice(bytes);
    }
    for offset in bytes.chunks_exact(WIDTH).map(of) {
        region.extend_from_slice(&offset.wrapping_sub(first).to_byte_slice()[..WIDTH]);
    }
}

impl Column {
    /// Arrow's full validation of the copy: lengths, offsets, UTF-8, nested bounds.
    fn validate(
        &self,
        kind: &DataType,
        region: &Buffer,
        buffers: &[Range<usize>],
        nodes: &mut Vec<Node>,
    ) -> Result<ArrayData, Refused> {
        let place = nodes.len();
        nodes.push(Node { length: self.length, nulls: 0 });
        let mut slices = self.buffers.clone().map(|n| {
            let range = buffers[n].clone();
            region.slice_with_length(range.start, range.len())
        });
        let mut builder = ArrayData::builder(kind.clone()).len(self.length);
        if !matches!(kind, DataType::Null) {
            let bitmap = slices.next().filter(|bits| !bits.is_empty());
            builder = builder.null_bit_buffer(bitmap);
        }
        builder = builder.buffers(slices.collect());
        let kinds: Vec<&DataType> = match kind {
            DataType::List(f) | DataType::LargeList(f) | DataType::Map(f, _) => vec![f.data_type()],
            DataType::FixedSizeList(f, _) => vec![f.data_type()],
            DataType::Struct(fields) => fields.iter().map(|f| f.data_type()).collect(),
            _ => Vec::new(),
        };
        for (child, kind) in std::iter::zip(&self.children, kinds) {
            builder = builder.add_child_data(child.validate(kind, region, buffers, nodes)?);
        }
        let data = builder.build().map_err(lie)?;
        nodes[place].nulls = match kind {
            DataType::Null => self.length,
            _ => data.null_count(),
        };
        Ok(data)
    }

    fn visit<'c>(&'c self, each: &mut impl FnMut(&'c Column)) {
        each(self);
        self.children.iter().for_each(|child| child.visit(each));
    }
}

/// Validity bitmaps of arrays without nulls count as absent: nobody has to look at them.
fn drop_full_bitmaps(
    columns: &[Column],
    nodes: &[Node],
    mut buffers: Vec<Range<usize>>,
) -> Vec<Range<usize>> {
    let mut nodes = nodes.iter();
    for column in columns {
        column.visit(&mut |c| {
            if nodes.next().is_some_and(|n| n.nulls == 0) && !c.buffers.is_empty() {
                let bitmap = &mut buffers[c.buffers.start];
                bitmap.end = bitmap.start;
            }
        });
    }
    buffers
}
