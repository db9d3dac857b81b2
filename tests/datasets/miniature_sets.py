"""A miniature of every data set that has an adapter, in its publisher's layout: noise instead of faces."""

import csv
import json

import numpy as np
import pandas as pd
from miniature_fer2013 import make_rows, write_csv
from miniature_people import make_lfw
from miniature_videos import write_face_film
from PIL import Image

from fer_repro.datasets.store import write_store
from fer_repro.datasets.templates import PLACES
from fer_repro.datasets.votes import EXPRESSIONS

SEVEN = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
FILMED = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
ANNOTATED = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)

FIRST_FILES = {  # of each layout, one that its adapter reads
    "ckplus48": "anger/S000_001_00000009.png",
    "ckplus": "cohn-kanade-images/S000/001/S000_001_00000001.png",
    "rafdb": "basic/Image/aligned/train_00001_aligned.jpg",
    "affectnet": "train_set/images/0.png",
    "affectnet_lists": "Manually_Annotated_Images/0/t0.png",
    "sfew": "Train/Happy/Film3_001_0001.png",
    "afew": "Train_AFEW/Happy/000000003/0000001.jpg",
    "folder": "happy/0.png",
    "lfw": "Ann_A/Ann_A_0001.png",
    "identities": "Ann/Ann_1.png",
    "ijb": "loose_crop/1.jpg",
    "megaface": "facescrub_images/Ann/Ann_1.png",
    "dfdc": "dfdc_train_part_0/real.mp4",
    "ffpp": "original_sequences/youtube/c23/videos/000.mp4",
    "celebdf": "Celeb-real/id0_0000.mp4",
}


def write_noise(path, shape=(12, 12, 3), seed=0):
    """Write an image of noise, making its folders; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)
    return path


def write_text(path, text):
    """Write a text, making its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def fer2013(root):
    write_csv(root / "fer2013.csv", make_rows())


def ferplus(root):
    labels, usages, images = make_rows()
    write_csv(root / "fer2013.csv", (labels, usages, images))
    folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    rows = [
        (usage, f"fer{n:07}.png", [10 * (k == n % 8) for k in range(10)]) for n, usage in enumerate(usages)
    ]
    with (root / "fer2013new.csv").open("w", newline="") as file:
        header = ["Usage", "Image name", *EXPRESSIONS, "unknown", "NF"]
        csv.writer(file).writerows([header, *([usage, name, *votes] for usage, name, votes in rows)])
    for usage, folder in folders.items():
        lines = [
            f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}\n' for u, name, votes in rows if u == usage
        ]
        write_text(root / folder / "label.csv", "".join(lines))


def ckplus48(root):
    for number in range(14):
        for frame in range(9, 12):
            name = f"S{number:03}_001_{frame:08}.png"
            write_noise(root / SEVEN[number % 7] / name, (48, 48), 100 * number + frame)


def ckplus(root):
    for number in range(10):
        name = f"S{number:03}"
        for frame in range(1, 3):
            write_noise(
                root / "cohn-kanade-images" / name / "001" / f"{name}_001_{frame:08}.png", (12, 12), number
            )
        write_text(
            root / "Emotion" / name / "001" / f"{name}_001_00000002_emotion.txt", f"  {number % 7 + 1}.0\n"
        )


def rafdb(root):
    names = [f"train_{number:05}" for number in range(1, 9)] + ["test_0001", "test_0002"]
    for number, name in enumerate(names):
        write_noise(root / "basic" / "Image" / "aligned" / f"{name}_aligned.jpg", seed=number)
    lines = [f"{name}.jpg {number % 7 + 1}\n" for number, name in enumerate(names)]
    write_text(root / "basic" / "EmoLabel" / "list_patition_label.txt", "".join(lines))


def affectnet(root):
    for part, count in (("train_set", 8), ("val_set", 8)):
        for number in range(count):
            write_noise(root / part / "images" / f"{number}.png", seed=number)
            (root / part / "annotations").mkdir(exist_ok=True)
            for kind, value in (("exp", number), ("val", -0.5), ("aro", 0.25)):
                np.save(root / part / "annotations" / f"{number}_{kind}.npy", np.array(value))


def affectnet_lists(root):
    for name, codes in (("training", (0, 1, 2)), ("validation", (7, 3))):
        lines = [ANNOTATED]
        for number, code in enumerate(codes):
            file = f"{number}/{name[:1]}{number}.png"
            write_noise(root / "Manually_Annotated_Images" / file, seed=number)
            lines.append(f"{file},1,2,6,6,1.5;2.5,{code},0.5,-0.25")
        write_text(root / f"{name}.csv", "\n".join(lines) + "\n")


