"""Dataset folders as samples: labels, sources, crops, and honest splits."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from liveness.data.dataset import (
    Sample,
    crop_at_scale,
    describe,
    files_of,
    read_crop,
    read_dataset,
    require_both_labels,
    split_samples,
)
from liveness.errors import DatasetError, ImageError

COLUMNS = "file,source,frame,time_s,x_min,y_min,x_max,y_max,confidence,scale"
LIST_COLUMNS = ("path", "site", "label", "attack", "group")


def put(root, *names, side=32):
    """Grey pictures under these names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((side, side, 3), 90, np.uint8))
    return root


def put_rows(folder, *rows, columns=COLUMNS):
    (folder / "crops.csv").write_text("\n".join([columns, *rows, ""]))


def row(name, source="a.mp4#1", frame=16, scale=2.7):
    return f"{name},{source},{frame},0.5,1,2,11,12,0.99,{scale}"


def put_list(root, rows, columns=LIST_COLUMNS):
    root.mkdir(exist_ok=True)
    with (root / "crops.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return root


def samples_of(label, source, count, *, site=".", first=0):
    return [
        Sample(
            path=f"{site}/{label}/{source}/{n}",
            label=label,
            attack="" if label == "real" else "print",
            site=site,
            source=source,
            frame=n,
        )
        for n in range(first, first + count)
    ]


class TestTree:
    @pytest.mark.parametrize(
        ("name", "label", "attack", "site"),
        [
            ("real/1.png", "real", "", "."),
            ("fake/1.png", "fake", "attack", "."),
            ("fake/print/7.png", "fake", "print", "."),
            ("fake/print/matt/7.jpg", "fake", "print/matt", "."),
            ("real/indoors/7.png", "real", "", "."),
            ("lab/real/1.png", "real", "", "lab"),
            ("lab/anna/fake/replay/1.png", "fake", "replay", "lab/anna"),
            ("real/fake/1.png", "fake", "attack", "real"),  # the nearest counts
        ],
    )
    def test_label_is_the_nearest_folder_of_that_name(
        self, tmp_path, name, label, attack, site
    ):
        (sample,) = read_dataset([put(tmp_path, name)])

        assert (sample.label, sample.attack, sample.site) == (label, attack, site)
        assert sample.path == tmp_path / name
        assert sample.crop_scale is None
        assert sample.is_bona_fide == (label == "real")
        assert sample.collection == site.split("/")[0]

    def test_rows_give_source_frame_and_scale(self, tmp_path):
        put(tmp_path, "real/1.png", "real/2.png")
        put_rows(tmp_path / "real", row("1.png"), row("2.png", "b.mp4#2", 32, 1.5))

        first, second = read_dataset([tmp_path])
        assert (first.source, first.frame, first.crop_scale) == ("a.mp4#1", 16, 2.7)
        assert (second.source, second.frame, second.crop_scale) == ("b.mp4#2", 32, 1.5)

    def test_without_rows_the_folder_is_the_source(self, tmp_path):
        put(tmp_path, "real/1.png", "fake/print/1.png", "fake/screen/1.png")

        sources = {sample.source for sample in read_dataset([tmp_path])}
        assert sources == {"real", "fake/print", "fake/screen"}

    def test_other_files_are_ignored(self, tmp_path):
        put(tmp_path, "real/1.png", "real/.2.png", "real/10.png", "real/portrait ü.jpg")
        (tmp_path / "real/notes.txt").write_text("x")
        (tmp_path / "Thumbs.db").write_text("x")
        (tmp_path / "real/3.png").mkdir()

        names = [sample.path.name for sample in read_dataset([tmp_path])]
        assert names == ["1.png", "10.png", "portrait ü.jpg"]

    def test_picture_without_a_row_is_said(self, tmp_path, caplog):
        put(tmp_path, "real/1.png", "real/2.png")
        put_rows(tmp_path / "real", row("1.png"))

        first, second = read_dataset([tmp_path])
        assert (first.crop_scale, second.crop_scale) == (2.7, None)
        assert "1 of the pictures" in caplog.text
        assert "2.png" in caplog.text

    def test_pictures_without_a_table_are_said(self, tmp_path, caplog):
        put(tmp_path, "real/1.png", "fake/2.png")

        assert {one.crop_scale for one in read_dataset([tmp_path])} == {None}
        assert "2 of the pictures" in caplog.text
        assert "nothing but the face" in caplog.text

    @pytest.mark.parametrize("content", ["", "some words\n"])
    def test_a_table_of_something_else_is_refused(self, tmp_path, content):
        put(tmp_path, "real/1.png")
        (tmp_path / "real/crops.csv").write_text(content)

        with pytest.raises(DatasetError, match=r"crops\.csv' lacks the column 'file'"):
            read_dataset([tmp_path])

    @pytest.mark.parametrize(
        ("second", "said"),
        [
            ("a/fake", "is in the labels fake and real"),
            ("b/real", "is in the collections a and b"),
            ("a/real/more", ""),
        ],
    )
    def test_a_film_that_stands_for_two_is_said(self, tmp_path, caplog, second, said):
        put(tmp_path, "b#1/real/1.png", "c#1/real/1.png")  # no checksums
        for folder, name in (("a/real", "me.mp4"), (second, "renamed.mp4")):
            put(tmp_path, f"{folder}/1.png")
            put_rows(tmp_path / folder, row("1.png", f"{name}#4ee80f01bca1"))

        assert len(read_dataset([tmp_path])) == 4
        assert said in caplog.text
        assert bool(said) == ("honest" in caplog.text)

    def test_row_without_a_picture_is_ignored(self, tmp_path):
        put(tmp_path, "real/1.png")
        put_rows(tmp_path / "real", row("1.png"), row("gone.png"))

        assert len(read_dataset([tmp_path])) == 1

    @pytest.mark.parametrize(
        "damaged",
        [
            "1.png,a.mp4#1,16",
            "1.png,a.mp4#1,x,0.5,1,2,11,12,0.99,2.7",
            "1.png,a.mp4#1,16,0.5,1,2,11,,0.99,2.7",
            row("1.png", scale="nan"),
            row("1.png", scale="inf"),
            row("1.png", scale="0"),
            "1.png,a.mp4#1,16,0.5,11,2,11,12,0.99,2.7",
        ],
        ids=["torn", "frame", "box", "nan", "inf", "zero", "empty box"],
    )
    def test_damaged_row_is_one_clear_error(self, tmp_path, damaged):
        put(tmp_path, "real/1.png")
        put_rows(tmp_path / "real", damaged)

        with pytest.raises(DatasetError, match=r"damaged row for 1\.png.*again"):
            read_dataset([tmp_path])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"a,b\n1,2\n", "lacks the column 'file'"),
            (b"\xff\xfe\x00\x81file\n", "is not a CSV file"),
            (b"file\n" + b"x" * 200_000, "is not a CSV file"),
        ],
        ids=["foreign", "binary", "long"],
    )
    def test_foreign_table_is_refused(self, tmp_path, content, message):
        put(tmp_path, "real/1.png")
        (tmp_path / "real/crops.csv").write_bytes(content)

        with pytest.raises(DatasetError, match=message):
            read_dataset([tmp_path])

    def test_table_saved_by_a_spreadsheet_is_read(self, tmp_path):
        put(tmp_path, "real/1.png")
        text = f"\ufeff{COLUMNS}\r\n{row('1.png')}\r\n"
        (tmp_path / "real/crops.csv").write_text(text, encoding="utf-8")

        assert read_dataset([tmp_path])[0].crop_scale == 2.7

    def test_numbers_with_a_decimal_comma_are_read(self, tmp_path):
        put(tmp_path, "real/1.png")
        text = f"{COLUMNS}\n{row('1.png')}\n".replace(",", ";").replace("2.7", "2,7")
        (tmp_path / "real/crops.csv").write_text(text, encoding="utf-8")

        assert "2,7" in text
        assert read_dataset([tmp_path])[0].crop_scale == 2.7

    def test_several_roots_are_one_dataset(self, tmp_path):
        roots = [put(tmp_path / "a", "real/1.png"), put(tmp_path / "b", "fake/1.png")]

        assert [s.label for s in read_dataset(roots)] == ["real", "fake"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [("spoof/1.png", r"no folder named fake or real.*real/"), ("1.png", "real/")],
    )
    def test_other_trees_say_what_was_found(self, tmp_path, name, message):
        with pytest.raises(DatasetError, match=message) as error:
            read_dataset([put(tmp_path, name)])
        assert str(tmp_path / name) in str(error.value)

    def test_missing_and_empty_folders(self, tmp_path):
        with pytest.raises(DatasetError, match="no dataset folder"):
            read_dataset([tmp_path / "missing"])
        with pytest.raises(DatasetError, match="no pictures in folder"):
            read_dataset([tmp_path])


