"""Puts the harness and the cases on the path, whoever starts pytest."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
