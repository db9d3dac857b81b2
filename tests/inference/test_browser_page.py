"""The page gives predict's numbers in a real browser, asks for nothing else, and works without a pointer."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from served_folder import served
from tiny_models import tiny_model, tiny_state

import fer_repro
from fer_repro.datasets.faces import Box, plan_crop
from fer_repro.datasets.yunet import YuNetDetector
from fer_repro.errors import UserError
from fer_repro.inference import browser_page, export
from fer_repro.inference.browser_page import CROPS, DIGESTS, PACKAGE, export_page, read_runtime
from fer_repro.inference.catalogue import fetch_networks
from fer_repro.inference.networks import FaceNetwork, load_state
from fer_repro.loading.regions import FIXED
from fer_repro.methods.method import load_method

ROOT = Path(__file__).parents[2]
FACE = ROOT / "docs/face.png"  # synthetic
FERPLUS = "networks/ferplus-whole_face"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60_000  # milliseconds, for a machine with other work on it
NEAR = 1e-4  # of probabilities


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The npm package: the file that a variable names, or what npm's cache holds; no network is used."""
    if given := os.environ.get("FER_REPRO_ONNXRUNTIME_WEB"):
        return given
    folder = tmp_path_factory.mktemp("npm")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, and FER_REPRO_ONNXRUNTIME_WEB names no package")
    command = [npm, "pack", PACKAGE, "--offline", "--silent", "--no-update-notifier"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
    if done.returncode:
        pytest.skip(f"npm's cache does not hold the package: npm cache add {PACKAGE}")
    return str(next(folder.glob("*.tgz")))


@pytest.fixture
def no_runtime(monkeypatch):
    """Empty files in place of the runtime's."""
    monkeypatch.setattr(browser_page, "read_runtime", lambda given: dict.fromkeys(DIGESTS, b""))


@pytest.fixture(scope="module")
def inside():
    """The repository, with its network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        fetch_networks()
        yield patch


@pytest.fixture(scope="module")
def pages(inside, runtime, tmp_path_factory):
    """A page of the network that comes along, and one of a network with two masks; nothing is traced."""
    folder = tmp_path_factory.mktemp("pages")
    inside.setattr(export, "_graph", lambda network, spec: onnx.load(f"{FERPLUS}/model.onnx"))
    export_page(FERPLUS, folder / "ferplus", runtime)
    inside.setattr(export, "_graph", lambda network, spec: masked_graph(spec.face_size))
    inside.setattr(export, "compare", lambda *arguments: (0.0, 0.0, 1.0))
    export_page(tiny_model(folder), folder / "masked", runtime)
    inside.undo()
    inside.chdir(ROOT)
    return folder


def masked_graph(side):
    """Logits 0, 1, ... 6 for any face, and masks of 2 x 2 and of 1 x 1: the means of the face's parts."""
    half = [side // 2] * 2
    nodes = [
        helper.make_node("Cast", ["faces"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["wide", "most"], ["unit"]),
        helper.make_node("ReduceMean", ["unit", "colours"], ["grey"], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["parts"], kernel_shape=half, strides=half),
        helper.make_node("Squeeze", ["parts", "colours"], ["mask1"]),
        helper.make_node("ReduceMean", ["mask1", "places"], ["mask2"], keepdims=1),
        helper.make_node("Squeeze", ["mask2", "colours"], ["single"]),
        helper.make_node("Mul", ["single", "zeros"], ["nothing"]),
        helper.make_node("Add", ["nothing", "counts"], ["logits"]),
    ]  # fmt: skip
    values = {
        "most": np.float32(255), "colours": np.array([1]), "places": np.array([1, 2]),
        "zeros": np.zeros((1, 7), np.float32), "counts": np.arange(7, dtype=np.float32)[None],
    }  # fmt: skip
    make = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "masked", [make("faces", TensorProto.UINT8, ["faces", 3, side, side])],
        [make(name, TensorProto.FLOAT, None) for name in ("logits", "mask1", "mask2")],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def address(pages):
    with served(pages) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser whose camera shows the synthetic face."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    film = tmp_path_factory.mktemp("camera") / "face.y4m"
    image = cv2.cvtColor(np.asarray(Image.open(FACE).convert("RGB")), cv2.COLOR_RGB2YUV_I420)
    film.write_bytes(b"YUV4MPEG2 W224 H224 F10:1 Ip A1:1 C420\n" + (b"FRAME\n" + image.tobytes()) * 4)
    options = [
        "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}",
    ]  # fmt: skip
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=options)
        yield opened
        opened.close()


class Visit:
    """An open page; it has loaded its network."""

    def __init__(self, browser, address, name, width=1280):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(PATIENCE)
        self.asked, self.said = [], []
        self.page.on("request", lambda request: self.asked.append((request.method, request.url)))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(f"{address}/{name}/")
        self.page.get_by_text("Ready.").wait_for()

    def open(self, path, where="box"):
        """Choose a file; the numbers that are found."""
        self.page.set_input_files("#file", path)
        self.page.check(f"input[value={where}]")
        return self.found()

    def found(self):
        """The latest faces, when nothing is being computed."""
        self.page.locator("#bars tbody tr").first.wait_for()
        for _ in range(PATIENCE // 50):
            faces = self.run("page.idle() ? page.latest() : null")
            if faces is not None:
                return faces
            self.page.wait_for_timeout(50)
        raise AssertionError("it computes for ever")

    def run(self, expression):
        return self.page.evaluate(
            "async () => { const page = await import('./page.js'), faces = await import('./faces.js'); "
            f"return JSON.parse(JSON.stringify({expression} ?? null)); }}"
        )


@pytest.fixture(scope="module")
def visit(browser, address):
    """The page of the network that comes along."""
    return Visit(browser, address, "ferplus")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The synthetic face, also in the corner of a noisy image, grey, and as small as the network's own."""
    folder, face = tmp_path_factory.mktemp("images"), Image.open(FACE).convert("RGB")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (311, 407, 3), np.uint8))
    noise.paste(face, (170, 60))
    made = {"face": face, "noisy": noise, "grey": face.convert("L"), "small": face.resize((48, 48))}
    for name, image in made.items():
        image.save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in made}


