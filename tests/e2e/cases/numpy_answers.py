"""Expressions of numpy, pandas and pyarrow whose answers are the same in the guest and natively.

The guest has 32-bit pointers: default integers, sizes and hashes are where a port would show.
"""

from harness.registry import case

# Run where the user code runs; each line is `name: expression`, its answer is the text of the value.
NUMPY = """
default_int: np.array([1, 2]).dtype, np.arange(3).dtype, np.zeros(2, int).dtype, np.dtype(int).itemsize
default_types: np.array([1.5]).dtype, np.array([True]).dtype, np.array(["a", "ébc"]).dtype, np.array([1j]).dtype
large_int: np.array([2**40]).dtype, np.array([2**63]).dtype, np.array([2**64]).dtype, np.array([2**31])
sums: np.array([2**31 - 1] * 3, np.int32).sum(), np.array([2**31 - 1] * 3, np.int32).sum().dtype
sum_types: [np.ones(2, t).sum().dtype for t in ("b1", "i1", "u1", "i4", "u4", "i8", "u8", "f4", "f8")]
cumulative: np.cumsum(np.array([127, 127], np.int8)), np.cumprod(np.arange(1, 22)), np.cumsum([1, 2]).dtype
product: np.prod(np.arange(1, 21)), np.prod(np.arange(1, 21)).dtype
arange: np.arange(0, 2**33, 2**31), np.arange(0.0, 1.0, 0.25), np.arange(3, dtype="i2")
argsort: np.argsort([3, 1, 2]).tolist(), np.argsort([2, 1, 2, 1], kind="stable").tolist(), np.argmax([1, 5, 2]).item()
where: np.where([True, False, True])[0].tolist(), np.where(np.arange(4) % 2, 1, 1.5)
bincount: np.bincount([1, 1, 3]).tolist(), [a.tolist() for a in np.unique([3, 1, 3], return_counts=True)]
unique_inverse: [a.tolist() for a in np.unique(["b", "a", "b"], return_inverse=True, return_index=True)]
shape_size: np.zeros((2, 3)).shape, np.zeros((2, 3)).size, np.zeros((2, 3)).strides
overflow: np.int32(2**31 - 1) + np.int32(0), np.int64(2**62) * 2 // 4, np.uint32(0) - np.uint32(0)
wrap: (np.array([2**31 - 1], np.int32) + 1)[0], (np.array([255], np.uint8) + 1)[0], (np.array([0], np.uint64) - 1)[0]
out_of_bounds: np.array([1], np.int8) + 1000
promotion: np.result_type("i4", "u4"), np.result_type("i8", "u8"), np.result_type("f4", "i4"), np.float32(3) + 3.0
casts: np.array([1.9, -1.9, 1e9]).astype("i4"), np.array([300, -1]).astype("u1"), np.array(["12", "-3"]).astype(int)
impossible_casts: [np.array([np.nan, 1e300, -1e300, 300.0, -5.0]).astype(t) for t in ("i1", "i2", "i4", "i8", "u1", "u2", "u8")]
too_large: np.array([2**70], "i8")
too_large_unsigned: np.array([-1], "u8")
floats: np.finfo("f8").eps, np.finfo("f4").max, np.float32(0.1), np.float64(0.1) + 0.2, np.float16(65504)
long_long: np.iinfo(np.int64).max, np.iinfo(int).max, np.iinfo(np.longlong).bits
rounding: np.round([0.5, 1.5, 2.5, -0.5]), np.floor_divide(-7, 2), np.mod(-7, 3), np.fmod(-7, 3)
division: np.divide(7, 2), np.array([7]) // 2, np.divmod(-7, 2), np.remainder(5.5, -2)
specials: np.nansum([1, np.nan]), np.nanmax([np.nan, 2]), np.isnan(np.sqrt(-1.0 + 0j)), np.array([np.inf, -0.0])
elementary: [float(f"{v:.13g}") for v in (np.exp(1.0), np.log1p(1e-10), np.sin(1e5), np.tanh(0.5), np.cbrt(27.0), np.hypot(3, 4))]
power: np.power(2, 62), np.power(2.0, 0.5), np.power(np.int32(3), 10), np.float64(2) ** -1074
pairwise_sum: np.sum(np.full(1000, 0.1)), np.mean(np.arange(10) / 3), np.var(np.arange(10)), np.std([1, 2, 4], ddof=1)
float32_sum: np.full(10000, 0.1, np.float32).sum(), np.full(10, 0.1, np.float32).mean().dtype
median: np.median([3, 1, 2, 10]), np.percentile(np.arange(11), [10, 50, 99]), np.quantile([1.0, 2.0], 0.3, method="lower")
matmul: np.arange(4).reshape(2, 2) @ np.arange(4).reshape(2, 2), np.dot([1, 2], [3, 4]), np.outer([1, 2], [1.5, 2])
linear_algebra: np.round(np.linalg.det(np.array([[2.0, 0], [0, 4]])), 9), np.linalg.solve([[2.0, 0], [0, 4]], [2, 8])
eigen: np.round(np.linalg.eigvalsh([[2.0, 1], [1, 2]]), 9), np.round(np.linalg.norm([3.0, 4.0]), 12)
einsum: np.einsum("ij,j->i", np.arange(6).reshape(2, 3), np.array([1, 0, 2])), np.trace(np.eye(3))
fft: np.round(np.fft.fft([1, 0, 0, 0]), 9), np.round(np.fft.rfft([1.0, 2, 3, 4]), 9), np.fft.fft([1.0]).dtype
random_pcg: np.random.default_rng(42).integers(0, 100, 5), np.random.default_rng(42).random(2)
random_int: np.random.default_rng(7).integers(0, 2**40, 2), np.random.default_rng(7).permutation(6)
random_normal: np.random.default_rng(1).standard_normal(3), np.random.default_rng(1).choice(10, 3, replace=False)
random_legacy_int: np.random.RandomState(1).binomial(10, 0.5, 5), np.random.RandomState(1).poisson(3.0, 4), np.random.RandomState(1).permutation(5), np.random.RandomState(1).multinomial(9, [0.2, 0.8]), np.random.RandomState(2).choice([1, 2, 3], 4, p=[0.1, 0.2, 0.7])
random_legacy: np.random.RandomState(0).rand(2), np.random.RandomState(0).randint(0, 100, 4), np.random.RandomState(0).randn(2)
datetime64: np.datetime64("2024-02-29") + np.timedelta64(1, "D"), np.datetime64("2024-02-29T12", "ns").astype("i8")
datetime_ranges: np.arange("2024-01", "2024-04", dtype="datetime64[M]"), np.datetime64("NaT"), np.datetime64(2**40, "s")
busdays: np.busday_count("2024-01-01", "2024-02-01"), np.timedelta64(90, "m").astype("timedelta64[h]")
strings: np.strings.upper(np.array(["é", "ab"])), np.char.split(np.array(["a b"])), np.array(["b", "a"]).argsort().tolist()
string_dtype: np.array(["a", "é" * 20], dtype=np.dtypes.StringDType()), np.array(["x"], "U3").itemsize
structured: np.array([(1, 2.5, "a")], dtype=[("i", "i4"), ("d", "f8"), ("s", "U2")]), np.dtype("i4,f8", align=True).itemsize
bytes: np.frombuffer(b"\\x01\\x02\\x03\\x04", "<i2"), np.array([1, 2], ">i4").tobytes(), np.packbits([1, 0, 1])
views: np.arange(4, dtype="i4").view("i8"), np.float64(1.5).view("i8"), np.arange(6).reshape(2, 3).T.flags.f_contiguous
broadcast: np.add.outer([1, 2], [10, 20]), np.arange(3)[:, None] + np.arange(2), np.clip([1, 5, 9], 2, 8)
sorting: np.sort([3.0, np.nan, 1]), np.lexsort(([1, 0, 1], [2, 2, 1])).tolist(), np.partition([3, 1, 2], 1)[1]
sets: np.intersect1d([1, 2, 3], [2, 3]), np.isin([1, 2], [2]), np.setdiff1d([1, 2], [2]), np.union1d([1], [0])
text: np.array2string(np.arange(2000), threshold=5), repr(np.array([1e-10, 1.0])), str(np.float32(1) / 3), repr(np.int64(3))
polynomials: np.round(np.polyfit([0, 1, 2], [1, 3, 5], 1), 9), np.polyval([1, 2], 3), np.interp(1.5, [1, 2], [10, 20])
hashes: hash(np.float64(1.0)), hash(np.int64(7)), np.int64(7) == 7, {np.int64(1): "a"}[1]
saved: (lambda b: (np.save(b, np.arange(3)), b.getvalue()[:6], np.load(io.BytesIO(b.getvalue()))))(io.BytesIO())
pickled: [pickle.loads(pickle.dumps(a)).dtype for a in (np.arange(2), np.array(["é"]), np.array([None]))]
wrong_shape: np.arange(3) + np.arange(2)
wrong_type: np.array([1]) + "a"
singular: np.linalg.inv(np.zeros((2, 2)))
index_error: np.arange(3)[5]
exponentials: [[f"{v:.12g}" for v in np.exp(x)] for x in (np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 709.7, 709.8, -745.1, -745.2, 1e-300, 703.9, -704.1]), np.arange(10.0)[::3], np.arange(7.0) * -100)]
exponentials_anywhere: np.array_equal(np.exp(np.arange(20.0)[::2]), np.exp(np.arange(20.0))[::2]), (lambda x: np.array_equal(np.exp(x), np.exp(x, out=x)))(np.linspace(-800, 800, 101)), (lambda x: np.array_equal(np.exp(x[:-1]), np.exp(x[:-1], out=x[1:])))(np.linspace(-5, 5, 11))
blocked_products: [((a[:m, :n] @ b[:n, :p]).sum(), (a[:n, :m].T @ b[:n, :p][:, ::-1])[-1].tolist()[:4]) for t in ("f8", "f4") for a in [np.arange(10**6, dtype=t).reshape(1000, 1000) % 7] for b in [np.arange(10**6, dtype=t).reshape(1000, 1000) % 5] for m, n, p in ((4, 4, 4), (5, 7, 9), (34, 400, 13), (6, 385, 320))]
""".strip()  # noqa: E501

