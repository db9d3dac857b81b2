import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.attachments import ConvertedFiles, attached_file, write_files
from fer_repro.datasets.store import open_store, store_writer, view_writer
from fer_repro.errors import UserError

SAMPLES = pd.DataFrame({"image": [0], "label": [0], "subject": "", "clip": "", "split": "train"})


@pytest.fixture
def store(tmp_path):
    converted = ConvertedFiles(SAMPLES, {}, files={"words.txt": lambda path: path.write_text("hello")})
    with store_writer(tmp_path / "set", "toy", ("a", "b")) as writer:
        writer.append(np.zeros((1, 4, 4), np.uint8))
        writer.finish(SAMPLES, write_files(writer.folder, converted))
    return open_store(tmp_path / "set")


def test_a_file_is_found_from_the_set_and_from_a_prepared_one(tmp_path, store):
    assert attached_file(store, "words.txt").read_text() == "hello"
    with view_writer(tmp_path / "elsewhere" / "view", store, SAMPLES):
        pass
    view = open_store(tmp_path / "elsewhere" / "view")
    assert attached_file(view, "words.txt") == attached_file(store, "words.txt").resolve()


def test_a_missing_or_changed_file_is_named(store):
    with pytest.raises(UserError, match="data set 'toy' comes without faces"):
        attached_file(store, "faces")
    path = attached_file(store, "words.txt")
    path.write_text("other")
    with pytest.raises(UserError, match=r"words\.txt: missing or changed"):
        attached_file(store, "words.txt")
    path.unlink()
    with pytest.raises(UserError, match=r"words\.txt: missing or changed"):
        attached_file(store, "words.txt")