def test_probabilities_are_those_of_predict(visit, images, inside):
    model = fer_repro.load(FERPLUS)
    for name, where in (("face", "box"), ("noisy", "box"), ("grey", "whole"), ("small", "whole")):
        (face,) = visit.open(images[name], where)
        box = ",".join(map(str, face["tight"])) if where == "box" else "none"
        expected = model.predict(images[name], detector=box).filter(regex="^p_").to_numpy()[0]
        assert np.abs(np.array(face["shares"]) - expected).max() < NEAR, name
        shown = visit.page.locator("#bars tbody tr").all_text_contents()
        assert shown == [
            f"{k}{100 * p:.1f} %" for k, p in zip(model.spec.classes, face["shares"], strict=True)
        ]


def test_faces_are_cut_to_the_bit_as_by_predict(visit, images):
    random = np.random.default_rng(1)
    image = np.asarray(Image.open(images["noisy"]))
    height, width = image.shape[:2]
    corners = random.uniform(-20, 380, (120, 2))
    sides = random.uniform(12, 300, (120, 2))
    boxes = np.where(np.arange(120)[:, None] % 2, np.round(2 * sides) / 2, sides)  # also halves
    boxes = np.concatenate([corners, corners + boxes], axis=1)
    expected, kept = {crop: [] for crop in CROPS}, {crop: [] for crop in CROPS}
    for crop in CROPS:
        for box in boxes.tolist():
            try:
                planned = plan_crop(crop, Box(*(float(f"{side:.9g}") for side in box)), 48, image.shape)
            except UserError:
                continue
            kept[crop].append(box)
            expected[crop].append([planned.left, planned.top, planned.right, planned.bottom])
        found = visit.run(f"{kept[crop]}.map((box) => faces.windowAbout('{crop}', box, {width}, {height}))")
        assert len(found) > 60
        assert found == expected[crop]
    sizes = [(48, 48), (47, 131), (201, 33), (60, 60), (72, 60), (73, 60), (152, 100), (153, 100), (311, 407)]
    for high, wide in sizes:
        window = image[:high, :wide]
        rgba = np.dstack([window, np.full((high, wide), 255, np.uint8)]).tobytes().hex()
        read = f"Uint8Array.from('{rgba}'.match(/../g), (each) => parseInt(each, 16))"
        scaled = Image.fromarray(window).resize((48, 48), Image.Resampling.BILINEAR)
        for channels, pixels in (
            (1, np.asarray(scaled.convert("L"))),
            (3, np.asarray(scaled).transpose(2, 0, 1)),
        ):
            found = visit.run(f"Array.from(faces.prepare({read}, {wide}, {high}, 48, {channels}))")
            assert found == pixels.reshape(-1).tolist(), (high, wide)