class TestList:
    ROWS = (
        ("a/1.png", "site1", "real", "", "anna"),
        ("a/2.png", "site1", "fake", "replay", "anna"),
        ("a/3.png", "site2", "fake", "", "ben"),
        ("a/4.png", "site2", "fake", "print/glossy", "ben"),
    )

    def test_rows_become_samples(self, tmp_path):
        real, replay, unnamed, glossy = read_dataset([put_list(tmp_path, self.ROWS)])

        assert real.path == tmp_path / "a/1.png"
        assert (real.label, real.attack, real.site) == ("real", "", "site1/anna")
        assert real.collection == "site1"
        assert (replay.label, replay.attack) == ("fake", "replay")
        assert unnamed.attack == "attack"
        assert glossy.attack == "print/glossy"
        assert real.crop_scale is None
        # People of one group film both: neither shares frames with the other.
        assert [real.source, replay.source] == ["site1/anna/real", "site1/anna/fake"]

    @pytest.mark.parametrize(
        ("rows", "columns", "message"),
        [
            (ROWS, ("path", "site", "label", "attack", "people"), "columns.*group"),
            ([("1.png", "s", "spoof", "", "g")], LIST_COLUMNS, "label 'spoof'"),
            ([("1.png", "s", "real")], LIST_COLUMNS, "too few fields in row 2"),
            ([], LIST_COLUMNS, "lists no pictures"),
            ([("1.png", "", "real", "", "g")], LIST_COLUMNS, "the site ''"),
            ([("1.png", "lab/a", "real", "", "")], LIST_COLUMNS, "site 'lab/a'"),
            ([("1.png", "s", "fake", "a/real", "")], LIST_COLUMNS, "attack 'a/real'"),
            ([("1.png", "s", "fake", "", "..")], LIST_COLUMNS, "group '..'"),
        ],
        ids=[
            *("column", "label", "short", "empty"),
            *("nameless", "two", "attack", "group"),
        ],
    )
    def test_wrong_list_is_refused(self, tmp_path, rows, columns, message):
        with pytest.raises(DatasetError, match=message):
            read_dataset([put_list(tmp_path, rows, columns)])


