"""Videos for tests."""

import cv2


def write_video(path, images, codec="FFV1"):
    """Write images (H, W, 3) RGB; FFV1 loses nothing. Returns the path."""
    writer = None
    for image in images:
        writer = writer or cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, image.shape[1::-1])
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path