def test_it_loads_its_own_files_only_and_uploads_nothing(visit, address, images):
    visit.open(images["face"])
    assert visit.said == []
    own = f"{address}/ferplus/"
    assert [each for each in visit.asked if each[0] != "GET" or not each[1].startswith((own, "data:"))] == []
    asked = "fetch('http://127.0.0.1:9/', {method: 'POST', body: 'face'}).then(() => 'sent', String)"
    assert "TypeError" in visit.page.evaluate(asked)
    assert any("Content Security Policy" in said for said in visit.said)


def test_the_camera_is_answered_live(visit):
    page = visit.page
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_role("button", name="Pause").wait_for()
    visit.found()
    first = page.inner_text("#lasted")
    page.locator("#lasted").filter(has_not_text=first).wait_for()
    assert page.evaluate("document.getElementById('view').width") == 224
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Play").is_visible()
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("#stage").is_hidden()


@pytest.mark.parametrize(
    ("refuses", "said"),
    [
        ("() => { throw new DOMException('', 'NotFoundError'); }", "No camera was found"),
        ("() => { throw new DOMException('', 'NotAllowedError'); }", "The camera was not allowed"),
        ("undefined", "Browsers give cameras only to pages from localhost or by https"),
    ],
)
def test_without_a_camera_a_message_says_what_to_do(visit, refuses, said):
    visit.page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refuses}; }}")
    visit.page.get_by_role("button", name="Start the camera").click()
    visit.page.get_by_role("alert").get_by_text(said).wait_for()
    assert "hoose an image or a clip" in visit.page.inner_text("#problem")


def test_a_clip_is_played_and_another_file_refused(visit, tmp_path):
    path, face = tmp_path / "clip.webm", cv2.imread(str(FACE))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), 10, (224, 224))
    for _ in range(10):
        writer.write(face)
    writer.release()
    visit.open(path)
    assert visit.page.locator("#position").is_visible()
    (tmp_path / "words.png").write_text("no image")
    visit.page.set_input_files("#file", tmp_path / "words.png")
    visit.page.get_by_role("alert").get_by_text("words.png: this browser cannot read it").wait_for()


def test_keys_alone_draw_the_box(visit, images):
    (before,) = visit.open(images["noisy"])
    visit.page.locator("input[value=box]").focus()
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "view"
    for key, moved in (
        ("ArrowRight", [6, 0, 6, 0]),
        ("Shift+ArrowDown", [0, 0, 0, 6]),
        ("+", [-6, -6, 6, 6]),
    ):
        visit.page.keyboard.press(key)
        (after,) = visit.found()
        assert (np.array(after["tight"]) - before["tight"]).tolist() == moved
        before = after
    visit.page.keyboard.press("Home")
    (after,) = visit.found()
    assert after["tight"] == [79, 31, 328, 280]
    for name in ("#said", "#spoken"):  # also to a screen reader
        assert visit.page.text_content(name).endswith(f"{100 * max(after['shares']):.1f} %")


def test_the_pointer_draws_the_box(visit, images):
    visit.open(images["face"])
    visit.page.locator("#view").scroll_into_view_if_needed()
    area = visit.page.locator("#view").bounding_box()
    at = [(area["x"] + share * area["width"], area["y"] + share * area["height"]) for share in (0.25, 0.75)]
    visit.page.mouse.move(*at[1])
    visit.page.mouse.down()
    visit.page.mouse.move(*at[0])
    visit.page.mouse.up()
    (face,) = visit.found()
    assert np.allclose(face["tight"], [56, 56, 168, 168], atol=1)


def test_masks_lie_over_the_face_on_a_phone_in_both_schemes(browser, address, images):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    phone = Visit(browser, address, "masked", width=375)
    page = phone.page
    (face,) = phone.open(images["face"], "whole")
    assert page.locator("#why").is_visible()
    grey = np.asarray(Image.open(images["face"]).resize((64, 64), Image.Resampling.BILINEAR)) / 255
    parts = grey.mean(axis=2).reshape(2, 32, 2, 32).mean(axis=(1, 3))
    found = list(face["out"]["mask1"]["cpuData"].values())
    assert found == pytest.approx(parts.reshape(-1).tolist(), abs=1e-5)
    assert f"2 x 2 numbers from {parts.min():.2f} to {parts.max():.2f}" in page.inner_text("#why-text")
    page.select_option("#map", label="mask of stage 2")
    assert "1 x 1 numbers" in page.inner_text("#why-text")
    assert "trained on unknown data" in page.inner_text(".warning")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert [each["id"] for each in axe.run(page).response["violations"]] == []


