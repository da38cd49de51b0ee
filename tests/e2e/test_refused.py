"""What only Davy does: what a sandbox refuses, which limits it meets, how its plans look.  The text is
pinned, and after each attempt the same session runs a normal job correctly."""

from __future__ import annotations

import ast
import re

import pytest

from harness import registry


def denied(what: str, call: str) -> str:
    return rf"PermissionError: {what} is not granted to this sandbox: {call}\(\) was called\. What to do: .+\."


NO_ACCESS = (
    r"PermissionError: \[Errno \d+\] access is not granted to this sandbox "
    r"\(spark\.davy\.grant\.read and spark\.davy\.grant\.write name the host directories to grant\): '{path}'"
)
NOT_PERMITTED = r"PermissionError: \[Errno \d+\] .+"
NO_THREAD = r"RuntimeError: can't start new thread: this sandbox runs one thread\. What to do: .+\."
PROCESS = "starting a process"
FOREIGN = "calling foreign code"
DEADLINE = (
    r"limit exceeded: deadline: the task may run 4000 ms and ran [4-9]\d{3} ms\. "
    r"Make the task smaller \(more partitions\), or raise spark\.davy\.deadline"
)
VERSION = (
    r"pyspark\..*PySparkRuntimeError: \[PYTHON_VERSION_MISMATCH\] Davy's image holds Python 3\.11 and the driver runs "
    r"Python {driver}: their byte code differs\. What to do: .+"
)
MEMORY = (
    r"limit exceeded: memory: 192\.0 MiB allowed, \d+\.\d MiB used, \d+\.\d MiB asked in all\. "
    r"Give the task less data \(more partitions\), or raise spark\.davy\.memory"
)
# Of what 32-bit pointers cannot serve: the host was not asked.
PIECE = (
    r"limit exceeded: memory: less than 2\.0 GiB allowed in one piece inside a sandbox, more asked\. "
    r"Give the task less data at once \(more partitions, smaller batches\)"
)
# Of a worker that had no memory left to tell of it.
OUT_OF_MEMORY = (
    r"limit exceeded: memory: 192\.0 MiB allowed, \d+\.\d MiB used, \d+\.\d MiB asked in all\. "
    r"Raise .+ spark\.davy\.memory"
)
DISK = (
    r"limit exceeded: disk: 64\.0 MiB of files allowed, 6[45]\.\d MiB asked\. "
    r"Remove temporary files when they are done with, or raise spark\.davy\.scratchBytes"
)
ENDED = r"the Python code ended its interpreter with exit code {code} \(os\._exit, or a fatal error; .+\)\. .+"

