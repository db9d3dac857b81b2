"""How fast are predictions, and what do they cost beside the plain network?

``python benchmarks/inference.py RUN [VIDEO...]`` prints Markdown tables. First the time of ``predict`` for
faces that are cut out already, beside the bare network on a tensor in memory: alternately, median of the
rounds. Then, for each video, frames per second of its parts: decoding alone, decoding with detection, all;
and once more with the boxes known, as a second network gets them. Torch has one thread unless OMP_NUM_THREADS
sets another number; OpenCV's detector takes all there are.
"""

import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from fer_repro.inference.export import export_onnx
from fer_repro.inference.faces_in import FaceFinder, KnownBox, choose_detector
from fer_repro.inference.loading import load, open_weights
from fer_repro.inference.networks import load_state
from fer_repro.inference.prediction_rows import predict_rows
from fer_repro.inference.sources import video_frames
from fer_repro.loading.augmentation import clean_images

ROUNDS, FRAMES = 15, 64
BATCHES = (1, 8, 64)


def seconds(*calls):
    """Median seconds of each call, timed alternately."""
    spent = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, spent, strict=True):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
    return [statistics.median(times) for times in spent]


def latencies(run, onnx):
    """Rows of the table of latencies, one per batch."""
    state, spec = open_weights(run)
    network = load_state(spec, state, str(run))
    model, other = load(run, device="cpu"), load(onnx, threads=torch.get_num_threads())
    shape = (spec.face_size, spec.face_size, *((3,) if spec.channels == 3 else ()))
    for batch in BATCHES:
        faces = np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)
        channels = faces.reshape(batch, spec.face_size, spec.face_size, -1).transpose(0, 3, 1, 2)
        images = clean_images(torch.from_numpy(channels.copy()), spec.image_size)
        inputs = (images.unsqueeze(0),) if spec.shows == "frames" else (images,)

        def bare(inputs=inputs):
            with torch.inference_mode():
                network(*inputs)

        def whole(model=model, faces=faces):
            return model.predict(faces, detector="none")

        plain, ours, theirs = seconds(bare, whole, lambda faces=faces: other.predict(faces, detector="none"))
        yield batch, 1e3 * plain / batch, 1e3 * ours / batch, 1e3 * theirs / batch


def rates(model, path):
    """Frames per second of a video's first frames: decoding, with detection, all, all with known boxes."""
    finder = FaceFinder(model.spec, choose_detector("cascade"), "largest")

    def first():
        for at, image in video_frames(path):
            if at == FRAMES:
                return
            yield at, image

    def look(found):
        from fer_repro.inference.sources import Seen

        for at, image in first():
            yield Seen(str(path), at, str(path), found.find(image, str(path), at))

    def decode():
        return sum(1 for _ in first())

    def detect():
        return sum(1 for _ in look(finder))

    known = {(str(path), each.frame): [KnownBox(0, face.box) for face in each.faces] for each in look(finder)}
    knowing = FaceFinder(model.spec, choose_detector("cascade"), "largest", known)

    def everything(found):
        return list(predict_rows(look(found), model.spec, model.backend))

    for call in (decode, detect, lambda: everything(finder), lambda: everything(knowing)):
        begin = time.perf_counter()
        call()
        yield FRAMES / (time.perf_counter() - begin)


def main(run, *videos):
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    run = Path(run)
    state, spec = open_weights(run)
    print("| batch | bare network, ms per face | predict, torch | predict, ONNX Runtime |")
    print("| --- | --- | --- | --- |")
    with TemporaryDirectory() as folder:
        onnx = Path(folder) / "model.onnx"
        export_onnx(load_state(spec, state, str(run)), spec, onnx)
        for batch, *times in latencies(run, onnx):
            print(f"| {batch} | {' | '.join(f'{each:.2f}' for each in times)} |", flush=True)
    model = load(run, device="cpu")
    print("\n| video | size | decode, frames per second | with detection | with prediction | boxes known |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in videos:
        _, image = next(video_frames(Path(name)))
        size = f"{image.shape[1]} x {image.shape[0]}"
        shown = " | ".join(f"{each:.1f}" for each in rates(model, Path(name)))
        print(f"| {Path(name).name} | {size} | {shown} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
