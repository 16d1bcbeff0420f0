"""Cleaning of raw Kerr recordings: speed, memory, drift against scikit-image, background.

Frames per second: 16-bit frames of 512 x 672 pixels from one TIFF stack to another with all steps,
in two threads; the peer is the rate of a camera, 30 frames/s. The same of a long recording of
`--gb` gigabytes (default 4) and its memory: peak of the process that cleans it, above that before
its first frame; the peer is the same with 1 GB. Drift: root
mean square error and 95 % point of 48 shifts of up to 12 px, where structure and domains, which
reverse meanwhile, have half the standard deviation of the noise each; the peer is
`skimage.registration.phase_cross_correlation` on the same frames, each against the first one, and
on shifted published Kerr frames, which share the noise of a reference.
Background: root mean square residual of the mean of regions of 16 x 16 pixels against the true
contrast; the peer is the frame over the aligned first frame without the other steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import fft, ndimage

from _rows import row, seconds_of
from _stacks import write_stack
from spinscope.config import Intake, load_params, moke_path
from spinscope.datasets import open_dataset
from spinscope.intake.cleaning import Cleaner
from spinscope.intake.registration import Registration, aligned
from spinscope.recordings import open_recording

SHAPE, MARGIN, SNR, KERR = (512, 672), 32, 0.5, 0.02
CAMERA = 30.0


def main(gigabytes: float) -> dict[str, dict]:
    """Measure, with a long recording of `gigabytes`; returns name → {value, unit, peer, ratio}."""
    with tempfile.TemporaryDirectory() as folder:
        rate = frames_per_s(Path(folder))
    (memory, long_rate), (small, _) = (long_recording(gb) for gb in (gigabytes, 1))
    errors, times = drift_errors()
    published = published_errors()
    residual, peer = background_residual()
    return {
        "intake.frames_per_s": row(rate, "1/s", CAMERA),
        "intake.long_frames_per_s": row(long_rate, "1/s", CAMERA),
        "intake.memory_mb": row(memory, "MB", small, small / memory),
        "intake.drift_rms_px": row(
            errors["ours"][0], "px", errors["peer"][0], errors["peer"][0] / errors["ours"][0]
        ),
        "intake.drift_p95_px": row(
            errors["ours"][1], "px", errors["peer"][1], errors["peer"][1] / errors["ours"][1]
        ),
        "intake.drift_published_px": row(
            published["ours"], "px", published["peer"], published["peer"] / published["ours"]
        ),
        "intake.drift_ms": row(times["ours"], "ms", times["peer"], times["peer"] / times["ours"]),
        "intake.residual": row(residual, "contrast", peer, peer / residual),
    }


def settings() -> Intake:
    """Settings as shipped."""
    return load_params("laptop").intake


def moved(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """Periodic image whose content is displaced by a fraction of a pixel."""
    ky, kx = fft.fftfreq(image.shape[0])[:, None], fft.rfftfreq(image.shape[1])
    return fft.irfft2(fft.rfft2(image) * np.exp(-2j * np.pi * (ky * y + kx * x)), s=image.shape)


def structure(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Roughness and 60 specks of dust, blurred by optics: zero mean, unit SD."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    rough = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5, mode="wrap")
    specks = np.zeros(shape)
    for _ in range(60):
        cy, cx, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(1.5, 5)
        specks -= np.clip(0.5 + radius - np.hypot(y - cy, x - cx), 0, 1)
    both = rough / rough.std() + 6 * ndimage.gaussian_filter(specks, 1.2, mode="wrap")
    return (both - both.mean()) / both.std()


def reversal(shape: tuple[int, int], n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Magnetisation (H, W) of each frame, from -1 to +1 by domains."""
    base = ndimage.gaussian_filter(rng.standard_normal(shape), 25, mode="wrap")
    base /= base.std()
    return [np.tanh((base - level) * 15) for level in np.linspace(1.5, -1.5, n)]


def drift_errors() -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """RMS and 95 % point of the errors in px, and milliseconds per frame, of ours and the peer."""
    from skimage.registration import phase_cross_correlation

    errors: dict[str, list[np.ndarray]] = {"ours": [], "peer": []}
    seconds = dict.fromkeys(errors, 0.0)
    large = tuple(side + 2 * MARGIN for side in SHAPE)
    inner = (slice(MARGIN, -MARGIN),) * 2
    for seed in range(2):
        rng = np.random.default_rng(seed)
        still, n = structure(large, rng), 25
        shifts = rng.uniform(-12, 12, (n, 2))
        shifts[0] = 0
        frames = [
            np.float32(SNR * moved(still + m, *d)[inner] + rng.standard_normal(SHAPE))
            for m, d in zip(reversal(large, n, rng), shifts, strict=True)
        ]
        registration = Registration(frames[0], frames[1::3])
        for frame, true in zip(frames[1:], shifts[1:], strict=True):
            found: dict[str, np.ndarray] = {}
            seconds["ours"] += seconds_of(
                lambda f=frame, a=found, r=registration: a.update(ours=np.array(r.drift(f)[:2]))
            )
            seconds["peer"] += seconds_of(
                lambda f=frame, a=found, r=frames[0]: a.update(
                    peer=-phase_cross_correlation(r, f, upsample_factor=20)[0]
                )
            )
            for name, value in found.items():
                errors[name].append(value - true)
    count = len(errors["ours"])
    return (
        {
            name: (float(np.sqrt(np.mean(np.square(e)))), float(np.quantile(np.abs(e), 0.95)))
            for name, e in errors.items()
        },
        {name: 1e3 * value / count for name, value in seconds.items()},
    )


