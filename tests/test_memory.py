"""Freed memory stays with the process: a second use of it costs no page faults."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from liveness.memory import keep_freed_memory

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
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
def test_a_second_use_of_freed_memory_costs_no_page_faults():
    assert faults(keep=True) < 0.05 * PAGES
    assert faults(keep=False) > 0.5 * PAGES
