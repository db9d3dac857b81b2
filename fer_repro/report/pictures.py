"""Pictures inside the page: the same pixels in fewer bytes, so that it passes as an attachment."""

import base64
import io

from bs4 import BeautifulSoup
from PIL import Image

_PNG = "data:image/png;base64,"


def shrink_pictures(soup: BeautifulSoup) -> None:
    """Write every embedded PNG as lossless WebP where that is smaller, and say its size to the browser.

    The same picture gives the same bytes. Width and height let the page keep its place while it loads.
    """
    for image in soup.find_all("img"):
        source = str(image.get("src", ""))
        if source.startswith(_PNG):
            data = base64.b64decode(source[len(_PNG) :])
            with Image.open(io.BytesIO(data)) as picture:
                image["width"], image["height"] = str(picture.width), str(picture.height)
                smaller = as_webp(picture)
            if len(smaller) < len(data):
                image["src"] = "data:image/webp;base64," + base64.b64encode(smaller).decode("ascii")


def as_webp(picture: Image.Image) -> bytes:
    """Encode without loss; an alpha channel that hides nothing is left out."""
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "webp", lossless=True, quality=20, method=1)
    return buffer.getvalue()
