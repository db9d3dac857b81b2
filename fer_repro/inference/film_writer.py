"""Videos that appear under their name when they are whole."""

from pathlib import Path

import cv2
import numpy as np

from fer_repro.files import check_name


class FilmWriter:
    """Writes an ``.mp4`` beside its name and renames it at the end.

    Args:
        path: the film; its folder is made.
        rate: pictures per second.

    Raises:
        UserError: the name is not UTF-8; OpenCV would crash.
    """

    def __init__(self, path: Path, rate: float) -> None:
        check_name(path)
        self.path, self.rate = path, rate
        self._temporary = path.with_name(f".{path.stem}.tmp.mp4")  # OpenCV tells the format by the name
        self._writer: cv2.VideoWriter | None = None

    def add(self, picture: np.ndarray) -> None:
        """Write the next picture, (H, W, 3) uint8 RGB; all have the size of the first."""
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code, size = cv2.VideoWriter.fourcc(*"mp4v"), (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(str(self._temporary), code, self.rate, size)
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def keep(self) -> None:
        """Finish the film and give it its name.

        Raises:
            OSError: it could not be written whole; OpenCV itself says nothing of a full disk.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if not _is_whole(self._temporary):
            self._temporary.unlink(missing_ok=True)
            raise OSError(f"{self.path}: the film could not be written whole; is the disk full?")
        self._temporary.replace(self.path)

    def discard(self) -> None:
        """Delete what was not kept; safe to call at any time."""
        if self._writer is not None:
            self._writer.release()
            self._temporary.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    """Walk through the boxes of an mp4: they must fill the file, and ``moov``, written last, be there."""
    if not path.is_file():
        return False
    at, size, found = 0, path.stat().st_size, set()
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            length, kind = int.from_bytes(file.read(4)), file.read(4)
            if length == 1:  # a box beyond 4 GB gives its length behind its name
                length = int.from_bytes(file.read(8))
            if length < 8:
                return False
            found.add(kind)
            at += length
    return at == size and b"moov" in found
