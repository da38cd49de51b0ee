"""Stands between Meson and clang: an extension module is not linked on its own here.

Meson links every extension module with -shared. The image has no dynamic loader: the objects are
linked into its one module later (packages.py collects them), so the shared library becomes an
empty file. Meson also groups libraries for every linker that speaks like GNU's; wasm-ld does so
by itself and refuses the flags.
"""
import os
import pathlib
import sys

if "-shared" in sys.argv:
    pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).touch()
else:
    os.execv(sys.argv[1], [a for a in sys.argv[1:] if a not in ("-Wl,--start-group", "-Wl,--end-group")])
