"""Every reader of the package: valid inputs, changed copies of them, and all that is read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.mutate import WORDS, change_file, changed_bytes, changed_json, changed_text

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Reader:
    """A reader to try.

    Parameters
    ----------
    make : callable
        Writes valid inputs into a folder.
    draw : callable
        (folder of the valid inputs, folder to write to, random numbers) → changed input.
    read : callable
        Reads an input completely.
    """

    make: Callable[[Path], None]
    draw: Callable[[Path, Path, np.random.Generator], Any]
    read: Callable[[Any], None]


def one_file(valid: Path, work: Path, rng: np.random.Generator) -> Path:
    """Changed copy of one of the files."""
    files = sorted(valid.iterdir())
    source = files[rng.integers(len(files))]
    target = Path(shutil.copy(source, work / source.name))
    change_file(target, rng)
    if not target.exists():
        target.write_bytes(b"")
    return target


def one_folder(*patterns: str) -> Callable[[Path, Path, np.random.Generator], Path]:
    """Draw a copy of a folder in which one or two files of the patterns are changed."""

    def draw(valid: Path, work: Path, rng: np.random.Generator) -> Path:
        folder = shutil.copytree(valid, work / "folder")
        for _ in range(rng.integers(1, 3)):
            pattern = patterns[rng.integers(len(patterns))]
            files = sorted(path for path in folder.rglob(pattern) if path.is_file())
            if files:
                change_file(files[rng.integers(len(files))], rng)
        return folder

    return draw


def _image(seed: int = 0, size: tuple[int, int] = (40, 48)) -> np.ndarray:
    return np.random.default_rng(seed).random(size, dtype=np.float32)


# TIFF, PNG and video


def _make_tiff(folder: Path) -> None:
    import tifffile

    levels = np.round(_image() * 65535).astype(np.uint16)
    grey = {"photometric": "minisblack"}
    for name, pixels, options in (
        ("8", (levels >> 8).astype(np.uint8), grey),
        ("16", levels, grey | {"compression": "zlib", "predictor": 2}),
        ("lzw", levels, grey | {"compression": "lzw"}),
        ("float", _image(), grey | {"compression": "zstd"}),
        ("signed", (levels.astype(np.int32) - 32768).astype(np.int16), grey),
        ("big", levels, grey | {"bigtiff": True}),
        ("rgb", np.stack([levels >> 8] * 3, -1).astype(np.uint8), {"photometric": "rgb"}),
    ):
        tifffile.imwrite(folder / f"{name}.tif", pixels, **options)
    stack = np.stack([levels] * 3)
    ome = {"axes": "TYX", "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm", "TimeIncrement": 1.0}
    tifffile.imwrite(folder / "stack.ome.tif", stack, **grey, metadata=ome)
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"unit": "um"})
    big = np.zeros((64, 64), np.uint16)
    tifffile.imwrite(folder / "tiles.tif", big, **grey, tile=(16, 16), compression="deflate")


def _make_png(folder: Path) -> None:
    from PIL import Image

    from spinscope.images import write_class_indices, write_image, write_label

    label = np.random.default_rng(0).integers(0, 5, (40, 48)).astype(np.uint8)
    write_image(folder / "8.png", _image())
    write_image(folder / "16.png", _image(), bits=16)
    write_label(folder / "label.png", label)
    write_class_indices(folder / "indices.png", label, 2e-7)
    levels = np.round(_image() * 255).astype(np.uint8)
    Image.fromarray(np.stack([levels] * 4, -1)).save(folder / "rgba.png")
    Image.fromarray(levels > 128).save(folder / "1.png")


def _read_recording(path: Path) -> None:
    from spinscope.recordings import image_of, open_recording

    with contextlib.closing(open_recording(path)) as recording:
        for index in {0, min(recording.n, 4) - 1}:
            image_of(recording.read(index), recording.scale)


def _read_image(path: Path) -> None:
    from spinscope.images import bit_depth, read_image, read_label

    first = None
    for read in (read_image, read_label, bit_depth, _read_recording):
        if read is read_label and path.suffix != ".png":
            continue
        try:
            read(path)
        except Exception as error:
            if _unexpected(error):
                raise
            first = first or error
    if first is not None:
        raise first


def _make_cameras(folder: Path) -> None:
    import mrcfile
    from tests.recordings.test_cameras import write_b16, write_dcimg, write_sif
    from tests.recordings.test_microscope import write_velox

    frames = np.round(np.stack([_image(k) for k in range(3)]) * 65535).astype(np.uint16)
    write_b16(folder / "frame.b16", frames[0], b"comment")
    write_sif(folder / "frames.sif", frames)
    for old in (False, True):
        write_dcimg(folder / f"frames{old:d}.dcimg", frames, old=old)
    with mrcfile.new(folder / "frames.mrc") as file:
        file.set_data(frames.astype(np.float32))
    write_velox(folder / "frames.emd", frames)


def _unexpected(error: Exception) -> bool:
    from spinscope.errors import SpinscopeError

    return not isinstance(error, SpinscopeError)


def _make_video(folder: Path) -> None:
    import av

    for name, codec in (("h264.mp4", "libx264"), ("mpeg4.avi", "mpeg4"), ("grey.mkv", "ffv1")):
        with av.open(folder / name, "w") as file:
            stream = file.add_stream(codec, rate=10)
            stream.width, stream.height = 48, 48
            stream.pix_fmt = "gray" if codec == "ffv1" else "yuv420p"
            for k in range(4):
                levels = np.round(_image(k, (48, 48)) * 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(levels, format="gray")
                for packet in stream.encode(frame):
                    file.mux(packet)
            for packet in stream.encode():
                file.mux(packet)


# Spin configurations


def _make_ovf(folder: Path) -> None:
    from spinscope.corpora.ovf import write_ovf

    m = np.random.default_rng(0).normal(size=(6, 8, 3))
    m /= np.linalg.norm(m, axis=-1, keepdims=True)
    for version in (1, 2):
        for form in ("text", "binary4", "binary8"):
            path = folder / f"{version}-{form}.ovf"
            write_ovf(path, m, (2e-9, 2e-9, 2e-9), version=version, form=form)


def _read_ovf(path: Path) -> None:
    from spinscope.corpora.ovf import film_of, read_ovf

    film_of(read_ovf(path))


# Datasets


def _make_dataset(folder: Path) -> None:
    from spinscope.datasets import Record, write_moke

    rng = np.random.default_rng(7)
    frames = [
        (Record(f"{k:04d}", k // 2, k // 4), _image(k), rng.integers(0, 3, (40, 48)).astype("u1"))
        for k in range(8)
    ]
    write_moke(folder / "moke", frames)


def _draw_dataset(*patterns: str) -> Callable[[Path, Path, np.random.Generator], Path]:
    draw = one_folder(*patterns)
    return lambda valid, work, rng: draw(next(valid.iterdir()), work, rng)


def _read_dataset(folder: Path) -> None:
    from spinscope.datasets import open_dataset

    dataset = open_dataset(folder)
    for index in {0, len(dataset) - 1}:
        dataset.image(index)
        dataset.label(index)
    dataset.select(batches=[dataset.records[0].batch])


def _make_shards(folder: Path) -> None:
    from spinscope.datasets.shards import write_corpus

    rng = np.random.default_rng(7)
    rows = (
        ({"name": f"{k}", "source": k, "batch": k // 2, "b_ext": 0.1},
         rng.integers(0, 256, (32, 32)).astype("u1"), rng.integers(0, 2, (32, 32)).astype("u1"))
        for k in range(6)
    )  # fmt: skip
    write_corpus(folder / "corpus", rows, header={"kind": "kerr", "seed": 1}, shard_frames=4)


def _read_shards(folder: Path) -> None:
    from spinscope.datasets.shards import damaged_files

    _read_dataset(folder)
    damaged_files(folder)


# Settings


def _make_params(folder: Path) -> None:
    shutil.copy(CHECKOUT / "params.yaml", folder)


def _read_params(path: Path) -> None:
    from spinscope.config import load_params, profile_names

    load_params(path=path, family="moke-unet")
    profile_names(path)


def _make_overrides(folder: Path) -> None:
    from spinscope.config import load_params

    settings = load_params("demo", path=CHECKOUT / "params.yaml").model_dump(mode="json")
    pairs = [
        f"{section}.{key}={json.dumps(value)}"
        for section, values in settings.items()
        if isinstance(values, dict)
        for key, value in values.items()
    ]
    (folder / "overrides").write_text("\n".join(pairs))


def _draw_override(valid: Path, work: Path, rng: np.random.Generator) -> str:
    pairs = (valid / "overrides").read_text().splitlines()
    pair = pairs[rng.integers(len(pairs))]
    kind = rng.integers(4)
    if kind == 0:
        return changed_bytes(pair.encode(), rng).decode(errors="surrogateescape")
    if kind == 1:
        return changed_text(pair, rng, separators=".=")
    words = [WORDS[rng.integers(len(WORDS))] for _ in range(3)]
    key = pair.partition("=")[0]
    return f"{key}={words[0]}" if kind == 2 else f"{'.'.join(words[:2])}={words[2]}"


def _read_override(override: str) -> None:
    from spinscope.config import load_params

    load_params("demo", [override], path=CHECKOUT / "params.yaml", family="moke-unet")


# Models, and requests to them


def _make_model(folder: Path) -> None:
    from tests.tracking.conftest import small_network

    from spinscope.inference.engine import export
    from spinscope.models.store import write_sums

    plain, exported = folder / "plain", folder / "exported"
    small_network(plain)
    small_network(exported)
    export(exported, exported)
    for one in (plain, exported):
        (one / "training_frames.json").write_text(json.dumps({"frames": ["a"], "simulated": {}}))
        write_sums(one)


def _draw_model(valid: Path, work: Path, rng: np.random.Generator) -> Path:
    from spinscope.models.store import NETWORK, write_sums

    folders = sorted(valid.iterdir())
    source = folders[rng.integers(len(folders))]
    if rng.random() < 0.4:  # a member of the network's archive, not the archive itself
        folder = shutil.copytree(source, work / "folder")
        with zipfile.ZipFile(folder / NETWORK) as archive:
            archive.extractall(work / "members")
        members = sorted((work / "members").iterdir())
        change_file(members[rng.integers(len(members))], rng)
        with zipfile.ZipFile(folder / NETWORK, "w") as archive:
            for path in (work / "members").iterdir():
                archive.write(path, path.name)
    else:
        folder = one_folder("*")(source, work, rng)
    if rng.random() < 0.9:  # as whoever changed the file would
        with contextlib.suppress(OSError):
            write_sums(folder)
    return folder


def _read_model(folder: Path) -> None:
    from spinscope import families
    from spinscope.datasets.seen import read_frames
    from spinscope.inference.predict import Predictor
    from spinscope.models.store import model_info

    families.of_model(model_info(folder))
    read_frames(folder)
    engine = "auto" if (folder / "openvino.xml").is_file() else "keras"  # without a conversion
    Predictor.load(folder, engine).classes(_image())


def _make_rest(folder: Path) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from tests.tracking.conftest import small_network

    from spinscope.families import get
    from spinscope.tracking import served

    small_network(folder / "network")
    types = {int: "long", float: "double", str: "string"}
    params = [ParamSpec(k, types[type(v)], v) for k, v in get("moke-unet").answer_options.items()]
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=served.__file__,
        artifacts={"model": str(folder / "network")},
        signature=ModelSignature(
            inputs=Schema([ColSpec("binary", "image")]), params=ParamSchema(params)
        ),
        pip_requirements=["mlflow"],
    )
    (folder / "images").mkdir()
    _make_png(folder / "images")


def _draw_rest(valid: Path, work: Path, rng: np.random.Generator) -> tuple[Path, bytes]:
    images = sorted((valid / "images").iterdir())
    content = images[rng.integers(len(images))].read_bytes()
    if rng.random() < 0.4:
        content = changed_bytes(content, rng)
    body = {
        "dataframe_records": [{"image": base64.b64encode(content).decode()}],
        "params": {"tta": 1, "pixel_size_nm": 80.0},
    }
    kind = rng.integers(4)
    if kind == 0:
        body = changed_json(body, rng)
    text = json.dumps(body).encode()
    return valid, changed_bytes(text, rng) if kind == 1 else text


_served: dict[str, Any] = {}


def _read_rest(given: tuple[Path, bytes]) -> None:
    import httpx

    valid, body = given
    if not _served:
        import mlflow
        from mlflow.pyfunc import scoring_server

        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        model = mlflow.pyfunc.load_model(str(valid / "model"))
        _served["app"] = scoring_server.init(model)

    async def ask() -> httpx.Response:
        app = httpx.ASGITransport(_served["app"], raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=app, base_url="http://model") as client:
            headers = {"Content-Type": "application/json"}
            return await client.post("/invocations", content=body, headers=headers)

    answer = asyncio.run(ask())
    if answer.status_code >= 500:
        raise RuntimeError(f"status {answer.status_code}: {answer.text[:300]}")


# Results and reviews


def _dark() -> Any:
    from tests.live.conftest import dark

    return dark()


def _make_film(folder: Path, frames: int = 6) -> Path:
    import tifffile
    from tests.conftest import discs

    rng = np.random.default_rng(3)
    stack = [np.round(discs(rng, size=64)[0] * 65535).astype(np.uint16) for _ in range(frames)]
    tifffile.imwrite(folder / "film.tif", np.stack(stack), photometric="minisblack")
    return folder / "film.tif"


def _segment(film: Path, out: Path, **options: Any) -> Any:
    from spinscope.live.pipeline import segment_recording
    from spinscope.recordings import open_recording

    settings = {"models": [{"ref": "stand-in", "sha256": "0"}], "min_px": 1}
    recording = open_recording(film, pixel_size=2e-7)
    return segment_recording(
        recording, _dark(), out, settings=settings, workers=1, chunk_frames=2, **options
    )


def _make_results(folder: Path) -> None:
    from spinscope import jobs
    from spinscope.config import load_params

    (folder / "results").mkdir()
    film = _make_film(folder / "results")
    results = _segment(film, folder / "results/film")
    jobs.measure(load_params("demo", path=CHECKOUT / "params.yaml"), results.folder)
    for path in results.folder.glob("plots*"):
        path.unlink()


def _draw_results(valid: Path, work: Path, rng: np.random.Generator) -> Path:
    folder = shutil.copytree(valid / "results/film", work / "film")
    files = ("summary.json", "objects.parquet", "frames.parquet", "masks.tif", "measurements.json")
    for _ in range(rng.integers(1, 3)):
        path = folder / files[rng.integers(len(files))]
        if path.is_file():
            change_file(path, rng)
    return folder


def _read_results(folder: Path) -> None:
    from spinscope import jobs
    from spinscope.config import load_params
    from spinscope.live.results import open_results

    results = open_results(folder)
    results.objects, results.frames  # noqa: B018
    for _ in results.masks():
        pass
    results.recording().close()
    jobs.export(folder, ["coco", "csv"], folder.parent / "out")
    jobs.measure(load_params("demo", path=CHECKOUT / "params.yaml"), folder)


def _read_page(folder: Path) -> None:
    import sys

    sys.path.insert(0, str(CHECKOUT / "dashboards"))
    from components.results_folder import figures, table

    figures(folder)
    table(folder, "tracks")


def _draw_page(valid: Path, work: Path, rng: np.random.Generator) -> Path:
    folder = shutil.copytree(valid / "results/film", work / "film")
    files = sorted([folder / "measurements.json", *folder.glob("tracks.csv")])
    change_file(files[rng.integers(len(files))], rng)
    return folder


def _make_chunks(folder: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop(done: int) -> None:
        if done >= 5:
            raise Interrupted

    with contextlib.suppress(Interrupted):
        _segment(_make_film(folder), folder / "out/film", on_frame=stop)
    assert list((folder / "out/film.chunks").glob("0*"))


def _draw_chunks(valid: Path, work: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    one_folder("*.json", "*.parquet", "*.tif")(valid / "out/film.chunks", work, rng)
    (work / "folder").rename(work / "film.chunks")
    return valid / "film.tif", work / "film"


def _read_chunks(given: tuple[Path, Path]) -> None:
    film, out = given
    results = _segment(film, out)
    assert results.n_frames == len(results.frames) == 6
    for _ in results.masks():
        pass


def _make_reviews(folder: Path) -> None:
    from spinscope.reviews.folder import Reviews

    reviews = Reviews.open(folder / "film")
    rng = np.random.default_rng(2)
    for k, status in enumerate(("accepted", "corrected", "rejected", "corrected")):
        masks = rng.integers(0, 3, (2, 40, 48)).astype("u1")
        reviews.add(
            f"frame {k % 3}", _image(k), masks[0], status=status, who="A. Reviewer", model="m",
            model_sha256="0" * 64, before=masks[1], window=(0, 0, 40, 48), treatment={"a": 1},
        )  # fmt: skip


def _read_reviews(folder: Path) -> None:
    from spinscope.reviews.folder import Reviews

    reviews = Reviews.open(folder)
    for frame in reviews.frames():
        for review in reviews.history(frame):
            reviews.image(review)
            reviews.shown(review)
            reviews.was_corrected(review)
            if review.status != "rejected":
                reviews.label(review)
        reviews.by_reviewer(frame)


# Masks of other programs


def _scenes() -> list[np.ndarray]:
    from tests.conftest import discs

    rng = np.random.default_rng(4)
    return [np.minimum(discs(rng, size=48)[1], 2) for _ in range(2)]


def _make_exported(*kinds: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        from spinscope.analysis.exports import KINDS, SUFFIXES

        frames = [(k, None, mask) for k, mask in enumerate(_scenes())]
        for kind in kinds:
            target = folder / f"a{SUFFIXES[kind]}"
            KINDS[kind](target, frames, classes=("background", "skyrmion", "defect"))

    return make


def _make_rois(folder: Path) -> None:
    import roifile

    _make_exported("roi")(folder)
    with zipfile.ZipFile(folder / "a.rois.zip") as archive:
        archive.extractall(folder)
    oval = roifile.ImagejRoi(name="o", roitype=roifile.ROI_TYPE.OVAL, bottom=9, right=9, position=1)
    path = np.array([0, 3, 3, 1, 9, 3, 1, 9, 9, 4, 0, 4, 4, 1, 5, 4, 1, 5, 5, 4], np.float32)
    both = roifile.ImagejRoi(
        name="c", roitype=roifile.ROI_TYPE.RECT, bottom=9, right=9, position=2,
        shape_roi_size=len(path), multi_coordinates=path,
    )  # fmt: skip
    for roi in (oval, both):
        roi.tofile(folder / f"{roi.name}.roi")


def _make_cellpose(folder: Path) -> None:
    from spinscope.analysis import label_objects

    masks = label_objects(_scenes()[0] == 1)[0].astype(np.uint16)
    content = {"masks": masks, "filename": "0001.tif", "flows": [masks / 7, None, []],
               "chan_choose": [0, 0], "diameter": np.float32(7)}  # fmt: skip
    np.save(folder / "0001_seg.npy", content)
    np.save(folder / "plain.npy", np.stack([masks] * 2))


def _make_tracks(folder: Path) -> None:
    from tests.analysis.test_read_tracks import CSV, XML

    _make_exported("trackmate")(folder)
    (folder / "spots.csv").write_text(CSV)
    (folder / "shown.xml").write_text(XML)
    (folder / "table.csv").write_text("track;frame;y (px);x (px)\n5;0;10,5;5\n5;1;12;6\n;1;9;9\n")


def _read_tracks(path: Path) -> None:
    import pandas as pd

    from spinscope.analysis import assign_tracks
    from spinscope.analysis.imports import read_tracks

    spots = read_tracks(path, n_frames=2, pixel_size=2e-7)
    objects = pd.DataFrame({"frame": [0, 1], "y_px": 6.0, "x_px": 12.0, "diameter_px": 40.0})
    assign_tracks(objects, spots)


def _read_masks(path: Path) -> None:
    from spinscope.analysis.imports import Target, open_masks

    target = Target(Path("film.tif"), (48, 48), ["0000", "0001"], "film", 1, overlap=True)
    for draw in open_masks(path, target).values():
        draw()


# Download of the published images


def _make_archive(folder: Path) -> None:
    import hashlib

    _make_dataset(folder)
    shutil.make_archive(str(folder / "moke"), "zip", folder / "moke")
    content = (folder / "moke.zip").read_bytes()
    shutil.rmtree(folder / "moke")
    record = {
        "files": [{
            "key": "moke.zip", "size": len(content), "links": {"self": "http://record/moke.zip"},
            "checksum": f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}",
        }]
    }  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))


def _draw_archive(valid: Path, work: Path, rng: np.random.Generator) -> Path:
    import hashlib

    folder = shutil.copytree(valid, work / "source")
    if rng.random() < 0.5:
        change_file(folder / "record.json", rng)
    else:
        change_file(folder / "moke.zip", rng)
    if (folder / "moke.zip").is_file() and (folder / "record.json").is_file():
        content = (folder / "moke.zip").read_bytes()
        with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
            record = json.loads((folder / "record.json").read_text())
            if rng.random() < 0.8:  # as a server with this archive would state it
                checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
                record["files"][0] |= {"size": len(content), "checksum": f"md5:{checksum}"}
                (folder / "record.json").write_text(json.dumps(record))
    return folder


def _read_archive(folder: Path) -> None:
    import httpx

    from spinscope.config import load_params
    from spinscope.datasets import fetch

    class Blocks(httpx.SyncByteStream):
        def __init__(self, content: bytes):
            self.content = content

        def __iter__(self):
            yield self.content

    def answer(request: httpx.Request) -> httpx.Response:
        name = "moke.zip" if request.url.path.endswith("moke.zip") else "record.json"
        path = folder / name
        return (
            httpx.Response(200, stream=Blocks(path.read_bytes()))
            if path.is_file()
            else httpx.Response(404)
        )

    transport = httpx.MockTransport(answer)
    fetch._client = lambda: httpx.Client(transport=transport)
    size = (folder / "moke.zip").stat().st_size if (folder / "moke.zip").is_file() else 1
    settings = load_params("demo", path=CHECKOUT / "params.yaml").fetch.model_copy(
        update={"api": "http://record/api", "file": "moke.zip", "size": max(1, size),
                "max_unpacked": 10**7, "retries": 0}
    )  # fmt: skip
    fetch.fetch_moke(folder.parent / "moke", settings, backoff=0)


READERS = {
    "tiff": Reader(_make_tiff, one_file, _read_image),
    "png": Reader(_make_png, one_file, _read_image),
    "video": Reader(_make_video, one_file, _read_recording),
    "cameras": Reader(_make_cameras, one_file, _read_recording),
    "ovf": Reader(_make_ovf, one_file, _read_ovf),
    "table.csv": Reader(_make_dataset, _draw_dataset("table.csv"), _read_dataset),
    "partition.txt": Reader(_make_dataset, _draw_dataset("partition.txt"), _read_dataset),
    "dataset": Reader(_make_dataset, _draw_dataset("*"), _read_dataset),
    "shards": Reader(_make_shards, _draw_dataset("*"), _read_shards),
    "params.yaml": Reader(_make_params, one_file, _read_params),
    "set": Reader(_make_overrides, _draw_override, _read_override),
    "model": Reader(_make_model, _draw_model, _read_model),
    "rest": Reader(_make_rest, _draw_rest, _read_rest),
    "results": Reader(_make_results, _draw_results, _read_results),
    "measurements.json": Reader(_make_results, _draw_page, _read_page),
    "chunks": Reader(_make_chunks, _draw_chunks, _read_chunks),
    "reviews": Reader(_make_reviews, _draw_dataset("*"), _read_reviews),
    "rois": Reader(_make_rois, one_file, _read_masks),
    "coco": Reader(_make_exported("coco"), one_file, _read_masks),
    "label images": Reader(_make_exported("labels", "classes"), one_file, _read_masks),
    "cellpose": Reader(_make_cellpose, one_file, _read_masks),
    "tracks": Reader(_make_tracks, one_file, _read_tracks),
    "fetch": Reader(_make_archive, _draw_archive, _read_archive),
}
"""Name in the table → reader."""
