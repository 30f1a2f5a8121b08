"""The log-spectrogram input, and the tensors of a net with several inputs, against torch and scipy."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from ecgedge import bundle as bundles
from ecgedge.errors import BundleError
from ecgedge.features import check_input, check_kind, log_spectrogram, make_inputs, normalise, tensor_shape

ENTRY = {"name": "spectrogram", "kind": "log-spectrogram", "n_fft": 64, "hop": 32, "floor": 1e-8}
TENSOR = {"dtype": "int8", "scale": 0.1, "zero_point": 0, "clip": 6.0, "padding": "zeros-right"}


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def inputs(**changes: object) -> list[dict]:
    """Descriptions of both inputs for windows of 9000 samples."""
    return [
        {"name": "signal", "kind": "signal", **TENSOR, "shape": [1, 1, 9000, 1]},
        {**ENTRY, **TENSOR, "shape": [1, 282, 33, 1], **changes},
    ]


@pytest.mark.parametrize(
    ("n", "n_fft", "hop"), [(9000, 64, 32), (18000, 64, 32), (2714, 64, 32), (500, 32, 10)]
)
def test_it_is_torch_stft_of_the_publication(n: int, n_fft: int, hop: int) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra 'train'")
    x = noise(n)
    window = torch.hann_window(n_fft, dtype=torch.float64)
    theirs = torch.stft(
        torch.from_numpy(x).double(),
        n_fft,
        hop,
        window=window,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    reference = (theirs.abs() / window.norm()).clamp(min=1e-8).log().T.numpy()
    mine = log_spectrogram(x, n_fft, hop, 1e-8)
    assert mine.dtype == np.float32
    assert mine.shape == reference.shape == (1 + n // hop, n_fft // 2 + 1)
    np.testing.assert_allclose(mine, reference, atol=2e-6)


def test_it_is_the_spectrum_that_scipy_gives_inside() -> None:
    signal = pytest.importorskip("scipy.signal", reason="needs the extra 'dev'")
    x = noise(3200)
    _, _, theirs = signal.stft(
        x.astype(float), window="hann", nperseg=64, noverlap=32, boundary=None, padded=False, scaling="psd"
    )
    # Its frames begin at the first sample, ours one half earlier; "psd" divides by the window's L2 norm.
    np.testing.assert_allclose(np.exp(log_spectrogram(x, 64, 32, 1e-8))[1:-1], np.abs(theirs).T, rtol=1e-5)


def test_a_sine_stands_in_its_bin_at_its_height() -> None:
    """Bin 8 of 64 at 300 Hz is 37.5 Hz; a sine of amplitude 2 gives the window's sum over its norm."""
    x = (2 * np.sin(2 * np.pi * 37.5 / 300 * np.arange(3000))).astype(np.float32)
    inner = log_spectrogram(x, 64, 32, 1e-8)[2:-2]
    assert (inner.argmax(axis=1) == 8).all()
    np.testing.assert_allclose(np.exp(inner[:, 8]), 32 / np.sqrt(24), rtol=1e-5)


@pytest.mark.parametrize("floor", [1e-8, 1e-3])
def test_silence_is_the_floor(floor: float) -> None:
    np.testing.assert_allclose(log_spectrogram(np.zeros(640, dtype=np.float32), 64, 32, floor), np.log(floor))


@pytest.mark.parametrize("n", [1, 31, 32, 33, 64])
def test_a_few_samples_are_enough(n: int) -> None:
    made = log_spectrogram(noise(n), 64, 32, 1e-8)
    assert made.shape[1] == 33
    assert np.isfinite(made).all()


def test_a_short_window_is_padded_in_the_log_domain() -> None:
    x = noise(3000)
    made = make_inputs(inputs(), x)
    z = normalise(x, 6.0)
    assert made["signal"].shape == (1, 1, 9000, 1)
    np.testing.assert_array_equal(made["signal"].reshape(-1)[:3000], z)
    assert not made["signal"].reshape(-1)[3000:].any()
    rows = made["spectrogram"][0, :, :, 0]
    assert rows.shape == (282, 33)
    np.testing.assert_array_equal(rows[:94], log_spectrogram(z, 64, 32, 1e-8))
    assert not rows[94:].any(), "zero of the logarithm, as published"


def test_a_whole_window_fills_the_tensor() -> None:
    assert tensor_shape(ENTRY, 9000) == (282, 33)
    assert tensor_shape(ENTRY, 18000) == (563, 33), "the published shape"
    rows = make_inputs(inputs(), noise(9000))["spectrogram"][0, :, :, 0]
    assert (rows != 0).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"n_fft": 63}, "n_fft 63"),
        ({"n_fft": 64.0}, "n_fft 64.0"),
        ({"hop": 0}, "hop 0"),
        ({"hop": 65}, "hop 65"),
        ({"floor": 0}, "floor 0"),
        ({"floor": "low"}, "floor 'low'"),
        ({"window": "hann"}, "window"),
        ({"kind": "mel"}, "mel"),
        ({"shape": [1, 281, 33, 1]}, "room for a whole window"),
        ({"shape": [1, 33, 282, 1]}, "room for a whole window"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(change: dict, match: str) -> None:
    check_input(inputs()[1], 9000)
    with pytest.raises(BundleError, match=match):
        check_input(inputs(**change)[1], 9000)


def test_a_key_of_another_kind_is_refused() -> None:
    check_kind({"name": "a", "kind": "signal"}, set())
    with pytest.raises(BundleError, match="n_fft"):
        check_kind({"name": "a", "kind": "signal", "n_fft": 64}, set())
    with pytest.raises(BundleError, match="floor"):
        check_kind({key: value for key, value in ENTRY.items() if key != "floor"}, set())


def test_a_manifest_may_have_both_inputs() -> None:
    manifest = copy.deepcopy(bundles.open_bundle("efficientecg-s").manifest)
    manifest["inputs"].append({**ENTRY, **TENSOR, "shape": [1, 94, 33, 1]})
    bundles.check_manifest(manifest, "m.json")
    manifest["inputs"][1]["hop"] = 0
    with pytest.raises(BundleError, match="hop"):
        bundles.check_manifest(manifest, "m.json")
