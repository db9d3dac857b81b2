"""A folder that runs a model in the visitor's browser, by ONNX Runtime Web; any static server serves it.

The page asks for nothing but the files of its folder. The graph is the one of ``fer_repro.inference.export``
with the maps by which a method explains itself; the script cuts faces as ``predict`` does, to the bit. The
runtime is the npm package ``onnxruntime-web``: its WebAssembly for CPUs, two files whose digests are checked.
"""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fer_repro.datasets.yunet import FILE_VARIABLE, LEAST, YUNET, named_detector
from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.region_weights import common_boxes
from fer_repro.files import atomic_folder, file_sha256, keep_existing
from fer_repro.inference.backends import OnnxBackend
from fer_repro.inference.cards import LIMITS, card
from fer_repro.inference.catalogue import warning_of
from fer_repro.inference.export import export_onnx
from fer_repro.inference.faces_in import SMALLEST
from fer_repro.inference.hub import CARD
from fer_repro.inference.loading import MODEL, ONNX, open_weights
from fer_repro.inference.networks import MAPS, load_state, view_of
from fer_repro.inference.spec import ModelSpec
from fer_repro.loading.views import Regions
from fer_repro.methods.method import load_method
from fer_repro.plain_yaml import parse_yaml
from fer_repro.terminal import doing

PACKAGE = "onnxruntime-web@1.30.0"
DIGESTS = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The files of the package that the page needs, in its folder ``dist``, and their SHA-256."""
PLACES = ("dist", "package/dist", "")
LARGEST_FILE = 1 << 26  # bytes of a file of the package
PATIENCE = 600  # seconds for npm
INDEX, DETECTOR, RUNTIME, LICENCE = "index.html", "detector.onnx", "runtime", "LICENSE.txt"
SCRIPTS = ("faces.js", "page.css", "page.js")
OURS = {INDEX, ONNX, DETECTOR, CARD, RUNTIME, *SCRIPTS}
CROPS = ("padded", "scale", "square")  # those of the methods; faces.js has the same
EXPLANATIONS = {
    "mask": "The mask of a stage raises features by its number: at 0 they stay, at 1 they double. Shown: the "
    "largest number of all channels.",
    "attention": "The attention map multiplies features by its number: at 0 a place is ignored.",
    "region_weights": "The share of each region in the answer; the shares sum to 1.",
    "frame_weights": "The share of each frame in the answer of the clip; the shares sum to 1.",
}
_SOURCES = Path(__file__).parent / "browser"


def export_page(
    source: str | Path,
    to: Path,
    runtime: str = "",
    detector: str = "",
    variant: str = "",
    fold: int = 0,
    colour: str = "",
    face_size: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Write the folder of a model's page.

    Args:
        source: what ``fer_repro.inference.export.export_model`` takes.
        to: the folder.
        runtime: the package ``onnxruntime-web``: a file that ``npm pack`` wrote, or an unpacked folder; ""
            lets npm fetch it.
        detector: ``yunet:FILE`` puts this file into the folder; "" leaves the box to the visitor.
        variant: of an official checkpoint.
        fold: of a run tested fold by fold.
        colour: grey or rgb, where the manifest of a run's data is gone.
        face_size: likewise.
        force: replace an earlier page.

    Returns:
        ``page``, the folder; ``bytes``, the size of all its files; the ``AnswerDifference`` of its graph.

    Raises:
        UserError: the model cannot be read or shown, the folder holds something, or the runtime is missing or
            another version.
    """
    to = to if to.name not in ("", "..") else to.resolve()
    _check_folder(to, force)
    file = _detector_file(detector)
    path, shade = Path(source), colour or None
    with doing(f"reading {path}"):
        state, spec = open_weights(path, variant, fold, shade, face_size)  # type: ignore[arg-type]
    _check_shown(spec)
    text = _card_text(path, spec)
    facts = _header(text, path)
    with doing(f"getting {PACKAGE}"):
        files = read_runtime(runtime)
    with atomic_folder(to, force=force or _is_empty(to)) as folder:
        network = load_state(spec, state, str(path))
        found = export_onnx(network, spec, folder / ONNX, explained=True)
        if file is not None:
            with doing("preparing the detector"):
                write_detector(file, folder / DETECTOR)
        _write_runtime(files, folder / RUNTIME)
        (folder / CARD).write_text(text, encoding="utf-8")
        for name in SCRIPTS:
            shutil.copyfile(_SOURCES / name, folder / name)
        outputs = OnnxBackend(folder / ONNX).outputs
        page = _render(spec, facts, outputs, "" if file is None else file_sha256(file))
        (folder / INDEX).write_text(page, encoding="utf-8")
        size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    return {"page": str(to), "bytes": size, **found.as_dict()}


