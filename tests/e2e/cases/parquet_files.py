"""Parquet and datasets inside a function: in memory, in temporary files, from and for Spark, and natively the same."""

import datetime
import decimal
import io

from pyspark.sql.functions import col, udf

from harness.registry import case

# Run where the user code runs; each line is `name: expression`, its answer is the text of the value.
IN_MEMORY = """
plain: [back(table, compression=c).equals(table) for c in ("none", "snappy", "gzip", "brotli", "zstd", "lz4")]
levels: [back(table, compression=c, compression_level=n).equals(table) for c, n in (("gzip", 1), ("gzip", 9), ("zstd", 1), ("zstd", 19), ("brotli", 1), ("brotli", 9))]
codecs: [pq.ParquetFile(file(table, compression=c)).metadata.row_group(0).column(0).compression for c in ("none", "snappy", "gzip", "brotli", "zstd", "lz4")], pq.ParquetFile(file(table)).metadata.row_group(0).column(1).compression
by_column: [pq.ParquetFile(file(table, compression={"i8": "zstd", "str": "gzip"})).metadata.row_group(0).column(i).compression for i in (0, 1)]
bytes: hashlib.md5(file(table, compression="none").getvalue()).hexdigest(), len(file(table, compression="none").getvalue())
schema: pq.read_schema(file(table)).to_string(show_field_metadata=False), pq.ParquetFile(file(table)).schema
versions: [back(table, version=v).schema.types == table.schema.types for v in ("1.0", "2.4", "2.6")], [back(table, data_page_version=v).equals(table) for v in ("1.0", "2.0")]
values: back(table).to_pydict()
threads: [pq.read_table(file(table), use_threads=t, pre_buffer=b).equals(table) for t in (True, False) for b in (True, False)]
columns: pq.read_table(file(table), columns=["str", "struct.a"]).to_pydict(), pq.read_table(file(table), columns=[]).num_rows
no_rows: back(table.slice(0, 0)).equals(table.slice(0, 0)), pq.read_metadata(file(table.slice(0, 0))).num_row_groups
groups: [(m.num_rows, m.num_row_groups, m.row_group(1).num_rows) for m in [pq.read_metadata(file(many, row_group_size=300))]], pq.ParquetFile(file(many, row_group_size=300)).read_row_group(2, columns=["n"]).column(0)[0].as_py()
batches: [b.num_rows for b in pq.ParquetFile(file(many, row_group_size=300)).iter_batches(batch_size=128)], pq.ParquetFile(file(many)).scan_contents()
statistics: [(s.min, s.max, s.null_count, s.has_min_max) for i in range(4) for s in [pq.read_metadata(file(many)).row_group(0).column(i).statistics]]
filters: pq.read_table(file(many, row_group_size=100), filters=[("n", ">", 990)]).to_pydict()["n"], pq.read_table(file(many), filters=[[("k", "==", "k1"), ("n", "<", 9)], [("n", "in", [5, 6])]]).to_pydict()["n"]
expression: pq.read_table(file(many), filters=(pc.field("x") > 9.5) & pc.field("k").isin(["k2"]), columns=["n"]).num_rows, pq.read_table(file(many), filters=pc.field("x").is_null()).num_rows
encodings: pq.read_metadata(file(many, use_dictionary=False, column_encoding={"n": "DELTA_BINARY_PACKED", "x": "BYTE_STREAM_SPLIT", "k": "DELTA_BYTE_ARRAY", "t": "PLAIN"})).row_group(0).column(0).encodings, back(many, use_dictionary=False, column_encoding={"n": "DELTA_BINARY_PACKED", "x": "BYTE_STREAM_SPLIT", "k": "DELTA_LENGTH_BYTE_ARRAY", "t": "PLAIN"}).equals(many)
dictionaries: back(pa.table({"d": many["k"].dictionary_encode()})).schema.field("d").type, pq.read_table(file(many), read_dictionary=["k"]).schema.field("k").type, pq.read_table(file(many), read_dictionary=["k"])["k"].chunk(0).dictionary.to_pylist()
index: pq.ParquetFile(file(many, write_page_index=True)).metadata.row_group(0).column(0).has_column_index, back(many, write_page_checksum=True).equals(many), pq.read_table(file(many, write_page_checksum=True), page_checksum_verification=True).num_rows
pages: back(many, data_page_size=512, dictionary_pagesize_limit=64, write_batch_size=10, max_rows_per_page=50).equals(many), back(many, sorting_columns=[pq.SortingColumn(0)]).num_rows
metadata: back(many.replace_schema_metadata({"a": "b"})).schema.metadata, pq.read_metadata(file(many)).created_by, pq.read_metadata(file(many)).format_version, back(pa.table([[1]], schema=pa.schema([pa.field("x", "i4", False, {"unit": "m"})]))).schema.field(0)
timestamps: back(times, coerce_timestamps="ms", allow_truncated_timestamps=True).to_pydict(), back(times, use_deprecated_int96_timestamps=True).to_pydict(), pq.read_table(file(times, use_deprecated_int96_timestamps=True), coerce_int96_timestamp_unit="ms").schema.types
truncated: back(times, coerce_timestamps="ms")
other_types: back(others).equals(others), back(others).schema.types
fixed_lists: back(pa.table({"l": pa.array([[1, 2], None], pa.list_(pa.int16(), 2))}))
deep: back(deep).equals(deep), back(deep).to_pydict()
writer: (lambda sink: ([(w.write_table(many), w.write_batch(many.to_batches()[0]), w.add_key_value_metadata({"k": "v"}), w.close()) for w in [pq.ParquetWriter(sink, many.schema, compression="zstd")]], pq.read_table(io.BytesIO(sink.getvalue())).num_rows)[1])(io.BytesIO())
arrow_streams: pq.read_table(pa.BufferReader(file(many).getvalue())).equals(many), (lambda sink: (pq.write_table(many, sink), pq.read_table(sink.getvalue()).equals(many))[1])(pa.BufferOutputStream())
pandas: pd.read_parquet(file(many)).describe().to_dict(), pd.read_parquet(io.BytesIO(frame.to_parquet())).equals(frame), pd.read_parquet(io.BytesIO(frame.to_parquet(compression="gzip"))).dtypes.astype(str).to_dict()
nullable: pd.read_parquet(io.BytesIO(frame.to_parquet()), dtype_backend="numpy_nullable").dtypes.astype(str).tolist(), pd.read_parquet(io.BytesIO(frame.to_parquet()), dtype_backend="pyarrow").dtypes.astype(str).tolist(), pd.read_parquet(io.BytesIO(frame.to_parquet()), columns=["s"], filters=[("i", ">", 1)]).to_dict()
views: back(pa.table({"v": pa.array(["a", None, "long " * 10], pa.string_view())})).to_pydict(), back(pa.table({"v": pa.array([b"a", None], pa.large_binary())})).schema.types
bloom: pq.read_table(file(many, store_schema=False)).schema.types, pq.read_table(file(pa.table({"d": many["k"].dictionary_encode()}), store_schema=False)).schema.types
not_parquet: pq.read_table(io.BytesIO(b"no such thing here"))
too_short: pq.read_table(io.BytesIO(b"PAR1"))
cut: pq.read_table(io.BytesIO(file(many).getvalue()[:-9]))
broken: pq.read_table(io.BytesIO(broken(file(many, compression="none", write_page_checksum=True).getvalue())), page_checksum_verification=True)
no_column: pq.read_table(file(many), columns=["no"]).num_columns
no_codec: pq.write_table(many, io.BytesIO(), compression="lzo")
no_type: pq.write_table(pa.table({"u": pa.UnionArray.from_sparse(pa.array([0], "i1"), [pa.array([1])])}), io.BytesIO())
""".strip()  # noqa: E501