class TestCrops:
    def sample(self, path, scale=None):
        return Sample(path, "real", "", ".", "s", crop_scale=scale)

    def test_crop_of_the_collectors_is_taken_as_it_is(self, tmp_path):
        put(tmp_path, "1.png", side=40)

        assert read_crop(self.sample(tmp_path / "1.png", 2.7)).shape == (40, 40, 3)

    def test_bare_box_gets_black_surroundings(self, tmp_path):
        put(tmp_path, "1.png", side=40)

        crop = read_crop(self.sample(tmp_path / "1.png"))
        assert crop.shape == (108, 108, 3)
        assert (crop[34:74, 34:74] == 90).all()
        assert not crop[0].any()

    def test_crop_at_a_smaller_scale_is_the_centre(self, tmp_path):
        put(tmp_path, "1.png", side=54)

        assert crop_at_scale(self.sample(tmp_path / "1.png", 2.7), 1).shape[0] == 20
        assert crop_at_scale(self.sample(tmp_path / "1.png", 2.7), 2.7).shape[0] == 54

    def test_crop_that_shows_too_little_is_refused(self, tmp_path):
        put(tmp_path, "1.png")

        with pytest.raises(DatasetError, match=r"scale 1\.5, the model needs 2\.7"):
            crop_at_scale(self.sample(tmp_path / "1.png", 1.5), 2.7)

    @pytest.mark.parametrize("scale", [None, 2.7])
    def test_tiny_and_unreadable_pictures(self, tmp_path, scale):
        put(tmp_path, "tiny.png", side=15)
        (tmp_path / "empty.png").touch()
        (tmp_path / "text.jpg").write_text("hello")

        with pytest.raises(ImageError, match=r"15x15 pixels, expected 16 or more"):
            read_crop(self.sample(tmp_path / "tiny.png", scale))
        for name in ("empty.png", "text.jpg", "missing.png"):
            with pytest.raises(ImageError, match=name):
                read_crop(self.sample(tmp_path / name, scale))