def sfew(root):
    for part in ("Train", "Val"):
        for number, name in enumerate(FILMED):
            write_noise(root / part / name / f"Film{number}_001_0001.png", seed=number)


def afew(root):
    for part in ("Train_AFEW", "Val_AFEW"):
        for number, name in enumerate(FILMED):
            write_noise(root / part / name / f"{number:09}" / "0000001.jpg", seed=number)


def folder(root):
    for label, name in enumerate(("happy", "sad")):
        for number in range(6):
            write_noise(root / name / f"{number}.png", seed=10 * label + number)


def lfw(root):
    make_lfw(root)


def identities(root):
    for person in ("Ann", "Bob", "Cy"):
        for number in (1, 2):
            write_noise(root / person / f"{person}_{number}.png", seed=number)
    write_text(
        root / "pairs.csv",
        "first,second,same\nAnn/Ann_1.png,Ann/Ann_2.png,1\nAnn/Ann_1.png,Bob/Bob_1.png,0\n",
    )


def ijb(root):
    places = " ".join(f"{value:.2f}" for value in PLACES.ravel())
    for number in range(1, 4):
        write_noise(root / "loose_crop" / f"{number}.jpg", (120, 120, 3), number)
    write_text(root / "meta" / "ijbc_face_tid_mid.txt", "1.jpg 1 10\n2.jpg 1 11\n3.jpg 2 12\n")
    write_text(
        root / "meta" / "ijbc_name_5pts_score.txt", "".join(f"{n}.jpg {places} 0.9\n" for n in (1, 2, 3))
    )
    write_text(root / "meta" / "ijbc_template_pair_label.txt", "1 2 0\n1 1 1\n")


def megaface(root):
    probes, others = ("Ann/Ann_1.png", "Ann/Ann_2.png"), ("0/0@N/0_0.png", "1/1@N/1_0.png")
    for name, files in (("facescrub", probes), ("megaface", others)):
        for number, file in enumerate(files):
            write_noise(root / f"{name}_images" / file, seed=number)
        write_text(root / f"{name}_lst", "".join(f"{file}\n" for file in files))
        write_text(root / f"{name}_noises.txt", "#\n")


def ffpp(root):
    for number in range(6):
        write_face_film(root / "original_sequences/youtube/c23/videos" / f"{number:03}.mp4", number, 2)
        name = f"{number:03}_{number + 1 - 2 * (number % 2):03}.mp4"
        write_face_film(root / "manipulated_sequences/Deepfakes/c23/videos" / name, number + 1, 2)
    for split, pair in {"train": ["000", "001"], "val": ["002", "003"], "test": ["004", "005"]}.items():
        write_text(root / f"{split}.json", json.dumps([pair]))


def dfdc(root):
    part = root / "dfdc_train_part_0"
    for number, name in enumerate(("real", "fake")):
        write_face_film(part / f"{name}.mp4", number, 2)
    entries = {"real.mp4": {"label": "REAL"}, "fake.mp4": {"label": "FAKE", "original": "real.mp4"}}
    write_text(part / "metadata.json", json.dumps(entries))


def celebdf(root):
    names = (
        "Celeb-real/id0_0000",
        "Celeb-real/id1_0000",
        "YouTube-real/00000",
        "Celeb-synthesis/id0_id1_0000",
    )
    for number, name in enumerate(names):
        write_face_film(root / f"{name}.mp4", number, 2)
    write_text(root / "List_of_testing_videos.txt", "1 Celeb-real/id1_0000.mp4\n")


def resampled(root):
    """A set of twenty people of two images each, as an adapter of real faces keeps it."""
    count = 40
    images = np.random.default_rng(3).integers(0, 256, (count, 16, 16, 3), np.uint8)
    people = [f"face {number // 2}" for number in range(count)]
    table = pd.DataFrame({"image": range(count), "label": 0, "subject": people, "clip": "", "split": "train"})
    write_store(root, "identities-mine", ("one",), images, table, {}, force=True)


LAYOUTS = {
    "fer2013": fer2013, "ferplus": ferplus, "ckplus48": ckplus48, "ckplus": ckplus, "rafdb": rafdb,
    "affectnet": affectnet, "affectnet_lists": affectnet_lists, "sfew": sfew, "afew": afew, "folder": folder,
    "lfw": lfw, "identities": identities, "ijb": ijb, "megaface": megaface, "ffpp": ffpp, "dfdc": dfdc,
    "celebdf": celebdf, "resampled": resampled,
}  # fmt: skip
"""Name -> what lays the set out in a folder; ``affectnet_lists`` is the other layout of AffectNet."""