def published_errors() -> dict[str, float]:
    """RMS errors in px of shifts of up to 8 px of the published Kerr frames, of ours and the peer.

    The films have three frames or more, of which every second one is an example. The frames are
    difference images of one reference each, whose noise they share; their skyrmions move.
    """
    from skimage.registration import phase_cross_correlation

    rng, inner = np.random.default_rng(0), (slice(16, -16),) * 2
    films: dict[int, list[np.ndarray]] = defaultdict(list)
    for record, image, _ in open_dataset(moke_path()):
        films[record.source].append(image)
    errors: dict[str, list[np.ndarray]] = {"ours": [], "peer": []}
    for images in films.values():
        if len(images) < 3:
            continue
        shifts = rng.uniform(-8, 8, (len(images), 2))
        shifts[0] = 0
        frames = [
            moved(image, *d)[inner].astype(np.float32)
            for image, d in zip(images, shifts, strict=True)
        ]
        registration = Registration(frames[0], frames[1::2])
        for frame, true in zip(frames[1:], shifts[1:], strict=True):
            errors["ours"].append(registration.drift(frame)[:2] - true)
            found = phase_cross_correlation(frames[0], frame, upsample_factor=20)[0]
            errors["peer"].append(-found - true)
    return {name: float(np.sqrt(np.mean(np.square(e)))) for name, e in errors.items()}


def raw_frames(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Raw frames (n, H, W) uint16, and their contrast against the first one."""
    rng = np.random.default_rng(seed)
    large = tuple(side + 2 * MARGIN for side in SHAPE)
    inner = (slice(MARGIN, -MARGIN),) * 2
    reflectivity = 1 + 0.05 * structure(large, rng)
    domains = reversal(large, n, rng)
    drift = np.cumsum(rng.uniform(-0.5, 0.5, (n, 2)), axis=0)
    hot = np.zeros(SHAPE, dtype=bool)
    hot.flat[rng.choice(hot.size, 60, replace=False)] = True
    y, x = (np.linspace(-1, 1, side) for side in SHAPE)
    frames, truth = [], []
    for k, (m, d) in enumerate(zip(domains, drift - drift[0], strict=True)):
        frame = moved(reflectivity * (1 + KERR * m), *d)[inner]
        frame *= 1 + 0.02 * (np.sin(k) * y[:, None] + np.cos(k) * x)
        frame *= 1 - 0.1 * y[:, None] ** 2 - 0.05 * x**2
        frame += 0.02 * rng.standard_normal(SHAPE) + 0.01 * rng.standard_normal((SHAPE[0], 1))
        frame[hot] += 0.4
        frames.append(np.rint(np.clip(frame, 0, 5) * 8000).astype(np.uint16))
        truth.append(((1 + KERR * m) / (1 + KERR * domains[0]) - 1)[inner])
    return np.stack(frames), np.stack(truth)


def background_residual() -> tuple[float, float]:
    """RMS residual of blocks of 16 x 16 px, of all steps and of the ratio to the first frame."""
    from spinscope.recordings.array import ArrayRecording

    frames, truth = raw_frames(12)
    recording = ArrayRecording(frames, "raw")
    cleaner = Cleaner(recording, settings())
    found: dict[str, list[np.ndarray]] = {"ours": [], "peer": []}
    for k in range(1, len(frames)):
        one = cleaner(frames[k], k)
        plain, _ = aligned(frames[k], *one.drift[:2])
        found["ours"].append(blocks(one.contrast - truth[k]))
        found["peer"].append(blocks(plain / frames[0] - 1 - truth[k]))
    ours, peer = (float(np.sqrt(np.mean(np.square(e)))) for e in found.values())
    return ours, peer


def blocks(image: np.ndarray) -> np.ndarray:
    """Means of blocks of 16 x 16 px, without a rim of one block, which drifts out of view."""
    height, width = (side // 16 for side in image.shape)
    means = image[: height * 16, : width * 16].reshape(height, 16, width, 16).mean(axis=(1, 3))
    return means[1:-1, 1:-1]


def frames_per_s(folder: Path, count: int = 300) -> float:
    """Frames per second of a stack, with the fit of weights, reference and span."""
    from spinscope.intake.pipeline import clean_recording

    path = folder / "raw.tif"
    write_stack(path, raw_frames(12)[0], count)
    seconds = seconds_of(
        lambda: clean_recording(open_recording(path), folder / "clean", settings(), workers=2)
    )
    return count / seconds


def long_recording(gigabytes: float) -> tuple[float, float]:
    """Peak memory in MB and frames per second of a process that cleans a stack."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raw" / "raw.tif"
        path.parent.mkdir()
        frames = raw_frames(4)[0]
        count = int(gigabytes * 1e9 / frames[0].nbytes)
        write_stack(path, frames, count)
        command = [sys.executable, __file__, "--clean", str(path), str(Path(folder) / "clean")]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    memory, seconds = map(float, done.stdout.splitlines()[-1].split())
    return memory, count / seconds


def memory_and_seconds(path: Path, out: Path) -> tuple[float, float]:
    """Peak memory of this process above that before the first frame in MB, and seconds."""
    import tifffile  # noqa: F401 - part of the program, not of the work

    from spinscope.intake.pipeline import clean_recording

    before = _status_mb("VmRSS")
    seconds = seconds_of(lambda: clean_recording(open_recording(path), out, settings(), workers=2))
    return _status_mb("VmHWM") - before, seconds


def _status_mb(key: str) -> float:
    """Entry of /proc/self/status in MB; `resource` would include the parent's peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=4, help="gigabytes of the long recording")
    parser.add_argument("--clean", nargs=2, type=Path, metavar=("STACK", "OUT"))
    words = parser.parse_args()
    if words.clean:
        print(*memory_and_seconds(*words.clean))
    else:
        print(json.dumps(main(words.gb)))
