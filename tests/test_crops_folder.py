"""The dataset folder: numbers, rows, and what a failure leaves behind."""

import csv
import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from liveness.data.crops_folder import DatasetFolder, source_of, spool_in
from liveness.data.crops_table import FaceCrop
from liveness.data.dataset import read_dataset, read_table
from liveness.errors import DatasetError, OutputError
from liveness.io.files import walk
from liveness.io.images import read_image, write_image

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "a.mp4#0123456789ab"
CROP_COLUMNS = ["file", "source", "frame", "time_s", "x_min", "y_min", "x_max", "y_max"]
CROP_COLUMNS += ["confidence", "scale"]


def crops(tmp_path, count):
    spool = Path(tempfile.mkdtemp(dir=tmp_path))
    faces = []
    for n in range(1, count + 1):
        write_image(spool / f"{n}.png", np.full((8, 8, 3), 9, np.uint8))
        box = (1, 2, 3, 4)
        faces.append(FaceCrop(16 * n, n / 2, box, 0.98765, 2.7, spool / f"{n}.png"))
    return faces


def rows_of(folder):
    with (folder / "crops.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_numbers_continue_after_the_highest(tmp_path):
    folder = tmp_path / "dataset" / "real"
    folder.mkdir(parents=True)
    for name in ("7.png", "x.png", "08 copy.png", "99.jpg"):
        (folder / name).touch()
    dataset = DatasetFolder(folder)
    assert dataset.add(SOURCE, crops(tmp_path, 2)) == 2
    assert dataset.add("b.mp4#ffff", crops(tmp_path, 1)) == 1
    rows = rows_of(folder)
    assert [row["file"] for row in rows] == ["8.png", "9.png", "10.png"]
    assert list(rows[0]) == CROP_COLUMNS
    assert rows[1] == {
        **{"file": "9.png", "source": SOURCE, "frame": "32", "time_s": "1.000"},
        **{"x_min": "1", "y_min": "2", "x_max": "3", "y_max": "4"},
        **{"confidence": "0.9877", "scale": "2.7"},
    }
    assert all(read_image(folder / row["file"]).shape == (8, 8, 3) for row in rows)


def test_source_is_known_by_content(tmp_path):
    (tmp_path / "sub").mkdir()
    first, same, other = (tmp_path / n for n in ("a.mp4", "b.mp4", "sub/a.mp4"))
    first.write_bytes(b"x" * 3_000_000)
    same.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 2_999_999 + b"y")
    dataset = DatasetFolder(tmp_path / "out")
    dataset.add(source_of(first), crops(tmp_path, 1))
    again = DatasetFolder(tmp_path / "out")
    assert source_of(first).startswith("a.mp4#")
    assert again.has(source_of(same))
    assert not again.has(source_of(other))


