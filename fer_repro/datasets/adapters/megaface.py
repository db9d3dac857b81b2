"""MegaFace, identification: photos of FaceScrub's people, searched for among a million distractors.

Kemelmacher-Shlizerman, Seitz, Miller, Brossard, "The MegaFace Benchmark: 1 Million Faces for Recognition at
Scale", CVPR 2016, arXiv:1512.00596. Read from the aligned images and lists that public evaluators share (
derived from insightface): ``facescrub_lst`` (lines ending in person/image) with ``facescrub_images/``,
``megaface_lst`` (lines ending in folder/folder/image) with ``megaface_images/``, and the lists of wrong
images, ``facescrub_noises.txt`` (image) and ``megaface_noises.txt`` (folder/folder/image).

``megaface`` leaves the wrong images out, the "refined" protocol; ``megaface-original`` keeps them. The two
are not comparable: state which one a number is of. Probes have a ``subject``, distractors have none; all is
``test``. ``distractor_rates`` in ``fer_repro/measures/identification.py`` makes the rates of it.

Not verified on the original files: the layout, which is tested on a generated miniature.
"""

from pathlib import Path

from fer_repro.datasets.audit import Official
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import ImageFile, convert_images
from fer_repro.datasets.names import ListedFiles, composed
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError
from fer_repro.files import file_sha256

CLASSES = ("probe", "distractor")
VARIANTS: dict[str, Official | None] = {"original": None}
TERMS = (
    "MegaFace is no longer given out; its photographs belong to their owners: use them for research, do not "
    "publish them again."
)
LAYOUT = "facescrub_lst, facescrub_images/, facescrub_noises.txt and the same three of megaface"

_DEPTH = {"facescrub": 2, "megaface": 3}  # how many last parts of a line are the path below the images


def _convert(job: Conversion) -> Converted:
    """Read the probes, then the distractors, in order of the lists.

    Args:
        job: ``path``: the folder with the lists and the two folders of images; ``size``: side of the stored
            images; 0 keeps them if all have one size; ``variant``: "" leaves out what the lists of wrong
            images name, "original" keeps it.

    Raises:
        UserError: a list or an image is missing, or a list is empty.
    """
    photos: list[ImageFile] = []
    source, counts, left_out = {}, {}, {}
    for label, (name, depth) in enumerate(_DEPTH.items()):
        names = _read_list(job.path / f"{name}_lst", depth)
        source[f"list {name}_lst"] = file_sha256(job.path / f"{name}_lst")
        wrong = set() if job.variant == "original" else _read_noises(job.path / f"{name}_noises.txt", name)
        kept = [entry for entry in names if _key(entry, name) not in wrong]
        left_out[name], counts[name] = len(names) - len(kept), len(kept)
        images, where = ListedFiles(job.path / f"{name}_images"), str(job.path / f"{name}_lst")
        for entry in kept:
            subject = composed(entry.split("/")[0]) if name == "facescrub" else ""
            photos.append(ImageFile(images.find(entry, where), label, "test", subject))
    converted = convert_images(job.path, photos, job.append, job.expect, job.size, colour=True)
    people = len({photo.subject for photo in photos} - {""})
    kind = (
        "original" if job.variant else f"refined, {left_out['facescrub']} + {left_out['megaface']} left out"
    )
    note = (
        f"MegaFace, {kind}: {counts['facescrub']} probes of {people} people, "
        f"{counts['megaface']} distractors."
    )
    return Converted(converted.samples, {**converted.source, **source}, note)


def _read_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {LAYOUT}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: no UTF-8 text ({error}); expected one image per line") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _read_list(path: Path, depth: int) -> list[str]:
    entries = []
    for number, line in enumerate(_read_lines(path), 1):
        parts = line.split("/")
        if len(parts) < depth:
            raise UserError(
                f"{path}: entry {number}: {line[:80]!r}: expected a path of {depth} parts or more"
            )
        entries.append("/".join(parts[-depth:]))
    if not entries:
        raise UserError(f"{path}: no images; expected one per line")
    return entries


def _read_noises(path: Path, name: str) -> set[str]:
    return {_key(line.split("\t")[-1], name) for line in _read_lines(path)}


def _key(entry: str, name: str) -> str:
    """How a list of wrong images names an image: FaceScrub's without the person's folder."""
    return composed(entry.rpartition("/")[2] if name == "facescrub" else entry)


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, variants=VARIANTS, resizes=True)