PANDAS = """
default_types: pd.Series([1, 2]).dtype, pd.Series([1, None]).dtype, pd.Series(["a"]).dtype, pd.Index([1]).dtype
range_index: pd.RangeIndex(3).dtype, pd.Series([1, 2]).index, pd.factorize(["b", "a", "b"])[0].tolist()
frame: pd.DataFrame({"a": [1, 2], "b": ["é", None], "c": pd.to_datetime(["2024-01-01", None])}).to_string()
dtypes: pd.DataFrame({"a": [1], "b": [1.5], "c": ["x"], "d": [True], "e": [pd.Timestamp(0)], "f": [None]}).dtypes.to_dict()
sums: frame.sum(numeric_only=True).to_dict(), frame.n.sum().dtype, pd.Series([True, True]).sum(), frame.n.mean()
describe: frame.describe().to_string()
memory: frame.select_dtypes("number").memory_usage(index=False).to_dict()
group: frame.groupby("k").n.agg(["sum", "mean", "max", "count", "std"]).to_string()
group_apply: frame.groupby("k")[["n", "x"]].apply(lambda g: g.n.sum() * g.x.max()).to_dict()
group_transform: frame.groupby("k").n.transform("cumsum").tolist(), frame.groupby("k").ngroup().tolist()
group_nulls: frame.groupby("k", dropna=False).size().to_dict(), frame.groupby(["k", frame.n % 2]).x.sum().to_dict()
merge: frame.merge(other, on="k", how="left").to_string()
merge_outer: frame.merge(other, on="k", how="outer", indicator=True).sort_values(["k", "n"]).to_string()
merge_asof: pd.merge_asof(pd.DataFrame({"t": [1, 5, 10]}), pd.DataFrame({"t": [2, 6], "v": ["a", "b"]}), on="t").to_string()
joined: frame.join(other.set_index("k"), on="k").w.tolist(), pd.concat([frame.n, other.w], axis=1).shape
pivot: frame.pivot_table(index="k", columns=frame.n % 2, values="x", aggfunc="sum", fill_value=0).to_string()
melt: frame.melt(id_vars="k").dtypes.to_dict(), frame.melt(id_vars="k").variable.tolist()
sorting: frame.sort_values(["k", "n"], ascending=[False, True], na_position="first").index.tolist(), frame.n.rank().tolist()
value_counts: frame.k.value_counts(dropna=False).to_dict(), frame.n.nlargest(2).to_dict(), pd.cut([1, 5, 9], 3).tolist()
rolling: pd.Series(range(5)).rolling(3).mean().tolist(), pd.Series([1.0, 2, 4]).ewm(span=2).mean().tolist()
expanding: pd.Series([3, 1, 2]).expanding().max().tolist(), pd.Series([1, 2, 4]).pct_change().tolist(), pd.Series([1, 3]).diff().tolist()
resample: pd.Series(range(6), pd.date_range("2024-02-28", periods=6, freq="12h")).resample("D").sum().to_string()
resample_months: pd.Series(1, pd.date_range("2024-01-15", periods=5, freq="W")).resample("ME").count().to_dict()
dates: pd.to_datetime(["2024-02-29", "29.02.2024"], format="mixed", dayfirst=True), pd.Timestamp("2024-02-29") + pd.DateOffset(years=1)
zones: pd.Timestamp("2024-03-31 01:30", tz="Europe/Berlin") + pd.Timedelta("1h"), pd.Timestamp("2024-06-01", tz="UTC").tz_convert("Asia/Kolkata")
ambiguous: pd.Timestamp("2024-10-27 02:30").tz_localize("Europe/Berlin", ambiguous=True).utcoffset()
nonexistent: pd.Timestamp("2024-03-31 02:30").tz_localize("Europe/Berlin")
zone_names: pd.date_range("2024-03-30", periods=3, tz="America/New_York"), pd.Timestamp("2024-01-01", tz="dateutil/Europe/Paris").utcoffset()
periods: pd.period_range("2024-01", periods=3, freq="M"), pd.Period("2024Q1").end_time, pd.Timestamp("2024-12-30").isocalendar()
offsets: pd.Timestamp("2024-01-31") + pd.offsets.MonthEnd(1), pd.bdate_range("2024-01-05", periods=3).tolist()
timedeltas: pd.Timedelta("1 days 02:03:04.5").total_seconds(), pd.to_timedelta(["1h", None]).tolist(), pd.Timestamp.max
date_parts: pd.Series(pd.to_datetime(["2024-02-29 13:14:15.123456789"])).dt.dayofyear.dtype, pd.Timestamp("2024-02-29").strftime("%A %d %B %j")
units: pd.Series(pd.to_datetime([1], unit="s")).astype("datetime64[ms]").dtype, pd.Timestamp("1500-01-01").unit
out_of_bounds: pd.Timestamp("2500-01-01").as_unit("ns")
strings: pd.Series(["Grüße", None, "a-b"]).str.upper().tolist(), pd.Series(["a1b22"]).str.extractall(r"(\\d+)")[0].tolist()
string_methods: pd.Series(["é", "ab"]).str.len().tolist(), pd.Series(["x,y"]).str.split(",", expand=True).to_string(), pd.Series(["ß"]).str.casefold()[0]
nullable: pd.Series([1, None], dtype="Int64").sum(), (pd.Series([1, None], dtype="Int64") + 1).tolist(), pd.array([True, None]).dtype
string_types: pd.Series(["a", None], dtype="string").isna().tolist(), pd.Series(["a"], dtype="string[pyarrow]").dtype, pd.NA
categories: pd.Categorical(["b", "a", None]).codes.dtype, pd.Series(["b", "a"], dtype="category").cat.codes.tolist()
multi_index: frame.set_index(["k", "n"]).index.nlevels, pd.MultiIndex.from_product([[1, 2], ["a"]]).to_list(), frame.set_index("k").loc["a"].n.tolist()
missing: frame.k.fillna("?").tolist(), frame.x.interpolate().tolist(), frame.dropna().shape, frame.k.isna().sum()
duplicates: frame.k.duplicated().tolist(), frame.drop_duplicates("k").index.tolist(), frame.k.unique().tolist(), frame.k.nunique()
hashing: pd.util.hash_pandas_object(pd.Series([1, 2])).tolist(), pd.util.hash_array(np.array(["a", "é"], dtype=object)).tolist()
csv: pd.read_csv(io.StringIO("a,b\\n1,é\\n,2024-01-01\\n")).to_dict(), frame.to_csv(index=False)
json: frame.to_json(orient="records"), pd.read_json(io.StringIO('[{"a":1,"b":"é"}]')).to_dict()
query: frame.query("n > 2 and k == 'a'").n.tolist(), frame.eval("n * 2 + x").tolist(), frame.assign(z=lambda f: f.n * 2).z.tolist()
apply: frame.apply(lambda r: f"{r.k}{r.n}", axis=1).tolist(), frame.n.map({1: "one"}).tolist(), frame[["n", "x"]].map(lambda v: v * 2).to_string()
stats: frame[["n", "x"]].corr().round(12).to_string(), frame.n.quantile([0.25, 0.9]).tolist(), frame.n.skew(), frame.x.cov(frame.n)
explode: pd.DataFrame({"a": [[1, 2], []]}).explode("a").a.tolist(), pd.json_normalize([{"a": {"b": 1}}]).to_dict()
stack: frame[["n", "x"]].head(2).stack().to_dict(), pd.crosstab(frame.k, frame.n % 2).to_string(), pd.get_dummies(frame.k).sum().to_dict()
pickled: pickle.loads(pickle.dumps(frame)).equals(frame), pickle.loads(pickle.dumps(pd.Timestamp("2024-01-01", tz="Europe/Berlin")))
numpy_back: frame.to_numpy().dtype, frame[["n", "x"]].to_numpy().tolist(), frame.n.to_numpy().dtype, frame.to_records(index=False).dtype
key_error: frame["no such"]
merge_error: frame.merge(other, on="no such")
loc_error: frame.loc[99]
parse_error: pd.to_datetime("no date")
""".strip()  # noqa: E501