# In a folder of its own, `at("name")`.
IN_FILES = """
file: (pq.write_table(many, at("a.parquet")), pq.read_table(at("a.parquet")).equals(many), os.path.getsize(at("a.parquet")) == len(file(many).getvalue()))[1:]
paths: (pq.write_table(many, pathlib.Path(at("b.parquet"))), pq.read_table(pathlib.Path(at("b.parquet"))).num_rows, pq.read_table("file://" + at("b.parquet")).num_rows, pq.read_metadata(at("b.parquet")).num_columns, pq.read_schema(at("b.parquet")).names)[1:]
open_file: (pq.write_table(many, open(at("c.parquet"), "wb")), [pq.read_table(f).num_rows for f in [open(at("c.parquet"), "rb")]], pq.ParquetFile(at("c.parquet")).read(["n"]).shape)[1:]
to_pandas: (frame.to_parquet(at("d.parquet")), pd.read_parquet(at("d.parquet")).equals(frame), pd.read_parquet(at("d.parquet"), columns=["s"]).shape)[1:]
partitions: (pq.write_to_dataset(many, at("e"), partition_cols=["k"]), sorted(os.listdir(at("e"))), pq.read_table(at("e")).sort_by("n").to_pydict()["n"] == list(range(1000)), pq.read_table(at("e")).schema.field("k").type)[1:]
partition_filters: pq.read_table(at("e"), filters=[("k", "==", "k1"), ("n", "<", 20)]).sort_by("n").to_pydict(), pq.ParquetDataset(at("e"), filters=[("k", "!=", "k0")]).read(columns=["n"]).num_rows, len(pq.ParquetDataset(at("e")).files)
pandas_partitions: (frame.to_parquet(at("f"), partition_cols=["s"]), sorted(os.listdir(at("f"))), pd.read_parquet(at("f")).sort_values("i").to_dict("list"))[1:]
dataset: (ds.write_dataset(many, at("g"), format="parquet", partitioning=ds.partitioning(pa.schema([("k", pa.string())]), flavor="hive"), max_rows_per_group=100, max_rows_per_file=200, min_rows_per_group=50), ds.dataset(at("g"), partitioning="hive").to_table().num_rows, len(ds.dataset(at("g")).files), ds.dataset(at("g"), partitioning="hive").schema.names)[1:]
scanner: ds.dataset(at("g"), partitioning="hive").to_table(filter=(ds.field("k") == "k2") & (ds.field("n") > 980), columns={"m": pc.multiply(ds.field("n"), 2)}).sort_by("m").to_pydict(), ds.dataset(at("g"), partitioning="hive").count_rows(filter=ds.field("x").is_null()), ds.dataset(at("g")).head(3).num_rows, ds.dataset(at("g")).take(pa.array([0, 999])).num_rows
batches: sum(b.num_rows for b in ds.dataset(at("g")).to_batches(batch_size=64)), max(b.num_rows for b in ds.dataset(at("g")).to_batches(batch_size=64)), sum(b.num_rows for b in ds.dataset(at("g")).scanner(use_threads=False, batch_readahead=0, fragment_readahead=0).to_batches()), ds.dataset(at("g")).scanner(columns=["n"]).to_reader().read_all().num_rows
fragments: sorted(str(f.partition_expression) for f in ds.dataset(at("g"), partitioning="hive").get_fragments(filter=ds.field("k") == "k1"))[:1], sum(f.count_rows() for f in ds.dataset(at("g")).get_fragments()), sorted(g.num_rows for f in ds.dataset(at("g"), partitioning="hive").get_fragments(filter=ds.field("k") == "k0") for g in f.row_groups), [f.metadata.num_columns for f in ds.dataset(at("g")).get_fragments()][:1]
subset: sum(f.subset(ds.field("n") < 10).to_table().num_rows for f in ds.dataset(at("g")).get_fragments()), sum(len(f.split_by_row_group()) for f in ds.dataset(at("g")).get_fragments())
formats: [(ds.write_dataset(many, at(f), format=f), ds.dataset(at(f), format=f).to_table().num_rows, sorted(n.rpartition(".")[2] for n in os.listdir(at(f))))[1:] for f in ("ipc", "feather", "arrow", "csv")], [(open(at("j.json"), "w").write('{"a": 1}'), ds.dataset(at("j.json"), format="json").to_table().to_pydict())[1]]
join: ds.dataset(at("g"), partitioning="hive").join(ds.dataset(pa.table({"k": ["k1"], "w": [7]})), "k", join_type="inner").to_table().num_rows, ds.dataset(at("g"), partitioning="hive").sort_by([("n", "descending")]).head(1, columns=["n"]).to_pydict(), ds.dataset(at("g"), partitioning="hive").filter(ds.field("n") < 5).count_rows()
in_memory: ds.dataset(many).to_table(filter=ds.field("n") < 2).to_pydict()["n"], ds.dataset(many.to_batches()).count_rows(), ds.dataset([ds.dataset(many), ds.dataset(many)]).count_rows(), ds.scanner(many).count_rows() if hasattr(ds, "scanner") else ds.Scanner.from_batches(many.to_batches(), schema=many.schema).count_rows()
written: (lambda seen: (ds.write_dataset(many, at("v"), format="parquet", partitioning=["k"], file_visitor=lambda f: seen.append((os.path.relpath(f.path, at("v")), f.metadata.num_rows))), sorted(seen))[1])([])
again: ds.write_dataset(many, at("v"), format="parquet", partitioning=["k"])
existing: (ds.write_dataset(many, at("v"), format="parquet", partitioning=["k"], existing_data_behavior="delete_matching"), ds.write_dataset(many, at("v"), format="parquet", partitioning=["k"], existing_data_behavior="overwrite_or_ignore", basename_template="z{i}.parquet"), ds.dataset(at("v"), format="parquet", partitioning=["k"]).count_rows())[2]
options: (ds.write_dataset(many, at("w"), format="parquet", file_options=ds.ParquetFileFormat().make_write_options(compression="zstd", version="1.0")), pq.read_metadata(glob.glob(at("w") + "/*")[0]).row_group(0).column(0).compression, ds.dataset(at("w"), format=ds.ParquetFileFormat(dictionary_columns=["k"])).schema.field("k").type)[1:]
metadata_file: (lambda found: (pq.write_to_dataset(many, at("x"), metadata_collector=found), pq.write_metadata(many.schema, at("x") + "/_metadata", metadata_collector=found), ds.parquet_dataset(at("x") + "/_metadata").count_rows())[2])([])
schemas: (pq.write_table(pa.table({"a": [1]}), at("y1.parquet")), pq.write_table(pa.table({"a": [2.5], "b": ["x"]}), at("y2.parquet")), ds.dataset([at("y1.parquet"), at("y2.parquet")], schema=pa.schema([("a", "f8"), ("b", "string")])).to_table().to_pydict())[2]
local_files: (lambda local: (pq.write_table(many, "u.parquet", filesystem=local), pq.read_table("u.parquet", filesystem=local).num_rows, [i.size > 0 for i in local.get_file_info(["u.parquet"])], ds.dataset("u.parquet", filesystem=local).count_rows())[1:])(fs.SubTreeFileSystem(at(""), fs.LocalFileSystem()))
missing: pq.read_table(at("none.parquet")).num_rows
missing_dataset: ds.dataset(at("none")).files
unknown_format: ds.dataset(at("a.parquet"), format="xml")
wrong_field: ds.dataset(at("a.parquet")).to_table(columns=["no"])
not_this_format: (open(at("bad.parquet"), "wb").write(b"PAR1 and not much more PAR1"), ds.dataset(at("bad.parquet")))[1]
""".strip()  # noqa: E501


