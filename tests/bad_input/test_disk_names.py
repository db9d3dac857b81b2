"""Names on the disk: numbers in them, accents in two forms, capitals, and links; nothing is passed over."""

import shutil
import unicodedata
from pathlib import Path

import pytest
from miniature_sets import FIRST_FILES, write_noise, write_text
from miniature_videos import write_face_film

from fer_repro.datasets.adding import add_dataset
from fer_repro.errors import nearest

LISTS = {  # that a set can do without: a broken link is not "no list"
    "identities": "pairs.txt",
    "lfw": "pairsDevTest.txt",
    "ckplus": "emotion_fan_10fold.txt",
    "rafdb": "occlusion_list.txt",
    "folder": None,
    "dfdc": "faces.parquet",
}


def name_of(layout):
    return f"{layout}-2fpv" if Path(FIRST_FILES[layout]).suffix == ".mp4" else layout.partition("_")[0]


@pytest.mark.parametrize("layout", FIRST_FILES)
@pytest.mark.parametrize("kind", ["a file", "its folder", "a circle"])
def test_a_broken_link_is_never_passed_over(layout, kind, raw, tell, tmp_path):
    root = raw(layout)
    target = root / FIRST_FILES[layout] if kind != "its folder" else (root / FIRST_FILES[layout]).parent
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    target.symlink_to(target if kind == "a circle" else root / "gone")
    said = tell("data", "add", name_of(layout), root, "--store", tmp_path / "stores")
    assert str(target) in said
    assert not any((tmp_path / "stores").rglob("*"))


@pytest.mark.parametrize("layout", [name for name, file in LISTS.items() if file])
def test_a_broken_link_is_not_a_list_that_is_missing(layout, raw, tell, tmp_path):
    root = raw(layout)
    (root / LISTS[layout]).unlink(missing_ok=True)
    (root / LISTS[layout]).symlink_to(root / "gone.txt")
    said = tell("data", "add", name_of(layout), root, "--store", tmp_path / "stores")
    assert f"{LISTS[layout]}: a link to {root / 'gone.txt'}, which does not exist" in said


@pytest.mark.parametrize("layout", FIRST_FILES)
def test_a_linked_folder_inside_is_read_like_another(layout, raw, tmp_path):
    root, name = raw(layout), name_of(layout)
    plain = add_dataset(name, root, tmp_path / "plain")
    folder = (root / FIRST_FILES[layout]).parent
    kept = (root / "basic" if (root / "basic").is_dir() else root) / ".kept" / folder.name
    kept.parent.mkdir()
    folder.rename(kept)
    folder.symlink_to(kept)
    linked = add_dataset(name, root, tmp_path / "linked")
    assert linked.samples.equals(plain.samples)
    assert (linked.images == plain.images).all()


@pytest.mark.parametrize("layout", ["identities", "lfw"])
def test_a_folder_below_a_person_is_named(layout, raw, tell, tmp_path):
    root = raw(layout)
    person = (root / FIRST_FILES[layout]).parent
    (person / "more").symlink_to(person)
    said = tell("data", "add", layout, root, "--store", tmp_path / "stores")
    assert f"{person / 'more'}: a folder in a person's folder" in said


# Numbers in names


@pytest.mark.parametrize(
    ("name", "folder", "others"),
    [
        ("afew", "Train_AFEW/Happy/clip", ["Val_AFEW/Sad/clip"]),
        ("sfew", "Train/Happy", []),
        ("folder", "happy", ["sad"]),
        ("identities", "Ann", ["Bob"]),
        ("fer2013", "train/happy", ["test/sad"]),
    ],
)
def test_frames_are_read_in_their_order_in_time(name, folder, others, tmp_path):
    root = tmp_path / "raw"
    every = [folder, *others]
    if name == "sfew":
        classes = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
        every = [f"{part}/{one}" for part in ("Train", "Val") for one in classes]
    for place in every:
        for number in range(1, 13):
            write_noise(root / place / f"frame{number}.png", (48, 48, 3), number)
    samples = add_dataset(name, root, tmp_path / "stores").samples
    files = [file for file in samples["file"] if file.startswith(folder)]
    order = [int(Path(file).stem.removeprefix("frame")) for file in files]
    if name == "fer2013":  # one in eight is val and stands behind
        order = sorted(order)
    assert order == list(range(1, 13))


def test_classes_and_people_keep_their_order(tmp_path):
    for name in ("s1", "s10", "s2"):
        for number in (1, 2):
            write_noise(tmp_path / "raw" / name / f"{number}.png", (8, 8), number)
    for kind in ("folder", "identities"):
        assert add_dataset(kind, tmp_path / "raw", tmp_path / "stores").classes == ("s1", "s10", "s2")
    for name in ("s1", "s10", "s2"):
        (tmp_path / "raw" / name).rename(tmp_path / "raw" / name.removeprefix("s"))
    assert add_dataset("folder-numbers", tmp_path / "raw", tmp_path / "stores").classes == ("1", "2", "10")


# Accents in two forms

