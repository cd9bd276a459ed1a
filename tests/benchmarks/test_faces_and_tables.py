"""UTKFace, CelebA, SARCOS, Census, Adult: values and splits."""

import numpy as np
import pandas as pd
import pytest
import releases
import torch

from palora_core.benchmarks.adult import Adult
from palora_core.benchmarks.celeba import CelebA
from palora_core.benchmarks.census import Census
from palora_core.benchmarks.sarcos import Sarcos
from palora_core.benchmarks.utkface import UTKFace
from palora_core.preparation import census
from palora_core.preparation.base import preparers
from palora_core.storage.prepared import Prepared


def everything(split):
    return split.batch(torch.arange(len(split)))


def test_utkface_standardises_with_training_ages_only_and_keeps_the_declared_order(tmp_path):
    lines = preparers.get("utkface")().prepare(releases.utkface(tmp_path / "raw"), tmp_path)
    assert any("left out 1 pictures" in line and "61_1_2017" in line for line in lines)
    bench = UTKFace()
    assert [task.name for task in bench.tasks] == ["age", "gender", "race"]
    splits = bench.load(tmp_path)
    assert [len(splits[name]) for name in ("train", "val", "test")] == [14, 2, 4]
    x, targets = everything(splits["train"])
    assert x.shape == (14, 3, 64, 64)
    assert float(targets["age"].mean()) == pytest.approx(0, abs=1e-5)
    assert float(targets["age"].std(unbiased=False)) == pytest.approx(1, abs=1e-5)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(42))
    names = sorted(path for path in (tmp_path / "raw/UTKFace").iterdir() if path.name.count("_") == 3)
    ages = np.array([int(names[i].name.split("_")[0]) for i in order], float)
    mean, deviation = ages[:14].mean(), ages[:14].std()
    test = everything(splits["test"])[1]
    np.testing.assert_allclose(test["age"], (ages[16:] - mean) / deviation, rtol=1e-5)
    assert test["gender"].tolist() == [int(names[i].name.split("_")[1]) for i in order[16:]]
    assert test["race"].tolist() == [int(names[i].name.split("_")[2]) for i in order[16:]]


def test_celeba_follows_the_partition(tmp_path):
    preparers.get("celeba")().prepare(releases.celeba(tmp_path / "raw"), tmp_path)
    splits = CelebA().load(tmp_path)
    assert [len(splits[name]) for name in ("train", "val", "test")] == [4, 4, 4]
    x, targets = everything(splits["val"])
    rows = (tmp_path / "raw/Anno/list_attr_celeba.txt").read_text().splitlines()[2:]
    values = np.array([row.split()[1:] for row in rows[4:8]], int)
    assert np.array_equal(np.stack([targets[task.name] for task in CelebA().tasks], 1), (values + 1) // 2)
    assert x.shape == (4, 3, 64, 64)


def test_sarcos_is_scaled_by_the_quantile_of_its_training_rows(tmp_path):
    from scipy.io import loadmat

    preparers.get("sarcos")().prepare(releases.sarcos(tmp_path / "raw"), tmp_path)
    splits = Sarcos().load(tmp_path)
    rows = loadmat(tmp_path / "raw/sarcos_inv.mat")["sarcos_inv"]
    assert [len(splits[name]) for name in ("train", "val", "test")] == [90, 10, 20]
    quantile = np.quantile(rows[10:, 21:], 0.9, axis=0)
    x, targets = everything(splits["val"])
    np.testing.assert_allclose(x, rows[:10, :21], rtol=1e-6)
    np.testing.assert_allclose(targets["torque_3"], rows[:10, 23] / quantile[2], rtol=1e-5)
    assert Sarcos().reference == (1, 5, 1, 1, 10, 10, 1)


def test_census_features_are_those_of_the_recipe(tmp_path):
    preparers.get("census")().prepare(releases.census(tmp_path / "raw"), tmp_path)
    table = pd.read_csv(
        tmp_path / "raw/census-income.data",
        header=None,
        names=census.COLUMNS,
        skipinitialspace=True,
        keep_default_na=False,
    )
    table = table[table.HHDFMX != census.RARE]
    fields = Prepared.open(tmp_path, "census").fields("train")
    features = fields["features"][:]
    assert features.shape == (60, 468)
    numbers = table[list(census.CONTINUOUS)].to_numpy(float)
    np.testing.assert_allclose(features[:, :6], (numbers - numbers.mean(0)) / numbers.std(0), rtol=1e-4, atol=1e-5)
    others = [c for c in table.columns if c not in (*census.CONTINUOUS, *census.BINARY, *census.LEFT_OUT)]
    dummies = pd.get_dummies(table[others].astype(str)).to_numpy(float)
    assert np.array_equal(np.sort(features[:, 6:].sum(0))[-1:], np.sort(dummies.sum(0))[-1:])
    assert (features[:, 6:-1].sum(1) - (table.ASEX == "Male")).round().unique().tolist() == [len(others)]
    assert np.array_equal(fields["age"][:], (table.AAGE >= 40).to_numpy())
    higher = table.AHGA.str.startswith(("Bachelors", "Masters")).to_numpy()
    assert np.array_equal(fields["education"][:], higher)
    assert np.array_equal(fields["education_published"][:], table.AHGA.str.startswith("Bachelors").to_numpy())


def test_census_validation_is_a_fifth_chosen_as_scikit_learn_does(tmp_path):
    preparers.get("census")().prepare(releases.census(tmp_path / "raw"), tmp_path)
    splits = Census().load(tmp_path)
    assert [len(splits[name]) for name in ("train", "val", "test")] == [48, 12, 20]
    order = np.random.RandomState(0).permutation(60)
    fields = Prepared.open(tmp_path, "census").fields("train")
    assert np.array_equal(everything(splits["val"])[1]["age"], fields["age"][:][order[:12]])
    published = everything(Census(published_education=True).load(tmp_path)["train"])[1]["education"]
    assert published.sum() < everything(splits["train"])[1]["education"].sum()


@pytest.mark.parametrize("form", ["uci", "csv"])
def test_adult_in_both_forms(form, tmp_path):
    raw = releases.adult(tmp_path / "raw")
    if form == "csv":
        from palora_core.preparation.adult import COLUMNS

        (raw / "adult.test").unlink()
        rows = (raw / "adult.data").read_text().replace(", ", ",").strip()
        (raw / "adult.data").unlink()
        (raw / "adult.csv").write_text(",".join(COLUMNS) + "\n" + rows + "\n")
    preparers.get("adult")().prepare(raw, tmp_path)
    splits = Adult().load(tmp_path)
    assert sum(len(split) for split in splits.values()) == (80 if form == "uci" else 60)
    x, targets = everything(splits["test"])
    assert x.shape == (20, 93)
    assert set(targets["income"].tolist()) == {0, 1}
    assert set(targets["never_married"].tolist()) == {0, 1}
    train = Prepared.open(tmp_path, "adult").fields("train")["features"][:]
    np.testing.assert_allclose(train[:, :5].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train[:, :5].std(0), 1, atol=1e-4)
