"""Freed memory stays with the process: a second use of it costs no page faults."""

import platform
import subprocess
import sys

import pytest

from liveness.constants import ROOT

resource = pytest.importorskip("resource")

PROGRAM = """
import ctypes
import resource
from liveness.processes import keep_freed_memory

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: they hide the faults
if {keep}:
    keep_freed_memory()
def use():
    for size in (40_000_000, 3_000_000, 90_000_000):
        b"x" * size
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 133_000_000 // resource.getpagesize()


def faults(*, keep: bool) -> int:
    command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    done = subprocess.run(
        command, check=True, capture_output=True, cwd=ROOT, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_a_second_use_of_freed_memory_costs_no_page_faults():
    assert faults(keep=True) < 0.05 * PAGES
    assert faults(keep=False) > 0.5 * PAGES
