"""Model files as other people find them."""

import os
import sys

import pytest
from tiny_models import tiny_model
from typer.testing import CliRunner

from fer_repro.cli import app


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_exported_models_can_be_read_by_others(tmp_path):
    source, before = tiny_model(tmp_path), os.umask(0o022)
    try:
        done = CliRunner().invoke(app, ["export", str(source), "--to", str(tmp_path / "copy.safetensors")])
    finally:
        os.umask(before)
    assert done.exit_code == 0, done.output
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("copy.*")}
    assert modes == {"copy.safetensors": 0o644, "copy.md": 0o644}
