"""Spoken digits: the spectrogram, what is prepared, and the two ways of splitting."""

import pytest
import releases
import torch

from palora_core.benchmarks.spoken_digits import SPEAKERS, SpokenDigits
from palora_core.errors import UserError
from palora_core.networks.base import networks
from palora_core.networks.spoken import BANDS, HOP, QUIET, WINDOW, LogMel
from palora_core.preparation.spoken_digits import SpokenDigits as Preparer


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve recordings of two digits by each speaker: tones of half a second, prepared."""
    root = tmp_path_factory.mktemp("spoken")
    Preparer().prepare(releases.spoken_digits(root / "raw"), root)
    return root


def test_the_spectrogram_is_the_fourier_transforms_in_mel_bands():
    x = torch.randn(2, 1, 2048, generator=torch.Generator().manual_seed(0))
    module = LogMel(8000)
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(x[:, 0], WINDOW, HOP, window=window, center=False, return_complex=True) / WINDOW**0.5
    logs = (module.bands @ spectrum.abs().square() + QUIET).log()
    expected = (logs - logs.mean((1, 2), keepdim=True)) / logs.std((1, 2), keepdim=True)
    torch.testing.assert_close(module(x)[:, 0], expected, atol=2e-3, rtol=0)
    assert module.bands.shape == (BANDS, WINDOW // 2 + 1) and (module.bands.sum(1) > 0).all()


def test_loudness_hardly_changes_the_spectrogram_and_silence_has_one():
    module, x = LogMel(8000), torch.randn(1, 1, 2048, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(x), module(3 * x), atol=0.01, rtol=0)
    assert torch.isfinite(module(torch.zeros(1, 1, 2048))).all()


def test_the_official_split_is_by_index(data):
    splits = SpokenDigits().load(data)
    assert {name: len(split) for name, split in splits.items()} == {"train": 24, "val": 60, "test": 60}
    x, targets = splits["test"].batch(torch.arange(60))
    assert x.shape == (60, 1, 8000) and x.abs().max() <= 1 and not x[:, :, 4000:].any()
    assert targets["speaker"].bincount().tolist() == [10] * 6 and targets["digit"].bincount().tolist() == [30, 30]


def test_a_speaker_can_be_held_out(data):
    splits = SpokenDigits(held_out="lucas").load(data)
    targets = splits["test"].batch(torch.arange(24))[1]
    assert len(splits["test"]) == 24 and (targets["speaker"] == -1).all()
    for name in ("train", "val"):
        speakers = splits[name].batch(torch.arange(len(splits[name])))[1]["speaker"]
        assert SPEAKERS.index("lucas") not in speakers.tolist()
    with pytest.raises(UserError, match=r"held_out is 'nobody'; expected one of george"):
        SpokenDigits(held_out="nobody")


def test_what_cannot_be_prepared_is_told(tmp_path):
    with pytest.raises(UserError, match=r"no recordings called digit_speaker_index.wav"):
        Preparer().plan(tmp_path)
    releases.write_wave(tmp_path / "0_anna_0.wav", [0.1])
    with pytest.raises(UserError, match=r"holds 1 speakers; expected 2 to"):
        Preparer().plan(tmp_path)
    releases.write_wave(tmp_path / "0_bert_0.wav", [0.1])
    Preparer().prepare(tmp_path, tmp_path / "data")
    with pytest.raises(UserError, match=r"has other speakers than george"):
        SpokenDigits().load(tmp_path / "data")


def test_the_network_reads_a_second_of_sound_and_shares_few_units():
    bench = SpokenDigits()
    name, options = bench.network
    network = networks.get(name)(**options).eval()
    outputs = network(torch.randn(2, 1, 8000))
    assert outputs["digit"].shape == (2, 10) and outputs["speaker"].shape == (2, 6)
    assert network.heads["digit"][0].in_features == bench.shared_units == 3
    assert not any("waves" in name for name in network.state_dict())


def test_augmented_sounds_keep_their_form(data):
    bench = SpokenDigits()
    batch = bench.load(data)["train"].batch(torch.arange(4))
    x, targets = bench.augment(batch, torch.Generator().manual_seed(0))
    assert x.shape == batch[0].shape and targets is batch[1] and (x != batch[0]).any()