class TestSplit:
    def split(self, samples, *, share=0.25, seed=1):
        return split_samples(samples, validation_share=share, seed=seed)

    def test_whole_sites_validate_where_there_are_three(self):
        samples = []
        for site in "abcd":
            for group in ("g1", "g2"):
                for label in ("real", "fake"):
                    name = f"{site}/{group}"
                    samples += samples_of(label, f"{name}.{label}", 5, site=name)
        samples += samples_of("real", "wild", 7, site="wild")

        training, validation, warnings = self.split(samples)
        assert not warnings
        sites = {s.collection for s in validation}
        assert len(sites) == 1
        assert sites.isdisjoint(s.collection for s in training)
        assert "wild" not in sites  # real faces alone cannot validate
        assert {s.label for s in validation} == {"real", "fake"}
        assert len(training) + len(validation) == len(samples)

    def test_whole_sources_validate_in_a_plain_dataset(self):
        samples = []
        for label in ("real", "fake"):
            for number in range(4):
                samples += samples_of(label, f"{label}{number}", 6)

        training, validation, warnings = self.split(samples)
        assert not warnings
        assert len(validation) == 12
        assert {s.source for s in training}.isdisjoint(s.source for s in validation)
        assert {s.label for s in validation} == {"real", "fake"}

    def test_seed_decides(self):
        samples = [
            sample
            for label in ("real", "fake")
            for number in range(9)
            for sample in samples_of(label, f"{label}{number}", 2)
        ]

        assert self.split(samples) == self.split(samples)
        assert any(self.split(samples) != self.split(samples, seed=n) for n in range(5))

    def test_single_source_is_split_by_time_with_a_gap(self):
        real, fake = samples_of("real", "me.mp4", 20), samples_of("fake", "tv.mp4", 20)

        training, validation, warnings = self.split(real[::-1] + fake)
        frames = [s.frame for s in training if s.label == "real"]
        assert frames == list(range(13))  # 13 and 14 are the gap
        frames = [s.frame for s in validation if s.label == "real"]
        assert frames == list(range(15, 20))
        assert len(warnings) == 2
        assert all("optimistic" in warning for warning in warnings)
        assert any("'me.mp4'" in warning for warning in warnings)

    def test_time_of_unlisted_pictures_is_the_number_in_their_name(self):
        samples = [
            replace(sample, path=Path(f"{label}/{number}.png"), frame=0)
            for label in ("real", "fake")
            for number, sample in enumerate(samples_of(label, label, 20), 1)
        ]

        _, validation, _ = self.split(samples[::-1])
        names = [s.path.name for s in validation if s.label == "real"]
        assert names == [f"{number}.png" for number in range(16, 21)]

    @pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
    @pytest.mark.parametrize("sources", [1, 2, 3])
    def test_both_parts_have_both_labels(self, share, sources):
        samples = [
            sample
            for label in ("real", "fake")
            for number in range(sources)
            for sample in samples_of(label, f"{label}{number}", 3)
        ]

        training, validation, _ = self.split(samples, share=share)
        for part in (training, validation):
            assert {s.label for s in part} == {"real", "fake"}
        assert {s.path for s in training}.isdisjoint(s.path for s in validation)

    def test_real_faces_alone_are_split_too(self):
        samples = samples_of("real", "a", 5) + samples_of("real", "b", 5)

        training, validation, _ = self.split(samples)
        assert (len(training), len(validation)) == (5, 5)

    def test_single_picture_cannot_train_and_validate(self):
        samples = samples_of("real", "a", 1) + samples_of("fake", "b", 4)

        with pytest.raises(DatasetError, match="only one real picture"):
            self.split(samples)


def test_one_class_only_says_what_to_do():
    samples = samples_of("real", "a", 3)

    with pytest.raises(DatasetError, match=r"my data has no fake.*-o \.\.\./fake"):
        require_both_labels(samples, "my data")
    require_both_labels(samples + samples_of("fake", "b", 1), "my data")


def test_description_counts_labels_and_attacks():
    samples = samples_of("real", "a", 3) + samples_of("fake", "b", 2)

    assert describe(samples) == "3 real, 2 fake (2 print)"
    assert describe(samples[:3]) == "3 real, 0 fake"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (".", "would be read twice"),
        ("a", "is given twice"),
        ("a/../a", "is given twice"),
    ],
)
def test_folders_in_one_another_are_refused(tmp_path, monkeypatch, second, message):
    """Else a picture could train as of one site and be measured as of another."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "ab").mkdir()

    with pytest.raises(DatasetError, match=message):
        read_dataset([Path("a"), Path(second)])
    with pytest.raises(DatasetError, match="no pictures"):
        read_dataset([Path("a"), Path("ab")])  # beside one another, but empty


def test_linked_folders_name_label_and_attack(tmp_path):
    put(tmp_path, "data/real/1.png", "disk/x7/1.png", "disk/x7/sub/2.png")
    (tmp_path / "data/fake").mkdir()
    try:
        (tmp_path / "data/fake/mask").symlink_to(tmp_path / "disk/x7")
    except OSError:
        pytest.skip("this system makes no links")
    put_rows(tmp_path / "disk/x7", row("1.png"))

    samples = read_dataset([tmp_path / "data"])

    found = [(one.label, one.attack, one.source) for one in samples]
    assert found == [
        *(("fake", "mask", "a.mp4#1"), ("fake", "mask/sub", "fake/mask/sub")),
        ("real", "", "real"),
    ]
    inside = {str(path.relative_to(tmp_path)) for path in files_of([tmp_path / "data"])}
    assert "data/fake/mask/crops.csv" in inside and len(inside) == 4


def test_a_picture_that_links_lead_to_twice_is_refused(tmp_path):
    put(tmp_path, "a/real/1.png", "b/fake/1.png")
    try:
        (tmp_path / "a/fake").symlink_to(tmp_path / "b/fake")
    except OSError:
        pytest.skip("this system makes no links")

    with pytest.raises(DatasetError, match="are one picture, which would be read twi"):
        read_dataset([tmp_path / "a", tmp_path / "b"])
