"""Tiny data sets in the exact form of each release: names, folders, sizes, types and conventions."""

import os
import signal
import time
import wave
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from palora_core.benchmarks.spoken_digits import SPEAKERS
from palora_core.preparation import adult as adult_form
from palora_core.preparation import census as census_form
from palora_core.preparation.celeba import ATTRIBUTES

CITIES = {"train": ("aachen", "bochum"), "val": ("lindau",)}
NYU_SHAPES = {
    "images": ((3, 640, 480), np.uint8),
    "depths": ((640, 480), np.float32),
    "labels": ((640, 480), np.uint16),
}


def write_png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, compress_level=1)


def cityscapes(root: Path, train: int = 4, val: int = 2) -> Path:
    """The official release: 1024 × 2048 PNGs, label ids, 16-bit disparities with 0 for unknown."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            city = CITIES[split][index % len(CITIES[split])]
            name = f"{split}/{city}/{city}_{index:06d}_000019"
            coarse = rng.integers(0, 256, (16, 32, 3), np.uint8).repeat(64, 0).repeat(64, 1)
            write_png(root / "leftImg8bit" / f"{name}_leftImg8bit.png", coarse)
            ids = rng.integers(0, 34, (16, 32), np.uint8).repeat(64, 0).repeat(64, 1)
            write_png(root / "gtFine" / f"{name}_gtFine_labelIds.png", ids)
            disparity = rng.integers(1, 32258, (16, 32)).astype(np.uint16).repeat(64, 0).repeat(64, 1)
            disparity[:64] = 0
            write_png(root / "disparity" / f"{name}_disparity.png", disparity)
    return root


def mtan(root: Path, size: tuple[int, int], folders: dict[str, str], train: int = 4, val: int = 2) -> Path:
    """MTAN's .npy folders; ``folders`` says of each which kind of array it holds."""
    rng = np.random.default_rng(1)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            for folder, kind in folders.items():
                path = root / split / folder / f"{index}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, mtan_array(rng, kind, size))
    return root


def mtan_array(rng: np.random.Generator, kind: str, size: tuple[int, int]) -> np.ndarray:
    if kind == "image":
        return rng.random((*size, 3)).astype(np.float32)
    if kind == "depth":
        return (rng.random((*size, 1)) * (rng.random((*size, 1)) > 0.2)).astype(np.float32)
    if kind == "normal":
        normals = rng.normal(size=(*size, 3))
        return (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)
    return rng.integers(-1, int(kind), size).astype(np.float64)


def cityscapes_mtan(root: Path) -> Path:
    return mtan(root, (128, 256), {"image": "image", "label_7": "7", "label_19": "19", "depth": "depth"})


def nyuv2_mtan(root: Path) -> Path:
    return mtan(root, (288, 384), {"image": "image", "label": "13", "depth": "depth", "normal": "normal"}, 3, 2)


def nyuv2(root: Path, count: int = 5) -> Path:
    """The labelled .mat: HDF5 whose axes are the reverse of MATLAB's, (N, 3, 640, 480)."""
    rng = np.random.default_rng(2)
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        for name, (shape, kind) in NYU_SHAPES.items():
            file.create_dataset(name, (count, *shape), kind)
        for index in range(count):
            file["images"][index] = rng.integers(0, 256, (3, 40, 30), np.uint8).repeat(16, 1).repeat(16, 2)
            file["depths"][index] = rng.uniform(1, 5, (20, 15)).astype(np.float32).repeat(32, 0).repeat(32, 1)
            file["labels"][index] = rng.integers(0, 895, (20, 15)).astype(np.uint16).repeat(32, 0).repeat(32, 1)
    return root


def utkface(root: Path, count: int = 20) -> Path:
    """Aligned and cropped faces of 200 × 200, and one of the release's names that lack a label."""
    rng = np.random.default_rng(3)
    folder = root / "UTKFace"
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = rng.integers(0, 256, (10, 10, 3), np.uint8).repeat(20, 0).repeat(20, 1)
        name = f"{1 + 5 * index}_{index % 2}_{index % 5}_2017011617{index:04d}0000.jpg.chip.jpg"
        Image.fromarray(pixels).save(folder / name)
    Image.fromarray(pixels).save(folder / "61_1_20170109142408075.jpg.chip.jpg")
    return root


def sarcos(root: Path, train: int = 100, test: int = 20) -> Path:
    rng = np.random.default_rng(4)
    root.mkdir(parents=True, exist_ok=True)
    for name, count in (("sarcos_inv", train), ("sarcos_inv_test", test)):
        savemat(root / f"{name}.mat", {name: rng.normal(size=(count, 28)) * 10})
    return root


