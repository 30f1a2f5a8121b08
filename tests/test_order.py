"""Order statistics against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge.order import median, upper_median


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (30,), (9, 4), (10, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_median_is_numpys_to_the_bit(shape: tuple[int, ...], dtype: type) -> None:
    values = np.random.default_rng(3).normal(size=shape).astype(dtype)
    before = values.copy()
    np.testing.assert_array_equal(median(values), np.median(values, axis=0))
    np.testing.assert_array_equal(upper_median(values), np.quantile(values, 0.5, axis=0, method="higher"))
    np.testing.assert_array_equal(values, before)
