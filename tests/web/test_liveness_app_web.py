"""The script: options, files and failures before anything is served."""

import os
import socket
import stat
import subprocess
import sys

import pytest
from web_server import MODEL, running

import liveness_app_web
from liveness.cli.run import run
from liveness.constants import ROOT


def start(*options):
    return run(lambda: liveness_app_web.main([str(one) for one in options]))


@pytest.fixture
def failure(tmp_path, capsys):
    """Runs the script, which has to fail; returns its one line."""

    def fail(*options):
        place = ["--database", tmp_path / "web.sqlite", "--challenge", "none"]
        assert start(*MODEL, *place, *options) == 1
        lines = capsys.readouterr().err.splitlines()
        return lines[-1]

    return fail


def test_help_needs_no_package_of_the_web():
    code = (
        "import sys; sys.modules['flask'] = None; import liveness_app_web as app; "
        "app.build_parser(); assert 'cv2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cert", "a.pem"], "--cert and --key go together"),
        (["--key", "a.pem"], "--cert and --key go together"),
        (["--port", "70000"], "expected 0 to 65535, received '70000'"),
        (["--challenge", "smile"], "invalid choice: 'smile'"),
        (["--tolerance", "0"], "expected a number above 0, received '0'"),
    ],
)
def test_wrong_usage(options, message, capsys):
    with pytest.raises(SystemExit) as ended:
        liveness_app_web.main(options)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_port_in_use(failure):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        line = failure("--port", number)
    assert line == f"error: cannot listen on 127.0.0.1:{number}: address already in use"


def test_name_that_is_no_address(failure):
    line = failure("--host", "no.such.name.invalid")
    assert line.startswith("error: cannot listen on no.such.name.invalid:5000: ")


def test_certificate_that_cannot_be_used(failure, tmp_path):
    (tmp_path / "cert.pem").write_text("no certificate")
    (tmp_path / "key.pem").write_text("no key")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = failure("--port", 0, "--cert", files[0], "--key", files[1])
    assert "expected a certificate and its key without a password" in line
    line = failure("--port", 0, "--cert", tmp_path / "none.pem", "--key", files[1])
    assert line.endswith("none.pem': no such file or directory")


def test_database_that_is_none(failure, tmp_path):
    (tmp_path / "web.sqlite").write_bytes(b"no database" * 100)
    (tmp_path / "web.sqlite").chmod(0o600)
    assert failure() == "error: cannot use the database: file is not a database"


def test_database_in_no_folder(failure, tmp_path):
    line = failure("--database", tmp_path / "none/web.sqlite")
    assert line.endswith("no such file or directory")


@pytest.mark.parametrize("url", ["nosuch://host/name", "postgresql+nosuch://host/a"])
def test_database_of_an_unknown_kind(failure, url):
    assert failure("--database", url).startswith("error: cannot use the database: ")


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
@pytest.mark.parametrize("name", ["web.sqlite", "liveness_web.key"])
def test_file_that_others_can_read(failure, tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o644)
    line = failure()
    assert line.endswith(f"{name}' can be read by others: run chmod 600 on it first")


def test_key_that_is_too_short(failure, tmp_path):
    (tmp_path / "liveness_web.key").write_bytes(b"short")
    (tmp_path / "liveness_web.key").chmod(0o600)
    assert failure().endswith("is no key: delete it, and everybody logs in anew")


def test_encodings_that_are_none(failure, tmp_path):
    assert "cannot read encodings file" in failure("--known", tmp_path / "none.npz")


def test_files_are_made_once_and_kept(tmp_path):
    contents = []
    for _ in range(2):
        with running(tmp_path, "--challenge", "none") as server:
            key = server.folder / "liveness_web.key"
            contents.append(key.read_bytes())
            assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert contents[0] == contents[1] and len(contents[0]) == 32


def test_ends_by_a_signal_and_says_the_address(tmp_path):
    with running(tmp_path, "--challenge", "none") as server:
        assert server.url.startswith("http://127.0.0.1:")
    assert server.process.returncode == 143
    assert server.log.splitlines()[-1] == "terminated"
