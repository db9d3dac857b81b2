"""What ``make lab`` opens, and how many mistakes these tests make."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CONTROLS = ("taken", "take_what", "every_other", "upright", "json_knows", "stay", "any_shape")
"""What tests are called that hold the right input against the wrong one."""


@pytest.fixture(scope="module")
def lab():
    """The command line of the target, word by word, without the part that only root needs."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lab:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    (line,) = [line.strip().removeprefix("@") for line in recipe.splitlines() if "jupyter" in line]
    return shlex.split(re.sub(r"\$\$\(\[ .* \] && echo --allow-root\)", "", line))


def test_jupyterlab_listens_on_this_machine_alone_and_asks_for_its_token(lab):
    from jupyter_server.auth import IdentityProvider
    from jupyter_server.serverapp import ServerApp

    assert lab[:2] == ["jupyter", "lab"]
    app = ServerApp()
    app.parse_command_line([word for word in lab[2:] if word.startswith("--ServerApp.")])
    assert app.ip == "127.0.0.1"
    assert not app.allow_remote_access
    assert not app.disable_check_xsrf
    assert not app.allow_origin
    one, other = (IdentityProvider(parent=app).token for _ in range(2))
    assert re.fullmatch("[0-9a-f]{48}", one)
    assert one != other


def test_no_option_of_jupyterlab_opens_it_further(lab):
    assert [word for word in lab if "allow-root" in word] == []  # only for root, and only there
    hook = "--ContentsManager.pre_save_hook=fer_repro.pipeline.inputs.strip_at_save"
    assert lab.count(hook) == 1  # this very function, which takes outputs away
    options = [word.partition("=")[0] for word in lab[2:] if word != hook]
    assert set(options) <= {"--ServerApp.ip", "--LabApp.default_url", "--ServerApp.root_dir", "--no-browser"}


def test_these_tables_hold_hundreds_of_mistakes(request):
    here = {item.path.name: 0 for item in request.session.items if item.path.parent == HERE}
    if set(here) != {path.name for path in HERE.glob("test_*.py")}:
        pytest.skip("not all of tests/bad_input was asked for")
    for item in request.session.items:
        control = any(word in item.name for word in CONTROLS)
        if item.path.parent == HERE and hasattr(item, "callspec") and not control:
            here[item.path.name] += 1
    hostile = sum(count for name, count in here.items() if "hostile" in name or "injection" in name)
    bad = sum(here.values()) - hostile
    print(f"bad inputs tried: {bad}; hostile files and names: {hostile}")
    assert bad >= 350
    assert hostile >= 240