def test_the_page_names_terms_and_misuse(pages):
    text = " ".join((pages / "ferplus/index.html").read_text().split())
    for words in (
        "84.4 % of the test part", "ferplus", "contempt, 15 samples: right", "Nothing is uploaded",
        "Do not use it to judge people", "do not publish them again",
    ):  # fmt: skip
        assert words in text
    assert "Warning" not in text
    files = {path for path in (pages / "ferplus").rglob("*") if path.is_file()}
    assert {path.relative_to(pages / "ferplus").as_posix() for path in files} == {
        "index.html", "page.js", "page.css", "faces.js", "model.onnx", "README.md", "runtime/LICENSE.txt",
        *(f"runtime/{name}" for name in DIGESTS),
    }  # fmt: skip


@pytest.fixture(scope="module")
def yunet():
    found = sorted((Path(os.environ.get("FER_REPRO_REAL_DATA", "") or "/nowhere") / "yunet").glob("*.onnx"))
    if not found:
        pytest.skip("FER_REPRO_REAL_DATA names no folder with yunet/*.onnx")
    return found[0]


def test_yunet_finds_the_faces_of_predict(browser, address, inside, pages, runtime, yunet, images):
    inside.setattr(export, "_graph", lambda network, spec: onnx.load(f"{FERPLUS}/model.onnx"))
    export_page(FERPLUS, pages / "found", runtime, f"yunet:{yunet}")
    visited = Visit(browser, address, "found")
    for name in ("face", "noisy"):
        faces = visited.open(images[name], "found")
        boxes = YuNetDetector(yunet).detect(np.asarray(Image.open(images[name])))
        assert np.allclose([face["tight"] for face in faces], sorted(box[:4] for box in boxes), atol=2)
    visited.page.close()


def test_maps_are_those_that_explain_gives():
    state, spec = tiny_state("rmn")
    network = load_state(spec, state, "rmn")
    faces = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        plain, explained = (FaceNetwork(network, spec, explained=on)(faces) for on in (False, True))
        expected = load_method("rmn").explain(network, faces / 255)
    assert list(plain) == ["logits"]
    assert list(explained) == ["logits", "mask1", "mask2", "mask3", "mask4"]
    for name in list(explained)[1:]:
        assert torch.allclose(explained[name], expected[name].amax(dim=1), atol=1e-5)


def test_regions_keep_their_order(inside):
    from fer_repro.inference.loading import open_weights

    _, spec = open_weights(Path(FERPLUS))
    described = browser_page._described(spec, ["logits", "region_weights"], "")
    assert [name for name, _ in described["regions"]] == list(FIXED)
    assert browser_page._described(spec, ["logits"], "")["regions"] == []


def test_mistakes_are_named(no_runtime, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"no such model; did you mean 'networks/ferplus-whole_face'\?"):
        export_page("networks/ferplus-whole_fase", tmp_path / "page")
    with pytest.raises(UserError, match=r"detector is 'cascade'; .*a page runs yunet:FILE"):
        export_page(FERPLUS, tmp_path / "page", detector="cascade")
    with pytest.raises(UserError, match="names no classes"):
        export_page(tiny_model(tmp_path, "adacos"), tmp_path / "page")
    with pytest.raises(UserError, match=r"page\.html: a page is a folder"):
        export_page(FERPLUS, tmp_path / "page.html")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/index.html").touch()
    with pytest.raises(UserError, match=r"full exists already; nothing was changed \(--force replaces it\)"):
        export_page(FERPLUS, tmp_path / "full")
    (tmp_path / "full/letter.txt").touch()
    with pytest.raises(UserError, match=r"full holds letter\.txt, .* --force would delete it"):
        export_page(FERPLUS, tmp_path / "full", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adacos.safetensors", "full"]


def test_an_interrupted_export_leaves_the_earlier_page(no_runtime, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("earlier")

    def interrupted(network, spec, path, explained):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(browser_page, "export_onnx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_page(FERPLUS, tmp_path / "page", force=True)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "page",
        "page/index.html",
    ]


def test_another_runtime_is_refused(tmp_path, monkeypatch):
    dist = tmp_path / "package/dist"
    dist.mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"holds no dist/ort\.wasm\.bundle\.min\.mjs; expected onnxruntime-web@"
    ):
        read_runtime(str(tmp_path))
    for name in DIGESTS:
        (dist / name).write_text("changed")
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    for path in (tmp_path, tmp_path / "other.tgz"):
        with pytest.raises(UserError, match="another version, or it was changed"):
            read_runtime(str(path))
    with pytest.raises(UserError, match="not readable as an archive of npm"):
        read_runtime(str(FACE))
    with pytest.raises(UserError, match="no such file"):
        read_runtime("absent.tgz")
    monkeypatch.setattr(browser_page.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"npm is not installed, .*name it by --onnxruntime-web"):
        read_runtime()