def _check_folder(to: Path, force: bool) -> None:
    if to.suffix in (".onnx", ".safetensors", ".html"):
        raise UserError(f"{to}: a page is a folder: expected a name without {to.suffix}")
    if _is_empty(to):
        return
    keep_existing([to], force and (to.is_dir() or not to.exists()))
    others = sorted({each.name for each in to.iterdir()} - OURS) if to.is_dir() else []
    if others:
        raise UserError(
            f"{to} holds {others[0]}, which is not of a page: --force would delete it; choose another folder"
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _detector_file(choice: str) -> Path | None:
    """Check the detector's file as ``predict`` does."""
    if not choice:
        return None
    name, _, file = choice.partition(":")
    if name != YUNET:
        raise UserError(
            f"detector is '{choice}'; {nearest(name, (YUNET,))}: a page runs yunet:FILE, or has none; the "
            "cascades run in Python only"
        )
    named_detector(choice)
    return Path(file or os.environ[FILE_VARIABLE]).expanduser()


def _check_shown(spec: ModelSpec) -> None:
    if not spec.classes:
        raise UserError(
            f"{spec.name}: a network for {spec.task} names no classes, and a page shows their probabilities; "
            "`fer-repro compare-faces` compares two faces"
        )
    if spec.crop not in CROPS:
        raise UserError(f"{spec.name}: its crop is '{spec.crop}': a page cuts {', '.join(CROPS)}")


def _card_text(path: Path, spec: ModelSpec) -> str:
    """Read the card beside a model file if it is of these weights, else write one."""
    file = path / MODEL if path.is_dir() else path
    beside = file.with_name(CARD) if file.name == MODEL else file.with_suffix(".md")
    if file.suffix == ".safetensors" and beside.is_file():
        text = beside.read_text(encoding="utf-8")
        if f"weights_sha256: {spec.weights_sha256}\n" in text:
            return text
    return card(spec, path if (path / "config.json").is_file() else None)


def _header(text: str, path: Path) -> Mapping[str, Any]:
    """Read what a card says for programs."""
    header = parse_yaml(f"{text}\n---\n".split("---\n")[1], f"{path}: its card")
    kinds = {"metrics": dict, "groups": list, "licences": dict}
    if not isinstance(header, dict) or any(
        not isinstance(header.get(key), kind) for key, kind in kinds.items()
    ):
        raise UserError(f"{path}: its card has no header with {', '.join(kinds)}; export the model again")
    return header


def read_runtime(given: str = "") -> dict[str, bytes]:
    """Read the files of the runtime.

    Args:
        given: a ``.tgz`` or an unpacked folder of the package; "" asks npm, whose own cache is used.

    Returns:
        Name -> content, as ``DIGESTS`` has them.

    Raises:
        UserError: npm is not installed or does not get it, a file is missing, or it is another version.
    """
    if not given:
        return _from_npm()
    path = Path(given).expanduser()
    if not path.exists():
        raise UserError(f"{path}: no such file; expected {PACKAGE} as `npm pack {PACKAGE}` writes it")
    found = _from_folder(path) if path.is_dir() else _from_archive(path)
    for name, digest in DIGESTS.items():
        if name not in found:
            raise UserError(f"{path}: holds no dist/{name}; expected {PACKAGE}")
        if sha256(found[name]).hexdigest() != digest:
            raise UserError(
                f"{path}: its {name} is not that of {PACKAGE}: another version, or it was changed; "
                f"`npm pack {PACKAGE}` writes the expected one"
            )
    return found


def _from_npm() -> dict[str, bytes]:
    npm = shutil.which("npm")
    how = f"`npm pack {PACKAGE}` on any machine writes a file: name it by --onnxruntime-web"
    if npm is None:
        raise UserError(f"npm is not installed, which gets {PACKAGE}; {how}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--silent", "--prefer-offline", "--no-update-notifier"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"npm did not get {PACKAGE} within {PATIENCE} seconds; {how}") from None
        archives = sorted(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            reason = " ".join(done.stderr.split())[:200]
            raise UserError(f"npm did not get {PACKAGE}{f' ({reason})' if reason else ''}; {how}")
        return read_runtime(str(archives[0]))


def _from_folder(folder: Path) -> dict[str, bytes]:
    files = {name: [folder / place / name for place in PLACES] for name in DIGESTS}
    return {
        name: path.read_bytes() for name, paths in files.items() for path in paths[::-1] if path.is_file()
    }


def _from_archive(path: Path) -> dict[str, bytes]:
    """Read the files out of an archive; nothing of it is written to the disk."""
    wanted, found = {f"package/dist/{name}": name for name in DIGESTS}, {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name in wanted and member.isfile() and member.size <= LARGEST_FILE:
                    content = archive.extractfile(member)
                    assert content is not None
                    found[wanted[member.name]] = content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{path}: not readable as an archive of npm: {error}") from None
    return found


def _write_runtime(files: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    shutil.copyfile(_SOURCES / LICENCE, folder / LICENCE)


def write_detector(file: Path, to: Path) -> None:
    """Write YuNet for images of any size whose sides are multiples of 32, as OpenCV runs it.

    Args:
        file: its network, of a fixed size.
        to: the new file; it gives scores and boxes, not the five points.

    Raises:
        UserError: its layers hold the size of the images.
    """
    import onnx
    import onnxruntime

    network = onnx.load(file)
    graph = network.graph
    (given,) = (each for each in graph.input if each.name not in {one.name for one in graph.initializer})
    for axis, name in ((2, "height"), (3, "width")):
        given.type.tensor_type.shape.dim[axis].dim_param = name
    del graph.value_info[:]
    kept = [each for each in graph.output if not each.name.startswith("kps")]
    del graph.output[:]
    for output in kept:
        output.type.tensor_type.ClearField("shape")
        graph.output.append(output)
    onnx.save(network, to)
    height, width = LEAST, LEAST + 32
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(to), options, providers=["CPUExecutionProvider"])
        values = session.run(None, {given.name: np.zeros((1, 3, height, width), np.float32)})
    except Exception as error:  # the runtime raises many kinds
        raise UserError(f"{file}: its size is a part of it: {' '.join(str(error).split())[:200]}") from None
    for output, value in zip(kept, values, strict=True):
        stride = int(output.name.rpartition("_")[2])
        if value.shape[1] != height * width // stride**2:
            raise UserError(f"{file}: its {output.name} gives {value.shape} for {height} x {width} pixels")


def _render(spec: ModelSpec, facts: Mapping[str, Any], outputs: list[str], detector: str) -> str:
    described = _described(spec, outputs, detector)
    environment = Environment(
        loader=FileSystemLoader(_SOURCES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    method = load_method(spec.method)
    warning = warning_of([(spec.name, spec.trained_on)]).removeprefix("warning: ")
    measured = {key: value for key, value in facts["metrics"].items() if isinstance(value, float)}
    groups = [each for each in facts["groups"] if each.get("factor") == "class"]
    text: str = environment.get_template("index.html.j2").render(
        spec=spec, method=method, warning=warning, measured=measured, groups=groups, facts=facts,
        limits=LIMITS[spec.task], described=described, package=PACKAGE, card=CARD,
        json=json.dumps(described, sort_keys=True).replace("<", "\\u003c"),
    )  # fmt: skip
    return text


def _described(spec: ModelSpec, outputs: list[str], detector: str) -> dict[str, Any]:
    """Describe the network for the script."""
    view, maps = view_of(spec), [name for name in outputs if name.rstrip("0123456789") in MAPS]
    regions = common_boxes(view.crops) if isinstance(view, Regions) and "region_weights" in outputs else {}
    kinds = {name.rstrip("0123456789") for name in (*maps, *outputs)}
    single = spec.shows == "frames" or spec.task == "manipulation"
    return {
        "name": spec.name,
        "classes": list(spec.classes),
        "channels": spec.channels,
        "faceSize": spec.face_size,
        "crop": spec.crop,
        "shows": spec.shows,
        "which": "largest" if single else "all",  # as ``predict`` does
        "smallest": SMALLEST,
        "maps": maps,
        "regions": list(regions.items()),
        "explanations": [text for kind, text in EXPLANATIONS.items() if kind in kinds],
        "detector": detector,
    }