# An index has the width of a pointer, in the guest 32 bits.
INDEX = """
index_types: np.nonzero([0, 1])[0].dtype, np.argsort([2, 1]).dtype, np.bincount([1]).dtype, np.intp(1).dtype
codes: pd.factorize(["b", "a"])[0].dtype, pd.Series([2, 1]).argsort().dtype
""".strip()

ARROW = """
inferred: pa.array([1, None]).type, pa.array([1.5]).type, pa.array(["é"]).type, pa.array([[1], []]).type, pa.array([{"a": 1}]).type
inferred_times: pa.array([datetime.date(2024, 1, 1)]).type, pa.array([datetime.datetime(2024, 1, 1)]).type, pa.array([datetime.timedelta(1)]).type
decimals: pa.array([D("1.25"), D("-99999999999999999999999999999999999.999")]).type, pa.array([D("1.5")], pa.decimal128(38, 18))[0]
decimal_256: pa.array([D("9" * 60)]).type, pc.add(pa.scalar(D("1.1")), pa.scalar(D("2.22"))), pc.multiply(pa.scalar(D("1.1")), pa.scalar(D("2.2"))).type
decimal_casts: pc.cast(pa.scalar(D("1.50")), pa.decimal128(3, 1)), pc.cast(pa.scalar(D("1.50")), "f8"), pa.scalar("1.23").cast(pa.decimal128(5, 2))
decimal_loss: pc.cast(pa.scalar(D("1.55")), pa.decimal128(3, 1))
decimal_division: pc.divide(pa.scalar(D("1.00")), pa.scalar(D("3"))), pc.round(pa.scalar(D("2.5")), 0)
sums: pc.sum(pa.array([2**31, 2**31])), pc.sum(pa.array([1, None], "i1")).type, pc.mean(pa.array([1, 2])), pc.stddev(pa.array([1, 2, 4]), ddof=1)
overflow: pc.add_checked(pa.scalar(2**63 - 1), 1)
overflow_wraps: pc.add(pa.scalar(2**63 - 1), 1), pc.multiply(pa.scalar(2**31 - 1, "i4"), pa.scalar(2, "i4"))
divide_by_zero: pc.divide(pa.array([1]), pa.array([0]))
casts: pa.array([1.0, 2.0]).cast("i8"), pa.array(["1", None]).cast("i4"), pa.array([1, 0]).cast("bool"), pa.array([300]).cast("i1", safe=False)
lossy_cast: pa.array([1.5]).cast("i8")
text_cast: pa.array(["x"]).cast("i8")
time_casts: pa.scalar("2024-02-29 12:00:00").cast(pa.timestamp("us")), pa.scalar(0).cast(pa.timestamp("s")).cast("date32"), pa.scalar(1).cast(pa.duration("s"))
filters: pc.filter(pa.array([1, 2, 3]), pa.array([True, None, True])), pc.take(pa.array(["a", "b"]), pa.array([1, None, 0])), pc.drop_null(pa.array([1, None]))
sorting: pc.sort_indices(pa.array([3, None, 1])), pc.sort_indices(pa.array([3, 1])).type, pc.rank(pa.array([3, 1, 3])), table.sort_by([("k", "descending"), ("n", "ascending")]).to_pydict()
strings: pc.utf8_upper("grüße"), pc.utf8_length("é\U0001f600"), pc.binary_length("é"), pc.utf8_reverse("aé"), pc.utf8_trim_whitespace("  é "), pc.utf8_normalize("e\\u0301", "NFC")
string_classes: pc.utf8_is_alpha(pa.array(["é", "1", "東"])), pc.utf8_title("äb cd"), pc.utf8_swapcase("aÉ"), pc.utf8_is_digit("٣")
regex: pc.match_substring_regex("a1b", r"\\d"), pc.extract_regex("k=v", r"(?P<k>\\w)=(?P<v>\\w)"), pc.replace_substring_regex("aaé", "a+", "b"), pc.split_pattern_regex("a1b2", r"\\d")
regex_unicode: pc.match_substring_regex("É", r"(?i)é"), pc.count_substring_regex("東a東", r"\\p{Han}"), pc.find_substring_regex("xé", "é")
regex_error: pc.match_substring_regex("a", "(")
text_dates: pc.strptime("29.02.2024", format="%d.%m.%Y", unit="s"), pc.strftime(pa.scalar(datetime.datetime(2024, 2, 29)), format="%Y/%j")
time_parts: pc.year(stamp), pc.iso_week(stamp), pc.day_of_week(stamp), pc.iso_calendar(stamp), pc.days_between(stamp, pa.scalar(datetime.datetime(2025, 1, 1)))
zones: pc.assume_timezone(stamp, "Europe/Berlin"), pc.hour(pc.assume_timezone(stamp, "UTC").cast(pa.timestamp("us", "Asia/Kolkata"))), pc.local_timestamp(pc.assume_timezone(stamp, "America/New_York"))
zone_gap: pc.assume_timezone(pa.scalar(datetime.datetime(2024, 3, 31, 2, 30)), "Europe/Berlin")
floor_times: pc.floor_temporal(stamp, unit="month"), pc.ceil_temporal(stamp, 15, "minute"), pc.round_temporal(stamp, unit="hour")
zone_unknown: pc.assume_timezone(stamp, "No/Where")
logic: pc.and_kleene(pa.array([True, None]), pa.array([None, False])), pc.is_in(pa.array([1, 2]), pa.array([2])), pc.if_else(pa.array([True, None]), 1, 2), pc.coalesce(pa.array([None, 1]), 7), pc.case_when(pa.StructArray.from_arrays([pa.array([True, False])], ["c"]), "x", "y")
math: pc.round(2.5), pc.round(-1.55, 1, round_mode="half_up"), pc.power(2, 10), pc.sqrt(2.0), [round(v.as_py(), 13) for v in (pc.ln(10.0), pc.sin(1.0), pc.exp(2.0))], pc.abs(-3), pc.bit_wise_xor(5, 3)
statistics: pc.quantile(pa.array([1, 2, 3, 4]), q=[0.25, 0.5]), pc.mode(pa.array([1, 1, 2])), pc.variance(pa.array([1, 2])), pc.tdigest(pa.array([1, 2, 3])), pc.min_max(pa.array([3, None, 1]))
counts: pc.value_counts(pa.array(["a", "b", "a"])), pc.unique(pa.array([1, None, 1])), pc.count_distinct(pa.array([1, None, 1])), pa.array(["b", "a", "b"]).dictionary_encode()
cumulative: pc.cumulative_sum(pa.array([1, None, 3]), skip_nulls=True), pc.pairwise_diff(pa.array([1, 4, 9])), pc.fill_null_forward(pa.array([1, None])), pc.index(pa.array([5, 7]), 7)
lists: pc.list_flatten(pa.array([[1], None, [2, 3]])), pc.list_value_length(pa.array([[1], []])), pc.list_element(pa.array([[1, 2]]), 1), pc.struct_field(pa.array([{"a": 1}]), "a"), pc.map_lookup(pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "k", "first")
group_by: table.group_by("k").aggregate([("n", "sum"), ("n", "count"), ("x", "mean"), ("x", "max")]).sort_by("k").to_pydict()
group_lists: table.group_by("k", use_threads=False).aggregate([("n", "list"), ("n", "stddev"), ("n", "first")]).to_pydict()
joins: table.join(pa.table({"k": ["a", "z"], "w": [1, 2]}), "k", join_type="left outer", use_threads=False).sort_by("n").to_pydict()
tables: table.schema, table.nbytes, table.slice(1, 2).to_pydict(), pa.concat_tables([table, table]).num_rows, table.select(["n"]).column(0).num_chunks, table.filter(pc.field("n") > 2).num_rows
to_pandas: table.to_pandas().to_string(), table.to_pandas().dtypes.to_dict(), pa.array([1, None]).to_pandas().dtype, pa.array([1, None]).to_pandas(integer_object_nulls=True).tolist()
to_pandas_types: pa.array([datetime.date(2024, 1, 1)]).to_pandas().dtype, pa.array([D("1.5")]).to_pandas()[0], pa.array([[1, 2]]).to_pandas()[0], pa.array(["a", "a"]).dictionary_encode().to_pandas().dtype
to_pandas_zones: pa.array([0], pa.timestamp("us", "Europe/Berlin")).to_pandas().dtype, pa.array([2**62], pa.timestamp("ms")).to_pandas()
mapped: table.to_pandas(types_mapper=pd.ArrowDtype).dtypes.to_dict(), table.to_pandas(types_mapper=pd.ArrowDtype).groupby("k").n.sum().to_dict()
from_pandas: pa.Table.from_pandas(frame).schema.remove_metadata(), pa.Table.from_pandas(frame, preserve_index=False).to_pydict(), pa.array(pd.Series([1.0, np.nan]), from_pandas=True), pa.array(pd.Series(pd.date_range("2024", periods=1, tz="Asia/Tokyo"))).type
mixed_objects: pa.array(pd.Series([1, "a"]))
numpy: pa.array(np.arange(3, dtype="u2")).type, pa.array([1, 2]).to_numpy(), pa.array([1, None]).to_numpy(zero_copy_only=False), np.asarray(pa.array([1.5])), pa.array(np.array([1, 2, 3])[::2])
zero_copy: pa.array([1, None]).to_numpy()
c_interface: [pa.Array._import_from_c_capsule(*a.__arrow_c_array__()) for a in (pa.array([1, None]), pa.array(["é", None]), pa.array([[1], []]), pa.array([{"a": 1}]))]
c_types: [pa.DataType._import_from_c_capsule(t.__arrow_c_schema__()) for t in (pa.decimal128(38, 18), pa.timestamp("us", "UTC"), pa.map_(pa.string(), pa.int8()), pa.dictionary(pa.int8(), pa.string()))]
c_table: pa.table(frame).equals(pa.table(pa.table(frame))), pa.record_batch(pa.record_batch({"a": [1, None]})).to_pydict(), pa.chunked_array(pa.chunked_array([[1], [2]])).num_chunks
c_batches: pa.RecordBatchReader.from_stream(table).read_all().equals(table), [type(c).__name__ for c in pa.array([1]).__arrow_c_array__()], pa.schema(table.schema.__arrow_c_schema__() and table.schema).names
streams: (lambda sink: ([w.write_table(table) for w in [pa.ipc.new_stream(sink, table.schema)]], pa.ipc.open_stream(sink.getvalue()).read_all().equals(table))[1])(pa.BufferOutputStream())
compressed: [pa.decompress(pa.compress(b"abc" * 50, c, asbytes=True), 150, c, asbytes=True) == b"abc" * 50 for c in ("lz4", "zstd")]
buffers: pa.array([1, None, 3]).buffers()[0].to_pybytes()[:1], pa.array(["a", "bc"]).buffers()[1].size, pa.array([True] * 9).nbytes, pa.py_buffer(b"abc").slice(1).to_pybytes()
large: pa.array(["a"], pa.large_string()).type, pa.array([[1]], pa.large_list(pa.int32())).nbytes, pa.array(["a"], pa.string_view()), pa.array([b"ab"], pa.binary(2))
unions: pa.UnionArray.from_sparse(pa.array([0, 1], "i1"), [pa.array([1, 2]), pa.array(["a", "b"])]), pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]).to_pylist()
scalars: pa.scalar(1) == pa.scalar(1), pa.scalar({"a": [1]}).as_py(), pa.scalar(datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)), hash(pa.scalar(1)) == hash(pa.scalar(1)), pa.scalar(float("nan")).equals(pa.scalar(float("nan")))
expressions: table.filter((pc.field("n") > 1) & pc.field("k").is_valid()).to_pydict(), pa.array([1, 2, 3]).filter(pc.equal(pa.array([1, 2, 3]), 2))
user_functions: pc.call_function("add", [pa.array([1]), 2]), pc.get_function("sum").kind, pc.min_element_wise(1, pa.scalar(None, "i8"), 3, skip_nulls=True)
no_function: pc.call_function("no_such", [pa.array([1])])
kernel_types: pc.add(pa.array([1]), pa.array(["a"]))
pickled: pickle.loads(pickle.dumps(table)).equals(table), pickle.loads(pickle.dumps(pa.schema([("a", pa.decimal128(5, 2))])))
validate: table.validate(full=True), pa.array(["é"]).cast("binary").cast("string").validate(full=True)
bad_text: pa.array([b"\\xff"]).cast("string")
index_error: pa.array([1])[5]
threads: pa.cpu_count() > 0, pc.sum(pa.chunked_array([list(range(50_000))] * 3)), table.to_pandas(use_threads=False).shape
""".strip()  # noqa: E501


