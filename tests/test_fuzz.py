"""Any input: the checks of ``benchmarks.fuzz``, drawn by Hypothesis from valid streams that were damaged."""

from __future__ import annotations

import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import report
from benchmarks.fuzz import DECODERS, READERS, TARGETS, check_decoder, damaged, longest, seeds

EXAMPLES = {"auto": 60, "bitalino": 60}


def inputs(target: str) -> st.SearchStrategy[bytes]:
    """Valid inputs that were damaged, and inputs that never were valid."""
    chances = st.integers(0, 2**32).map(random.Random)
    return st.one_of(
        chances.map(lambda rng: damaged(target, rng, seeds(target))), st.binary(max_size=longest(target))
    )


@pytest.mark.parametrize("target", TARGETS)
def test_any_input(target: str) -> None:
    @settings(max_examples=EXAMPLES.get(target, 150), derandomize=False)
    @given(inputs(target))
    def check(data: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            TARGETS[target](target, data)

    check()


@pytest.mark.parametrize("target", TARGETS)
def test_the_inputs_to_start_from_are_read(target: str) -> None:
    assert seeds(target)
    for seed in seeds(target):
        TARGETS[target](target, seed)


@pytest.mark.parametrize("target", [name for name in DECODERS if name != "auto"])
def test_the_checks_see_a_decoder_that_fails(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that loses a byte, or raises, does not pass."""
    from dataclasses import replace

    from ecgedge.wire import PROTOCOLS

    row = PROTOCOLS[target]
    made = row.decoder()

    class Forgetful(type(made)):  # type: ignore[misc]
        @property
        def counters(self):  # type: ignore[no-untyped-def]
            return replace(super().counters, bytes=super().counters.bytes + 1)

    monkeypatch.setitem(PROTOCOLS, target, replace(row, decoder=Forgetful))
    with pytest.raises(AssertionError):
        check_decoder(target, seeds(target)[0])


def test_every_protocol_is_fuzzed() -> None:
    from ecgedge.wire import PROTOCOLS

    assert set(DECODERS) == {*PROTOCOLS, "auto"}
    assert set(TARGETS) == {*DECODERS, *READERS}


def test_the_long_run_went_through_a_million_inputs_to_every_decoder() -> None:
    told = report.read("fuzz")["figures"]["targets"]
    assert set(told) == set(TARGETS)
    assert {name for name, row in told.items() if row["inputs"] >= 1_000_000} >= set(DECODERS) - {"auto"}