def evaluate(lines):
    """Runs in the executor: the text of each expression's value, or of its error."""
    import glob
    import hashlib
    import os
    import pathlib
    import re
    import shutil
    import tempfile

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq
    from pyarrow import fs

    day, stamp = datetime.date(2024, 2, 29), datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)
    number = decimal.Decimal("-12345678901234567.89")
    values = {
        "i8": (pa.int64(), [1, None, -(2**63)]),
        "str": (pa.string(), ["", None, "zé日"]),
        "i1": (pa.int8(), [-128, None, 127]),
        "i2": (pa.int16(), [-(2**15), None, 2**15 - 1]),
        "i4": (pa.int32(), [-(2**31), None, 2**31 - 1]),
        "u1": (pa.uint8(), [0, None, 255]),
        "u2": (pa.uint16(), [0, None, 2**16 - 1]),
        "u4": (pa.uint32(), [0, None, 2**32 - 1]),
        "u8": (pa.uint64(), [0, None, 2**64 - 1]),
        "f2": (pa.float16(), [np.float16(0.5), None, np.float16(-2)]),
        "f4": (pa.float32(), [0.1, None, float("inf")]),
        "f8": (pa.float64(), [0.1, None, -0.0]),
        "bool": (pa.bool_(), [True, None, False]),
        "binary": (pa.binary(), [b"\0\xff", None, b""]),
        "fixed": (pa.binary(3), [b"abc", None, b"\0\0\0"]),
        "date": (pa.date32(), [day, None, datetime.date(1, 1, 1)]),
        "us": (pa.timestamp("us"), [stamp, None, datetime.datetime(9999, 12, 31)]),
        "zone": (
            pa.timestamp("ms", "Europe/Berlin"),
            [stamp.replace(microsecond=0), None, stamp.replace(microsecond=5000)],
        ),
        "time": (pa.time64("us"), [datetime.time(23, 59, 59, 1), None, datetime.time(0)]),
        "decimal": (pa.decimal128(38, 2), [number, None, decimal.Decimal("0.01")]),
        "small": (pa.decimal128(5, 2), [decimal.Decimal("-1.25"), None, decimal.Decimal("999.99")]),
        "wide": (pa.decimal256(60, 2), [number, None, -number]),
        "list": (pa.list_(pa.int32()), [[1, None], None, []]),
        "struct": (
            pa.struct([("a", pa.int64()), ("b", pa.string())]),
            [{"a": 1, "b": None}, None, {"a": None, "b": "x"}],
        ),
        "map": (pa.map_(pa.string(), pa.float64()), [[("k", 1.5), ("l", None)], None, []]),
        "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["u", None, "u"]),
        "null": (pa.null(), [None, None, None]),
    }
    table = pa.table({name: pa.array(v, type=t) for name, (t, v) in values.items()})
    n = np.arange(1000)
    many = pa.table(
        {
            "n": n,
            "x": pa.array([None if i % 7 == 0 else i / 100 for i in range(1000)]),
            "k": [f"k{i % 3}" for i in range(1000)],
            "t": pa.array(n * 3_600_000_000, pa.timestamp("us", "UTC")),
        }
    )
    times = pa.table(
        {"t": pa.array([1_500_000_123_456, None], pa.timestamp("us")), "u": pa.array([1, 2], pa.timestamp("s"))}
    )
    others = pa.table(
        {
            "large": pa.array(["a", None], pa.large_string()),
            "lists": pa.array([[1], None], pa.large_list(pa.int8())),
            "fixed": pa.array([[1, 2], [3, None]], pa.list_(pa.int16(), 2)),
            "ms": pa.array([1, None], pa.time32("ms")),
            "duration": pa.array([1, None], pa.duration("us")),
            "ns": pa.array([1, None], pa.timestamp("ns", "UTC")),
            "date": pa.array([day, None], pa.date64()),
        }
    )
    inner = pa.struct([("l", pa.list_(pa.struct([("m", pa.map_(pa.int32(), pa.list_(pa.string())))])))])
    deep = pa.table(
        {
            "d": pa.array(
                [{"l": [{"m": [(1, ["a", None]), (2, None)]}, None, {"m": None}]}, {"l": None}, None, {"l": []}], inner
            ),
            "lists": pa.array([[[[1], []], None], [], None, [[None]]], pa.list_(pa.list_(pa.list_(pa.int64())))),
        }
    )
    frame = pd.DataFrame(
        {
            "i": [3, 1, 2],
            "s": ["a", "b", "a"],
            "f": [0.5, None, 1.5],
            "t": pd.date_range("2024-03-30 22:00", periods=3, freq="h", tz="Europe/Berlin"),
            "c": pd.Categorical(["u", "v", "u"]),
            "n": pd.array([1, None, 3], "Int64"),
        },
        index=pd.Index(["x", "y", "z"], name="index"),
    )

    def file(table, **options):
        out = io.BytesIO()
        pq.write_table(table, out, **options)
        out.seek(0)
        return out

    def back(table, **options):
        return pq.read_table(file(table, **options))

    def broken(data):
        at = data.index(b"k0")
        return data[:at] + b"K" + data[at + 1 :]

    folder = tempfile.mkdtemp()
    names = dict(
        np=np, pd=pd, pa=pa, pc=pc, ds=ds, pq=pq, fs=fs, io=io, os=os, glob=glob, pathlib=pathlib, hashlib=hashlib
    )
    names |= dict(table=table, many=many, times=times, others=others, deep=deep, frame=frame, file=file, back=back)
    names |= dict(broken=broken, at=lambda name: os.path.join(folder, name))
    found = []
    try:
        for line in lines:
            name, _, expression = line.partition(": ")
            try:
                value = eval(expression, names)
                parts = value if isinstance(value, tuple) else (value,)
                said = " | ".join(re.sub(" at 0x[0-9a-f]+", "", repr(part)) for part in parts)
            except Exception as e:
                said = f"{type(e).__module__}.{type(e).__name__}: {e}"
            found.append(f"{name}: {said.replace(folder, 'FOLDER')}")
    finally:
        shutil.rmtree(folder)
    return found


