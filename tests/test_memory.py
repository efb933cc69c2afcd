"""Freed memory stays with the process: a second use of it costs no page faults."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from liveness.cli import ROOT

resource = pytest.importorskip("resource")

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
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
    done = subprocess.run(
        command, check=True, capture_output=True, cwd=ROOT, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
@pytest.mark.skipif(
    HUGE_PAGES.exists() and "[always]" in HUGE_PAGES.read_text(),
    reason="huge pages hide the faults",
)
def test_a_second_use_of_freed_memory_costs_no_page_faults():
    assert faults(keep=True) < 0.05 * PAGES
    assert faults(keep=False) > 0.5 * PAGES