def evaluate(lines):
    """Runs in the executor: the text of each expression's value, or of its error."""
    import datetime
    import decimal
    import io
    import pickle
    import re
    import warnings

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    data = {"k": ["a", "b", "a", None, "b"], "n": [1, 2, 3, 4, 5], "x": [0.5, 1.5, None, 3.5, 4.0]}
    table = pa.table(data)
    frame = pd.DataFrame(data)
    other = pd.DataFrame({"k": ["a", "c", "a"], "w": [10, 20, 30]})
    stamp = pa.scalar(datetime.datetime(2024, 2, 29, 13, 14, 15, 123456))

    names = dict(np=np, pd=pd, pa=pa, pc=pc, io=io, pickle=pickle, datetime=datetime, D=decimal.Decimal, table=table)
    names |= dict(frame=frame, other=other, stamp=stamp)
    found = []
    for line in lines:
        name, _, expression = line.partition(": ")
        try:
            value = eval(expression, names)
            parts = value if isinstance(value, tuple) else (value,)
            found.append(f"{name}: {' | '.join(re.sub(' at 0x[0-9a-f]+', '', repr(part)) for part in parts)}")
        except Exception as e:
            found.append(f"{name}: {type(e).__module__}.{type(e).__name__}: {e}")
    return found


def _asked(lines):
    def run(spark):
        return spark.sparkContext.parallelize([lines], 1).map(evaluate).collect()[0]

    run.__module__ = __name__
    return run


for _library, _text in {"numpy": NUMPY, "pandas": PANDAS, "arrow": ARROW}.items():
    _lines = _text.splitlines()
    for _i in range(0, len(_lines), 4):
        _some = _lines[_i : _i + 4]
        # They are the same with every Spark.
        case("default", since="4.1", name=f"{_library}_{_some[0].partition(':')[0]}_and_on")(_asked(_some))

case("default", since="4.1", name="index_types", differs="an index is an int32 in the guest")(
    _asked(INDEX.splitlines())
)