def _asked(lines):
    def run(spark):
        return spark.sparkContext.parallelize([lines], 1).map(evaluate).collect()[0]

    run.__module__ = __name__
    return run


for _i in range(0, len(IN_MEMORY.splitlines()), 6):
    _some = IN_MEMORY.splitlines()[_i : _i + 6]
    # They are the same with every Spark.
    case("default", since="4.1", name=f"memory_{_some[0].partition(':')[0]}_and_on")(_asked(_some))

# One folder: a line may read what one before it wrote.
case("default", since="4.1", name="files")(_asked(IN_FILES.splitlines()))


@case()
def files_of_spark(spark):
    """What Spark wrote, read inside a function; and what a function wrote, read by Spark."""
    import os
    import tempfile

    def rows(content):
        import pyarrow.parquet as pq

        return str(pq.read_table(io.BytesIO(content)).sort_by("id").to_pylist())

    def rewritten(content):
        import pyarrow.parquet as pq

        out = io.BytesIO()
        pq.write_table(pq.read_table(io.BytesIO(content)), out, compression="zstd")
        return out.getvalue()

    frame = spark.range(20).selectExpr(
        "id", "if(id % 3 = 0, null, string(id)) s", "cast(id / 7 as decimal(20, 4)) d", "array(id, null) a",
        "map(string(id), id * 0.5D) m", "named_struct('x', id, 'y', array(named_struct('z', id))) st",
        "date_add(date'1999-12-31', int(id)) day", "timestamp_micros(id * 1234567) t", "binary(string(id)) b",
        "timestamp_ntz'2024-02-29 01:02:03.4' ntz", "float(id) f", "cast(id as byte) i1", "id % 2 = 0 flag",
    )  # fmt: skip
    said = []
    with tempfile.TemporaryDirectory() as folder:
        for codec in ("snappy", "zstd", "gzip", "lz4", "uncompressed"):
            place = os.path.join(folder, codec)
            frame.coalesce(1).write.option("compression", codec).parquet(place)
            files = spark.read.format("binaryFile").load(place + "/*.parquet").select("content")
            said += [r[0] for r in files.select(udf(rows)(col("content"))).collect()]
            back = os.path.join(folder, codec + "-back")
            os.mkdir(back)
            for i, row in enumerate(files.select(udf(rewritten, "binary")(col("content"))).collect()):
                with open(os.path.join(back, f"{i}.parquet"), "wb") as out:
                    out.write(row[0])
            said.append(sorted(map(str, spark.read.parquet(back).collect())) == sorted(map(str, frame.collect())))
    return said


@case()
def batches_through_parquet(spark):
    """Each batch of a map and each group goes through a file of its own."""
    import pandas as pd

    def through_memory(batches):
        import pyarrow as pa
        import pyarrow.parquet as pq

        for batch in batches:
            out = io.BytesIO()
            pq.write_table(pa.Table.from_batches([batch]), out)
            yield from pq.read_table(io.BytesIO(out.getvalue())).to_batches()

    def through_a_file(group: pd.DataFrame) -> pd.DataFrame:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            group.to_parquet(folder + "/group", partition_cols=["part"])
            found = pd.read_parquet(folder + "/group")
        return pd.DataFrame({"k": found["k"], "n": found["n"], "part": found["part"].astype("int64")})

    frame = spark.range(500).selectExpr("id % 5 k", "id n", "id % 2 part")
    maps = frame.mapInArrow(through_memory, frame.schema)
    groups = frame.groupBy("k").applyInPandas(through_a_file, frame.schema)
    return [sorted(tuple(r) for r in f.collect()) == sorted(tuple(r) for r in frame.collect()) for f in (maps, groups)]