FORMS = [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")]
WORD = "José Müller"


def in_form(text, form):
    return unicodedata.normalize(form, text)


def people(root, disk):
    for person in (WORD, "Ann"):
        for number in (1, 2, 3):
            name = in_form(person.replace(" ", "_"), disk)
            write_noise(root / name / f"{name}_{number:04}.png", seed=number + len(person))


def lay_out(kind, root, disk, listed):
    """A set whose names have an accent, in one form on the disk and in one in its lists."""
    on_disk, in_list = in_form(WORD, disk), in_form(WORD, listed)
    person = in_list.replace(" ", "_")
    if kind in ("lfw", "identities"):
        people(root, disk)
        write_text(root / "pairs.txt", f"{person}\t1\t2\n{person}\t1\tAnn\t1\n")
    elif kind == "identities-table":
        people(root, disk)
        first, second = (f"{person}/{person}_000{number}.png" for number in (1, 2))
        write_text(root / "pairs.csv", f"first,second,same\n{first},{second},1\n{first},Ann/Ann_0001.png,0\n")
    elif kind == "affectnet":
        lines = [
            "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
        ]
        write_noise(root / "Manually_Annotated_Images" / on_disk / f"{on_disk}.png")
        for name in ("training", "validation"):
            line = f"{in_list}/{in_list}.png,1,2,6,6,1.5;2.5,1,0.5,-0.25"
            write_text(root / f"{name}.csv", "\n".join([*lines, line]) + "\n")
    elif kind == "megaface":
        for name in ("facescrub", "megaface"):
            inner = "a/" if name == "megaface" else ""
            for number in (1, 2):
                write_noise(
                    root / f"{name}_images" / inner / on_disk / f"{on_disk}_{number}.png", seed=number
                )
            files = [f"{inner}{in_list}/{in_list}_{number}.png" for number in (1, 2)]
            write_text(root / f"{name}_lst", "\n".join(files) + "\n")
            wrong = in_form(files[1], disk)
            write_text(root / f"{name}_noises.txt", (wrong if inner else Path(wrong).name) + "\n")
    elif kind == "dfdc":
        part = root / "dfdc_train_part_0"
        for number, end in enumerate(("real", "fake")):
            write_face_film(part / f"{on_disk} {end}.mp4", number, 2)
        write_text(
            part / "metadata.json",
            f'{{"{in_list} real.mp4": {{"label": "REAL"}}, "{in_list} fake.mp4": '
            f'{{"label": "FAKE", "original": "{on_disk} real.mp4"}}}}',
        )
    else:
        for part, form in (("train", disk), ("val", listed), ("test", listed)):
            for name in (WORD, "Ann"):
                write_noise(root / part / in_form(name, form) / "1.png", seed=len(part + name))


KINDS = ["lfw", "identities", "identities-table", "affectnet", "megaface", "dfdc", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_names_match_whatever_unicode_form_they_have(kind, tmp_path):
    tables, classes = [], set()
    for number, (disk, listed) in enumerate(FORMS):
        root, name = tmp_path / f"{number}", kind.partition("-")[0]
        lay_out(kind, root, disk, listed)
        store = add_dataset(f"{name}-2fpv" if name == "dfdc" else name, root, tmp_path / f"stores{number}")
        tables.append(store.samples.drop(columns="file"))
        classes.add(store.classes)
        assert "not there" not in store.manifest.note
    assert len(classes) == 1
    for table in tables[1:]:
        assert table.equals(tables[0])


def test_an_index_of_faces_knows_videos_in_any_form(tmp_path):
    lay_out("dfdc", tmp_path / "first", "NFD", "NFC")
    store = add_dataset("dfdc-2fpv", tmp_path / "first", tmp_path / "stores")
    lay_out("dfdc", tmp_path / "second", "NFC", "NFC")
    index = store.images_file.parent / "faces.parquet"
    shutil.copy(index, tmp_path / "second")
    again = add_dataset("dfdc-2fpv", tmp_path / "second", tmp_path / "again")
    assert again.samples.drop(columns="file").equals(store.samples.drop(columns="file"))


@pytest.mark.parametrize("kind", ["folder", "identities", "sfew"])
def test_two_forms_of_one_name_in_a_folder_are_both_named(kind, tmp_path, tell):
    inner = "Train/Happy" if kind == "sfew" else "happy"
    for form in ("NFC", "NFD"):
        write_noise(tmp_path / "raw" / inner / f"{in_form('é', form)}.png", (8, 8))
    for name in ("Angry", "Disgust", "Fear", "Neutral", "Sad", "Surprise", "Happy"):
        if kind == "sfew":
            write_noise(tmp_path / "raw" / "Train" / name / "1_1.png", (8, 8))
            write_noise(tmp_path / "raw" / "Val" / name / "1_1.png", (8, 8))
    write_noise(tmp_path / "raw" / "sad" / "1.png", (8, 8)) if kind != "sfew" else None
    said = tell("data", "add", kind, tmp_path / "raw", "--store", tmp_path / "stores")
    assert r"'\\xe9.png'" in said or r"'\xe9.png'" in said
    assert "e\\u0301.png" in said
    assert "in two Unicode forms" in said


def test_a_choice_that_looks_the_same_says_how_it_differs():
    said = nearest(in_form("é", "NFC"), [in_form("é", "NFD"), "other"])
    assert said.endswith(r"It looks the same and has another Unicode form: 'e\u0301', not '\xe9'")
    assert "Unicode" not in nearest("Happ", ["Happy"])


@pytest.mark.parametrize("kind", ["affectnet_lists", "megaface", "identities"])
def test_capitals_of_a_list_are_set_right(kind, raw, tell, tmp_path):
    root = raw(kind)
    file, old, new = {
        "affectnet_lists": ("training.csv", "0/t0.png", "0/T0.PNG"),
        "megaface": ("facescrub_lst", "Ann/Ann_1.png", "Ann/ANN_1.PNG"),
        "identities": ("pairs.csv", "Bob/Bob_1.png", "bob/BOB_1.PNG"),
    }[kind]
    text = (root / file).read_text()
    (root / file).write_text(text.replace(old, new, 1))
    said = tell("data", "add", kind.partition("_")[0], root, "--store", tmp_path / "stores")
    assert new in said
    assert f"did you mean '{old if kind == 'identities' else Path(old).name}'?" in said
