"""Films for tests."""

import cv2


def write_film(path, pictures, codec="FFV1"):
    """Write pictures (H, W, 3) RGB; FFV1 loses nothing. Returns the path."""
    writer = None
    for picture in pictures:
        writer = writer or cv2.VideoWriter(
            str(path), cv2.VideoWriter.fourcc(*codec), 25, picture.shape[1::-1]
        )
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path