def test_failure_takes_back_what_was_written(tmp_path):
    dataset = DatasetFolder(tmp_path / "out")
    dataset.add("b.mp4#ffff", crops(tmp_path, 1))

    def interrupted():
        yield from crops(tmp_path, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.add(SOURCE, interrupted())
    names = sorted(path.name for path in dataset.folder.iterdir())
    assert names == ["1.png", "crops.csv"]
    assert len(rows_of(dataset.folder)) == 1


def test_full_disk_is_one_error_and_leaves_no_row(tmp_path, monkeypatch):
    dataset = DatasetFolder(tmp_path / "out")
    calls = []

    def full_at_second(source, path):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        source.rename(path)

    monkeypatch.setattr("liveness.data.crops_folder.move_new", full_at_second)
    with pytest.raises(OutputError, match=r"no space left.*'a\.mp4' was saved"):
        dataset.add(SOURCE, crops(tmp_path, 3))
    assert not list(dataset.folder.iterdir())


def test_torn_last_line_is_removed(tmp_path):
    dataset = DatasetFolder(tmp_path / "out")
    dataset.add(SOURCE, crops(tmp_path, 1))
    with (dataset.folder / "crops.csv").open("a") as file:
        file.write("2.png,b.mp4#ff")
    DatasetFolder(dataset.folder).add("c.mp4#cccc", crops(tmp_path, 1))
    assert [row["file"] for row in rows_of(dataset.folder)] == ["1.png", "2.png"]


SAVED_AGAIN = {  # what spreadsheet programs and editors make of a table
    "mark": lambda text: text.encode("utf-8-sig"),
    "Windows lines": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "old Mac lines": lambda text: text.replace("\n", "\r").encode(),
    "semicolons": lambda text: text.replace(",", ";").encode("utf-8-sig"),
    "tabs": lambda text: text.replace(",", "\t").encode(),
}


@pytest.mark.parametrize("how", SAVED_AGAIN)
def test_a_table_that_was_saved_again_is_read_and_grows(tmp_path, how):
    folder = tmp_path / "out/real"
    DatasetFolder(folder).add(SOURCE, crops(tmp_path, 2))
    table = folder / "crops.csv"
    saved = SAVED_AGAIN[how](table.read_text())
    table.write_bytes(saved)

    again = DatasetFolder(folder)
    assert again.has(SOURCE) and table.read_bytes() == saved
    again.add("b.mp4#ffff00001111", crops(tmp_path, 1))

    assert table.read_bytes().startswith(saved)
    assert DatasetFolder(folder).has("b.mp4#ffff00001111")
    columns, rows = read_table(table)
    assert list(columns) == CROP_COLUMNS
    assert [row["file"] for row in rows] == ["1.png", "2.png", "3.png"]
    assert [row["scale"] for row in rows] == ["2.7"] * 3
    write_image(folder / "1.png", np.zeros((32, 32, 3), np.uint8))
    samples = read_dataset([tmp_path / "out"])
    assert {sample.crop_scale for sample in samples} == {2.7}


def test_a_last_row_without_a_line_end_stays(tmp_path):
    """As an editor leaves it; a torn one lacks fields or a part of the scale."""
    dataset = DatasetFolder(tmp_path / "out")
    dataset.add(SOURCE, crops(tmp_path, 2))
    table = dataset.folder / "crops.csv"
    table.write_bytes(table.read_bytes().rstrip(b"\n"))

    DatasetFolder(dataset.folder).add("b.mp4#ffff00001111", crops(tmp_path, 1))

    rows = rows_of(dataset.folder)
    assert [row["file"] for row in rows] == ["1.png", "2.png", "3.png"]
    assert [row["scale"] for row in rows] == ["2.7"] * 3


@pytest.mark.parametrize("lost", [1, 2, 8])
def test_a_row_that_lacks_an_end_is_torn(tmp_path, lost, caplog):
    dataset = DatasetFolder(tmp_path / "out")
    dataset.add(SOURCE, crops(tmp_path, 2))
    table = dataset.folder / "crops.csv"
    table.write_bytes(table.read_bytes().rstrip(b"\n")[:-lost])

    DatasetFolder(dataset.folder).add("b.mp4#ffff00001111", crops(tmp_path, 1))

    assert [row["file"] for row in rows_of(dataset.folder)] == ["1.png", "3.png"]
    assert "torn last line" in caplog.text


def test_a_row_that_is_torn_within_a_letter(tmp_path):
    dataset = DatasetFolder(tmp_path / "out")
    dataset.add(SOURCE, crops(tmp_path, 1))
    with (dataset.folder / "crops.csv").open("ab") as file:
        file.write("2.png,ü".encode()[:-1])

    DatasetFolder(dataset.folder).add("b.mp4#ffff00001111", crops(tmp_path, 1))

    assert [row["file"] for row in rows_of(dataset.folder)] == ["1.png", "2.png"]


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00bad\n"])
def test_foreign_csv_is_refused(tmp_path, content):
    (tmp_path / "crops.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=r"crops\.csv"):
        DatasetFolder(tmp_path)
    assert (tmp_path / "crops.csv").read_bytes() == content


def test_output_that_is_a_file(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot write to output folder"):
        DatasetFolder(tmp_path / "out")


def test_source_with_a_name_that_is_not_utf_8(tmp_path):
    name = "caf\udce9.mp4"  # as Python gives a Latin-1 name of a file on Linux
    dataset = DatasetFolder(tmp_path / "out")
    assert dataset.add(f"{name}#abcd", crops(tmp_path, 1)) == 1
    assert rows_of(dataset.folder)[0]["source"] == "caf\\udce9.mp4#abcd"
    assert DatasetFolder(dataset.folder).has("another.mp4#abcd")


def test_crop_takes_the_place_of_nothing(tmp_path):
    one, other = DatasetFolder(tmp_path / "out"), DatasetFolder(tmp_path / "out")
    one.add("a.mp4#aaaa", crops(tmp_path, 2))
    before = (one.folder / "1.png").stat()
    (one.folder / "4.png").mkdir()
    assert other.add("b.mp4#bbbb", crops(tmp_path, 2)) == 2
    rows = rows_of(one.folder)
    assert [row["file"] for row in rows] == ["1.png", "2.png", "5.png", "6.png"]
    assert (one.folder / "1.png").stat() == before
    assert len(list(one.folder.iterdir())) == 6  # with the folder and crops.csv


def test_second_collector_is_refused_until_the_first_has_ended(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from liveness.data.crops_folder import DatasetFolder\n"
        "with DatasetFolder(Path(sys.argv[1])):\n"
        "    print(flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        first.stdout.readline()
        with pytest.raises(OutputError, match="another run is writing to"):
            with DatasetFolder(folder):
                pass
    finally:
        first.kill()
        first.communicate()
    with DatasetFolder(folder) as dataset:  # a killed run holds nothing
        assert dataset.add(SOURCE, crops(tmp_path, 1)) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["1.png", "crops.csv"]


def test_what_was_written_before_the_lock_is_known(tmp_path):
    late = DatasetFolder(tmp_path / "out")
    with DatasetFolder(tmp_path / "out") as first:
        first.add(SOURCE, crops(tmp_path, 2))
    with late:
        assert late.has(SOURCE)
        late.add("b.mp4#bbbb", crops(tmp_path, 1))
    assert [row["file"] for row in rows_of(late.folder)][-1] == "3.png"


def test_a_spool_ends_with_its_block_and_takes_old_ones_with_it(tmp_path):
    killed = tmp_path / ".collecting-abcd"
    killed.mkdir()
    (killed / "0-16.png").write_bytes(b"crop")
    with DatasetFolder(tmp_path) as dataset, spool_in(tmp_path) as spool:
        assert not killed.exists() and spool.parent == tmp_path
        (spool / "0.png").write_bytes(b"crop")
        assert not list(walk(tmp_path))  # no reader takes it for a crop
        (spool / "0.png").unlink()
        (spool / "1.png").write_bytes(b"crop")
        crop = FaceCrop(1, 0.0, (1, 2, 3, 4), 1.0, 2.7, spool / "1.png")
        assert dataset.add(SOURCE, [crop]) == 1
        assert not list(spool.iterdir())  # moved, not copied
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "crops.csv"]
