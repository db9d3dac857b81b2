"""environment.yml, pyproject.toml, requirements.txt and requirements.lock say the same."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# modules that are named otherwise than their package
PACKAGES = {
    "ruamel": "ruamel.yaml",
    "bs4": "beautifulsoup4",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
}


def requirements(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = [line.rstrip(" \\") for line in text.splitlines() if line and line[0] not in " #"]
    return [Requirement(line) for line in lines]


def declared():
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


@pytest.fixture(scope="module")
def locked():
    return requirements("requirements.lock")


def test_both_files_hold_the_same_pins(locked):
    assert [str(one) for one in requirements("requirements.txt")] == [str(one) for one in locked]


def test_every_pin_is_exact_and_hashed(locked):
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    for one in locked:
        assert [item.operator for item in one.specifier] == ["=="], str(one)
        assert not one.url, str(one)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_every_dependency_has_one_pin_within_its_range(locked, version, system):
    names = {"linux": ("Linux", "posix"), "darwin": ("Darwin", "posix"), "win32": ("Windows", "nt")}[system]
    place = {
        "python_version": version,
        "python_full_version": f"{version}.9",
        "sys_platform": system,
        "platform_system": names[0],
        "os_name": names[1],
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    pins = {}
    for one in locked:
        if one.marker is None or one.marker.evaluate(place):
            assert canonicalize_name(one.name) not in pins, f"{one.name} is pinned twice"
            (pins[canonicalize_name(one.name)],) = [item.version for item in one.specifier]
    for needed in declared():
        pin = pins[canonicalize_name(needed.name)]
        assert needed.specifier.contains(pin), f"{needed} but pinned {pin}"
    assert "setuptools" in pins  # the package itself is installed without build isolation
    linux_only = {name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert bool(linux_only) == (system == "linux"), linux_only


def test_the_torch_that_computes_wrongly_is_refused():
    (torch,) = [one for one in declared() if one.name == "torch"]
    assert not torch.specifier.contains("2.13.0")


def test_no_file_names_a_host():
    for name in ("requirements.txt", "requirements.lock", "environment.yml", "pyproject.toml", "Makefile"):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8"), name


def test_the_size_of_an_installation_is_the_same_everywhere():
    """It is measured when the lock changes; the Makefile says how."""
    (size,) = re.findall(r"^FETCHED := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for name in ("README.md", "docs/install.md"):
        assert f"{size} of packages" in (ROOT / name).read_text(encoding="utf-8"), name


def test_the_way_without_a_gpu_leaves_out_what_only_gpus_need(locked):
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    (kept,) = re.findall(r"grep -E '(.+)' requirements.txt", page)
    (left_out,) = re.findall(r"grep -vE '(.+)' requirements.txt > cpu.txt", page)
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition("=")[0] for line in lines if re.match(kept, line)] == ["torch", "torchvision"]
    dropped = {line.partition("=")[0] for line in lines if re.match(left_out, line)}
    assert dropped == {one.name for one in locked if one.name.startswith(("nvidia-", "cuda-", "triton"))}
    assert not any(";" in line for line in lines if re.match(kept, line))  # a shell would split it


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert pip == ["-r requirements.txt", "-e ."]
    (python,) = [
        item for item in environment["dependencies"] if isinstance(item, str) and item.startswith("python=")
    ]
    assert (
        Version(python.partition("=")[2])
        in Requirement(f"x{PYPROJECT['project']['requires-python']}").specifier
    )


def test_every_import_is_a_declared_dependency():
    names = {canonicalize_name(one.name) for one in declared()}
    missing = set()
    for path in (ROOT / "fer_repro").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [item.name for item in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            for top in {module.partition(".")[0] for module in modules}:
                if top not in sys.stdlib_module_names and top != "fer_repro":
                    package = canonicalize_name(PACKAGES.get(top, top))
                    if package not in names:
                        missing.add(f"{path.relative_to(ROOT)}: {top}")
    assert not missing
