import pytest
from miniature_fer2013 import NAMES, make_rows, write_csv
from PIL import Image


@pytest.fixture(scope="session")
def miniature():
    return make_rows()


@pytest.fixture
def csv_file(tmp_path, miniature):
    return write_csv(tmp_path / "raw" / "fer2013.csv", miniature)


@pytest.fixture
def image_folders(tmp_path, miniature):
    """Builds train/<class>/ and test/<class>/ with or without the split in the file names."""

    def build(named, classes=NAMES):
        root = tmp_path / ("named" if named else "plain")
        for row, (label, usage, image) in enumerate(zip(*miniature, strict=True)):
            part = "train" if usage == "Training" else "test"
            folder = root / part / classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / (f"{usage}_{row:05}.png" if named else f"im{row:05}.png"))
        return root

    return build
