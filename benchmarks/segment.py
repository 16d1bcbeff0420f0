"""Segmentation of a recording of 16-bit frames of 512 x 672 pixels, from file to results.

Frames per second: from opening the TIFF stack to the finished folder of results, with the model
loaded. Peer: Keras and scikit-image's regionprops on the same frames, one after the other.
Memory: peak above the loaded model, of a stack of 10 000 small frames and of an image of
16 384 x 16 384 pixels, each in a separate process. Peer: the limit, 2 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from _rows import row, seconds_of
from _stacks import write_stack
from spinscope import jobs
from spinscope.config import load_params
from spinscope.corpora.kerr import kerr_frames
from spinscope.inference.predict import Predictor, standardise

MODEL = "bundled:moke-unet"
SHAPE, FRAMES, DISTINCT = (512, 672), 128, 16
LIMIT_GB = 2.0
QUANTITIES = (
    "area", "centroid", "axis_major_length", "axis_minor_length", "orientation",
    "eccentricity", "solidity", "euler_number", "mean_intensity", "bbox",
)  # fmt: skip


def main() -> dict[str, dict]:
    """Measure; returns name → {value, unit, peer, ratio}."""
    frames = simulated_frames()
    with tempfile.TemporaryDirectory() as folder:
        stack = Path(folder) / "stack.tif"
        write_stack(stack, frames, FRAMES)
        timing = segment(stack, Path(folder) / "warm") and segment(stack, Path(folder) / "out")
    keras_ms, peer_ms = of_peer(frames)
    engine_ms = of_engine(frames)
    value, stages = timing["frames_per_s"], timing["ms_per_frame"]
    memory = max(memory_above_model("stack"), memory_above_model("image"))
    return {
        "segment.frames_per_s": row(value, "1/s", 1e3 / peer_ms),
        "segment.engine_ms": row(engine_ms, "ms", keras_ms, keras_ms / engine_ms),
        "segment.memory_gb": row(memory, "GB", LIMIT_GB),
        # Thread time per frame; the stages run in parallel.
        **{f"segment.{stage}_ms": row(ms, "ms", 1e3 / value) for stage, ms in stages.items()},
    }


def simulated_frames() -> np.ndarray:
    """Simulated Kerr frames, (DISTINCT, H, W) uint16."""
    settings = load_params("laptop").kerr.model_copy(
        update={"height": SHAPE[0], "width": SHAPE[1], "workers": 2}
    )
    images = [image for _, image, _ in kerr_frames(DISTINCT, 1, settings)]
    return np.stack([np.round(np.asarray(i, dtype=np.float32) * 257) for i in images]).astype("u2")


def segment(path: Path, out: Path) -> dict:
    """Segment a recording; returns the timing of its results."""
    from spinscope.live.results import open_results

    (row,) = jobs.segment(load_params("laptop"), [path], [MODEL], out)
    return open_results(row["folder"]).summary["timing"]


def of_engine(frames: np.ndarray, repeats: int = 20) -> float:
    """Milliseconds per frame of the inference engine, one frame at a time."""
    predictor = jobs.predictor(load_params("laptop"), MODEL)
    return _per_call_ms(lambda i: predictor.engine(_batch(frames[i % len(frames)])), repeats)


def of_peer(frames: np.ndarray, repeats: int = 4) -> tuple[float, float]:
    """Milliseconds per frame of Keras, and of Keras and scikit-image."""
    from skimage.measure import label, regionprops_table

    from spinscope.tracking import resolve

    params = load_params("laptop")
    predictor = Predictor.load(resolve(params.tracking, MODEL), "keras")

    def both(i: int) -> None:
        mask = predictor.classes(frames[i]) == 1
        regionprops_table(label(mask, connectivity=2), frames[i], properties=QUANTITIES)

    network = _per_call_ms(lambda i: predictor.engine(_batch(frames[i % len(frames)])), 10)
    return network, _per_call_ms(both, repeats)


def memory_above_model(kind: str) -> float:
    """Peak memory of a segmentation above the loaded model in GB, in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{kind}.tif"
        rng = np.random.default_rng(0)
        if kind == "stack":
            frames = rng.integers(0, 2**16, (64, 128, 160)).astype(np.uint16)
            write_stack(path, frames, 10_000)
        else:
            write_mosaic(path, simulated_frames()[0], 16_384)
        command = [sys.executable, __file__, str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def write_mosaic(path: Path, frame: np.ndarray, side: int) -> None:
    """Write one image of `side` x `side` pixels that repeats a frame."""
    import tifffile

    image = tifffile.memmap(path, shape=(side, side), dtype=np.uint16, photometric="minisblack")
    for top in range(0, side, frame.shape[0]):
        rows = min(frame.shape[0], side - top)
        image[top : top + rows] = np.tile(frame[:rows], side // frame.shape[1] + 1)[:, :side]
    image.flush()


def measure_memory(path: Path) -> float:
    """Peak memory of this process above that after a first small frame, in GB."""
    params = load_params("laptop")
    predictor = jobs.predictor(params, MODEL)
    predictor.classes(np.zeros((64, 64), dtype=np.uint16))
    before = _status_gb("VmRSS")
    with tempfile.TemporaryDirectory(dir=path.parent) as out:
        jobs.segment(params, [path], [MODEL], Path(out))
    return _status_gb("VmHWM") - before


def _status_gb(key: str) -> float:
    """Entry of /proc/self/status in GB; `resource` would include the parent's peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024**2


def _batch(frame: np.ndarray) -> np.ndarray:
    """Standardised frame as a batch of one."""
    return standardise(frame)[None, ..., None]


def _per_call_ms(call, repeats: int) -> float:
    """Milliseconds per call(i), after a first call."""
    call(0)
    return seconds_of(lambda: [call(i) for i in range(repeats)]) / repeats * 1e3


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure_memory(Path(sys.argv[1])))
    else:
        print(json.dumps(main()))