def celeba(root: Path, count: int = 12) -> Path:
    """Pictures of 178 × 218; attributes and partition in the folders of the official download."""
    rng = np.random.default_rng(5)
    names = [f"{index + 1:06d}.jpg" for index in range(count)]
    for folder in ("Img/img_align_celeba", "Anno", "Eval"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = rng.integers(0, 256, (218, 178, 3), np.uint8)
        Image.fromarray(pixels).save(root / "Img/img_align_celeba" / name)
    values = rng.choice([-1, 1], (count, len(ATTRIBUTES)))
    rows = [f"{name} {' '.join(f'{value:2d}' for value in row)}" for name, row in zip(names, values)]
    text = "\n".join([str(count), " ".join(ATTRIBUTES) + " ", *rows, ""])
    (root / "Anno/list_attr_celeba.txt").write_text(text)
    parts = "".join(f"{name} {index * 3 // count}\n" for index, name in enumerate(names))
    (root / "Eval/list_eval_partition.txt").write_text(parts)
    return root


EDUCATION = ("Children", "Bachelors degree(BA AB BS)", "Masters degree(MA MS MEng MEd MSW MBA)", "High school graduate")


def census_row(rng: np.random.Generator, household: str = "Householder") -> str:
    """One row of the KDD files: 42 values, ", " between them, a full stop after the label."""
    values = {name: rng.choice(["Not in universe", "Some value", "?"]) for name in census_form.COLUMNS}
    values |= {
        name: str(rng.integers(0, 100)) for name in ("AAGE", "AHRSPAY", "CAPGAIN", "CAPLOSS", "DIVVAL", "WKSWORK")
    }
    values |= {"AHGA": rng.choice(EDUCATION), "ASEX": rng.choice(["Male", "Female"]), "HHDFMX": household}
    values |= {"MARSUPWT": f"{rng.uniform(500, 3000):.2f}", "YEAR": "95", "INCOME": "- 50000."}
    return ", ".join(values[name] for name in census_form.COLUMNS)


def census(root: Path, train: int = 60, test: int = 20) -> Path:
    rng = np.random.default_rng(6)
    root.mkdir(parents=True, exist_ok=True)
    rows = [census_row(rng) for _ in range(train)] + [census_row(rng, census_form.RARE)]
    (root / "census-income.data").write_text("\n".join(rows) + "\n")
    (root / "census-income.test").write_text("\n".join(census_row(rng) for _ in range(test)) + "\n")
    return root


def adult_row(rng: np.random.Generator, end: str = "") -> str:
    values = {name: rng.choice(["?", "Private", "Sales"]) for name in adult_form.COLUMNS}
    values |= {name: str(rng.integers(1, 90)) for name in (*adult_form.CONTINUOUS, "fnlwgt")}
    values |= {"sex": rng.choice(["Male", "Female"]), "income": rng.choice(["<=50K", ">50K"]) + end}
    values["marital-status"] = rng.choice(["Never-married", "Divorced"])
    return ", ".join(values[name] for name in adult_form.COLUMNS)


def adult(root: Path, train: int = 60, test: int = 20) -> Path:
    """UCI's form: no header, a remark at the head of the test file, whose labels end in a full stop."""
    rng = np.random.default_rng(7)
    root.mkdir(parents=True, exist_ok=True)
    (root / "adult.data").write_text("\n".join(adult_row(rng) for _ in range(train)) + "\n\n")
    (root / "adult.test").write_text(
        "|1x3 Cross validator\n" + "\n".join(adult_row(rng, ".") for _ in range(test)) + "\n"
    )
    return root


def idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(head + array.tobytes())


def mnist(root: Path, train: int = 30, test: int = 10) -> Path:
    rng = np.random.default_rng(8)
    root.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("t10k", test)):
        idx(root / f"{name}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), np.uint8))
        idx(root / f"{name}-labels-idx1-ubyte", rng.integers(0, 10, count, np.uint8))
    return root


# -- functions for the tests of shards; here, since worker processes must be able to import them ----------------------
def write_wave(path: Path, values: np.ndarray | list[float], rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((32767 * np.asarray(values)).astype("<i2").tobytes())


def spoken_digits(root: Path) -> Path:
    """Twelve recordings of two digits by each speaker: tones of half a second."""
    (root / "recordings").mkdir(parents=True)
    times = np.arange(4000) / 8000
    for number, speaker in enumerate(SPEAKERS):
        for digit in range(2):
            tone = 0.5 * np.sin(2 * np.pi * (200 + 300 * digit + 40 * number) * times)
            for index in range(12):
                write_wave(root / "recordings" / f"{digit}_{speaker}_{index}.wav", tone)
    return root


def plane(normal: tuple[float, float, float], distance: float, height: int, width: int, focal: float) -> np.ndarray:
    """Depth [H, W] of the plane normal · X = distance."""
    v, u = np.mgrid[:height, :width] + 0.5
    rays = np.stack([(u - width / 2) / focal, (v - height / 2) / focal, np.ones_like(u)], -1)
    return distance / (rays @ np.asarray(normal))


def real_rooms(root: Path, count: int = 10) -> Path:
    """Frames of a slanted wall, 24 × 36 with a focal length of 30, each brighter; K.txt is that of twice their size."""
    depth = plane((0.3, 0.2, 1.0), 2.0, 24, 36, 30.0)
    depth[:4] = 0
    for number in range(count):
        write_png(root / "images" / f"{number:03d}.png", np.full((24, 36, 3), 20 * number, np.uint8))
        write_png(root / "depth" / f"{number:03d}.png", (1000 * depth).round().astype(np.uint16))
    np.savetxt(root / "K.txt", [[60, 0, 36], [0, 60, 24], [0, 0, 1]])
    return root


def slow_item(index: int) -> dict[str, np.ndarray]:
    return {"value": np.full((2, 3), index, np.int16)}


def no_sources(index: int) -> list[Path]:
    return []


def deadly_item(index: int) -> dict[str, np.ndarray]:
    if index == 19:
        time.sleep(0.5)  # the other worker finishes something first
        os.kill(os.getpid(), signal.SIGKILL)
    return slow_item(index)