# The case, and a pattern that its last line must match in full.
SAID = {
    "refused.read_passwd": NO_ACCESS.format(path="/etc/passwd"),
    "refused.read_proc": NO_ACCESS.format(path="/proc/self/environ"),
    "refused.read_relative_escape": NOT_PERMITTED,
    "refused.list_root": NO_ACCESS.format(path="/"),
    "refused.list_home": NO_ACCESS.format(path="/root"),
    "refused.change_directory": NO_ACCESS.format(path="/etc"),
    "refused.write_outside": NO_ACCESS.format(path="/var/davy-escape"),
    "refused.write_beside_files": NOT_PERMITTED,
    "refused.archive_outside": NOT_PERMITTED,
    "refused.tamper_with_image": NOT_PERMITTED,
    "refused.symlink_out": NOT_PERMITTED,
    "refused.hard_link_out": NO_ACCESS.format(path="/etc/passwd"),
    "refused.host_environment": r"allowed: \[\]",
    "refused.use_socket": denied("network access", r"socket\.getaddrinfo"),
    "refused.resolve_name": denied("network access", r"socket\.gethostbyname"),
    "refused.use_urllib": r"urllib\.error\.URLError: <urlopen error network access is not granted to this sandbox: .+>",
    "refused.run_subprocess": denied(PROCESS, r"subprocess\.run"),
    "refused.run_os_system": denied(PROCESS, r"os\.system"),
    "refused.run_fork": denied(PROCESS, r"os\.fork"),
    "refused.run_exec": denied(PROCESS, r"os\.execv"),
    "refused.pipe": denied(PROCESS, r"subprocess\.Popen"),
    "refused.use_multiprocessing": denied(PROCESS, r"multiprocessing\.Process\.start"),
    "refused.start_thread": NO_THREAD,
    "refused.start_pool": NO_THREAD,
    "refused.load_library": denied(FOREIGN, r"ctypes\.CDLL"),
    "refused.read_memory": denied(FOREIGN, r"ctypes\.string_at"),
    "refused.signal_parent": denied("signalling a process", r"os\.kill"),
    "refused.barrier": (
        r"RuntimeError: Davy cannot serve a barrier task's barrier\(\) or allGather\(\) here: "
        r"Spark offers it on a network port, .+"
    ),
    "refused.call_back_elsewhere": r"PermissionError: \[Errno 13\] .+",
    "refused.call_back_to_a_port": r"PermissionError: \[Errno 13\] .+",
    "refused.orc": r"ModuleNotFoundError: No module named 'pyarrow\._orc': the pyarrow of this image does not hold .+",
    "refused.package_not_in_the_image": r"ModuleNotFoundError: No module named 'scipy': this image does not hold .+",
    "refused.native_module": (
        r"ImportError: swiftsums\._sums of the package swiftsums is machine code for another processor \(.+ "
        r"which cannot run inside the sandbox\. What to do: bring a pure-Python release of swiftsums, or "
        r"build an image .+"
    ),
    "refused.another_python_version": VERSION.format(driver=r"3\.12"),
    "refused.another_python_version_in_a_udf": VERSION.format(driver=r"3\.10"),
    "refused.left_behind_for_another_session": r"allowed: \{None\}",
    "brought_along.sklearn": (
        r"ImportError: sklearn\._lib\._ccallback_c of the package sklearn is machine code for another processor \(.+ "
        r"What to do: bring a pure-Python release of sklearn, or build an image that holds it .+"
    ),
    "brought_along.a_part_that_lxml_lacks": r"ModuleNotFoundError: No module named 'lxml\.etree'",
    "brought_along.numpy": r"allowed: \('2\.4\.\d+', 6\)",
    "brought_along.numpy_imported_from_there": (
        r"ImportError: numpy\._of_another_release of the package numpy is machine code for another processor \(.+ "
        r"What to do: the image has numpy 2\.4\.\d+ of its own: leave numpy out of what the job brings along\."
    ),
    "brought_along.environment_of_another_python": (
        r"pyspark\..*PySparkRuntimeError: \[PYTHON_VERSION_MISMATCH\] The environment .+ holds packages for Python "
        r"3\.12, and Davy's image holds Python 3\.11\. What to do: pack an environment of Python 3\.11, or .+"
    ),
    "kernels_refused.repeated_text": MEMORY,
    "kernels_refused.joined_text": MEMORY,
    "kernels_refused.replaced_text": OUT_OF_MEMORY,
    "kernels_refused.text_of_3_gib": PIECE,
    "kernels_refused.text_of_8_gib": PIECE,
    "kernels_refused.list_of_4_gib": PIECE,
    "kernels_refused.numbers_of_8_gib": PIECE,
    "kernels_refused.own_memory_error": "MemoryError: of the script's own",
    "kernels_refused.column_of_3_gib_of_text": PIECE,
    "kernels_refused.arrow_column_of_2_gib_of_text": PIECE,
    "hostile.endless_loop": DEADLINE,
    "hostile.endless_sleep": DEADLINE,
    "hostile.endless_regex": DEADLINE,
    "hostile.endless_catching": DEADLINE,
    "hostile.endless_generator": DEADLINE + "|" + r"limit exceeded: output: 8388608 bytes allowed, .+",
    "hostile.cpu_time": r"limit exceeded: cpu time: the task may use 2000 ms and used [2-9]\d{3} ms\. .+",
    "hostile.memory_bomb": MEMORY,
    "hostile.memory_bomb_at_once": PIECE,
    # CPython's own word for running out of memory where it cannot make the MemoryError.
    "hostile.memory_bomb_of_small_objects": MEMORY + "|SystemError: error return without exception set",
    "hostile.memory_bomb_of_numpy": MEMORY,
    "hostile.memory_bomb_of_arrow": MEMORY,
    "hostile.memory_error_caught": "allowed: 'caught'",
    "hostile.too_much_output": (
        r"limit exceeded: output: 8388608 bytes allowed, \d+ bytes written\. "
        r"Return less from the task, or raise spark\.davy\.outputBytes"
    ),
    "hostile.os_exit": ENDED.format(code=1),
    "hostile.os_exit_zero": ENDED.format(code=0),
    "hostile.os_abort": r"the Python interpreter aborted \(os\.abort, or a fatal error; .+\)\. .+",
    "hostile.deep_c_recursion": DEADLINE + "|RecursionError: .+|" + MEMORY + "|" + OUT_OF_MEMORY,
    "hostile.null_pointer": denied(FOREIGN, r"ctypes\.cast"),
    "hostile.bad_bytecode": r"the guest broke its contract: wasm trap: .+",
    "hostile.close_descriptors": "allowed: 'closed'",
    "hostile.write_to_every_descriptor": r"allowed: \[\]",
    "hostile.break_the_worker": r".*Python worker exited unexpectedly.*|the Python code ended .+",
    "hostile.fill_scratch": DISK,
    "hostile.fill_scratch_with_small_files": DISK,
    "hostile.fill_scratch_with_removed_files": DISK,
    "hostile.use_scratch_again_and_again": "allowed: 'wrote 800 MB'",
    "hostile.nest_folders": r"the Python code stored files that cannot be counted \(.+File name too long.+\)\. .+",
    "hostile.many_open_files": (
        r"limit exceeded: open files: 256 allowed, 257 asked\. Close files after use, or raise spark\.davy\.openFiles"
    ),
    "hostile.error_text_with_a_lone_surrogate": r".*Python worker exited unexpectedly.*|ValueError: lone .+",
    "hostile.one_bad_task_among_good_ones": r"refused \[4950, 4950, 4950, 4950, 4950\]",
    "hostile.long_task_under_the_deadline": "16 True",
    "hostile.slow_call": (
        r"limit exceeded: deadline of a call: the function may run 2000 ms until it takes more input or gives results, "
        r"and ran [2-9]\d{3} ms\. Give the function less at once \(.+\), or raise spark\.davy\.deadline\.call"
    ),
    "hostile.short_calls_of_a_long_task": "10 True",
    "columnar.plans_have_davys_nodes": (
        r"\[\['DavyArrowEvalPython'\], \['DavyMapInBatch'\], \['DavyMapInBatch'\]\] "
        r"\[\['ArrowEvalPython'\], \['MapInPandas'\], \['MapInArrow'\]\]"
    ),
    "columnar.plans_make_rows_in_blocks_for_parents_that_compute_nothing": (
        r"\{'driver': \['DavyColumnarToRow'\], 'renamed': \['DavyColumnarToRow'\], "
        r"'shuffle': \['DavyColumnarToRow'\], 'computed': \['ColumnarToRow'\], "
        r"'chained': \['DavyColumnarToRow', 'ColumnarToRow'\], 'nested': \['ColumnarToRow', 'ColumnarToRow'\]\}"
    ),
    "columnar.plans_have_davys_nodes_of_groups": (
        r"\[\['DavyFlatMapGroups'\], \['DavyFlatMapGroups'\], \['DavyFlatMapCoGroups'\], "
        r"\['DavyFlatMapCoGroups'\], \['DavyAggregatePython'\]\] "
        r"\[\['FlatMapGroupsInPandas'\], \['FlatMapGroupsInArrow'\], \['FlatMapCoGroupsInPandas'\], "
        r"\['FlatMapCoGroupsInArrow'\], \['ArrowAggregatePython'\]\]"
    ),
    "columnar.plans_have_davys_nodes_of_windows": (
        r"\[(\['DavyWindowPython'\](, )?){4}\] \[(\['ArrowWindowPython'\](, )?){4}\]"
    ),
    "columnar.plans_have_davys_nodes_of_table_functions": (
        r"\[(\['DavyUdtfPython'\](, )?){3}\] \[(\['ArrowEvalPythonUDTF'\](, )?){3}\] \[0, 1, 2\]"
    ),
    "columnar.functions_without_arguments": (
        r"\['ArrowEvalPythonUDTF'\] \['a function without arguments'\] \[\(1,\)\]"
    ),
    "columnar.no_stream_is_written_of_windows": r"\[False, False\] \[True, True\]",
    "columnar.no_stream_is_read_of_table_functions": r"\[0\] \[True\]",
    "columnar.figures_of_windows_and_table_functions": (
        r"\[\('DavyWindowPython', \[20000, 3, 3\], 20000, True\), "
        r"\('DavyUdtfPython', \[20000, 2, [1-9]\d{1,3}\], 40000, True\)\]"
    ),
    "columnar.no_stream_is_read_of_groups": r"\{0\}",
    "columnar.plans_say_what_was_left_and_why": (
        r"\[\['a column of type interval'\], \['a column of type interval'\], "
        r"\['a function without arguments'\], \[\]\] \[\[\], \[\], \[\], \[\]\]"
    ),
    "columnar.plans_say_why_of_state_and_of_sources": (
        r"\[\['(a Python data source, .+?)'\], \['\1'\], \['state, which the function asks Spark for .+', '\1'\]\] "
        r"\[\[1, 2\], \[2, 3\], \[11, 21\]\]"
    ),
    "columnar.plans_name_the_functions": (
        r".*DavyArrowEvalPython \[plus_one\(id#\w+\)#\w+\], SQL_SCALAR_PANDAS_UDF, through linear memory"
    ),
    "columnar.no_stream_is_read": r"\{0\} \{True\}",
    "columnar.types_that_arrow_does_not_hold": (
        r"\['ArrowEvalPython'\] \['a column of type interval'\] "
        r"\[\(0, 1, '1 months'\), \(1, 2, '1 months 1 days'\), \(2, 3, '1 months 2 days'\)\]"
    ),
    "columnar.nothing_is_left_of_rows_that_multiply": r"\[1, 0, 1, 0, True, 0, 8000\]",
    "columnar.nothing_is_left_allocated": (
        r"\[0, 0, 0, True, 0, 5000, 0, 0, 0, 0, 0, 0, 0, 0, 'PythonException', 0, 'PythonException', 0\]"
    ),
    "columnar.tasks_end_early_on_reused_workers": "42 of 42, 0 bytes left",
    "columnar.limits_in_the_figures_of_a_node": (
        r"\[\('well', 2\), \('well', 2\), \('well', 0\), \('MemoryError', True\)\]"
    ),
    "columnar.settings_hold_below_a_shuffle_of_an_rdd": (
        r"\[\[2, 2, 2, 2, 3, 3, 3, 3, 3, 3\], \[2, 2, 2, 2, 3, 3, 3, 3, 3, 3\], \[2, 2, 3, 3, 3\]\]"
    ),
    "columnar.figures_of_a_node": "100000 rows, 10 batches, True",
    "columnar.a_lie_about_a_batch": (
        r"the guest broke its contract: its batch is wrong: 60 bytes at 0x\w+ are outside its memory"
    ),
    "columnar.lies_about_results_that_come_together": " \\| ".join(
        f"the guest broke its contract: it sent {what}"
        for what in (
            r"3 rows as results of \[7\]",
            r"3 rows as results of \[-4, 7\]",
            r"3 rows as results of \[\]",
            "-1 results as one batch",
            "2147483647 results as one batch",
            "the frame 9 among its batches",
        )
    ),
    "lying_streams.lies_on_the_byte_channel": (
        "the guest broke its contract: text in its Arrow stream goes from byte 0 to byte 1073741824, of 3"
    ),
    "lying_streams.lengths_of_frames": (
        r"(the code sends 2048\.0 MiB in one piece, and half of the executor's heap is \d+\.\d MiB\. Give .+ \| ){2}"
        r".*NegativeArraySizeException: -5.*"
    ),
    "lying_streams.lengths_in_arrow_streams": r" \| ".join(
        [
            r"the code sends an Arrow message with 2048\.0 MiB of metadata, and \d+\.\d MiB are taken\. Give .+",
            "the guest broke its contract: a message of its Arrow stream has -5 bytes of metadata",
            r"the code sends a batch of 1048576\.0 MiB, and a sandbox holds 4096\.0 MiB at most\. Give smaller batches",
            "the guest broke its contract: a batch of its Arrow stream has -8 bytes",
            r"Python worker exited unexpectedly \(crashed\).*",
            "the guest broke its contract: a column in its Arrow stream has 2147483647 values of 64 bits, in 24 bytes",
            "the guest broke its contract: a list in its Arrow stream goes from value 0 to value 500000000, of 3",
            "expected more bytes in input stream",
        ]
    ),
    "lying_streams.lengths_of_requests_for_state": (
        r"ValueError: the code sends 2048\.0 MiB in one piece, and half of the executor's heap is \d+\.\d MiB\. Give .+"
    ),
    "lying_streams.lies_in_a_stream_of_results": " \\| ".join(
        [
            *["the guest broke its contract: text in its Arrow stream goes from byte 0 to byte 1073741824, of 3"] * 4,
            "the guest broke its contract: a message of its stream of results has 2147483647 bytes",
            "the guest broke its contract: a message of its stream of results has -1 bytes",
            ".+Python worker exited unexpectedly.+",
            "the guest broke its contract: what it wrote as a stream of results is none",
        ]
    ),
    "columnar.a_batch_that_was_not_put": r"OSError: \[Errno \d+\] Invalid argument",
    "columnar_nodes.no_stream_in_the_guest": r"\[(0(, )?){23}\] \[([23](, )?){23}\]",
    "columnar_nodes.no_stream_in_the_jvm": r"\{False\} True",
    "columnar_nodes.plans_of_every_node": r"23 kinds, 7 nodes, \[\]",
    # Every kind: rows and batches each way, and no figure that is zero.
    "columnar_nodes.figures_of_every_node": r"\[(\('\w+', (600|1200), \d+, \d+, \[\]\)(, )?){23}\]",
    "columnar_nodes.limits_in_the_figures_of_every_node": r"\[([12](, )?){23}\] \[(0(, )?){23}\]",
}

# What the executor's log says beside that.
LOGGED = {
    "brought_along.numpy": (
        r"Davy: \S+/numpy-9\.9\.zip holds packages that the image has of its own\. "
        r"Its own are used: numpy 2\.4\.\d+\.\n"
    ),
}


def last_line(said: str) -> str:
    """What the user reads last: less Spark's own words around it."""
    lines = [line for line in said.splitlines() if not re.match(r"\s*(SQLSTATE|$)", line)]
    return lines[-1].split("davy.DavyException: ")[-1]


@pytest.mark.parametrize("name", sorted(registry.load(registry.DAVY_MODULES)))
def test_refused(name, jobs):
    out = jobs.result("refused").by_case[name]
    value = ast.literal_eval(out["value"])
    assert value["alive"], "the session could not run a job after it"
    assert re.fullmatch(SAID[name], last_line(value["said"])), value["said"]
    assert re.search(LOGGED.get(name, ""), jobs.result("refused").log)
