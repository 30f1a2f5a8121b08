"""COBS against published examples and its own definition; the splitter's bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgedge.wire.cobs import Splitter, decode, encode

LONG = bytes(range(1, 255))  # 01 .. FE
# The worked examples of the encyclopedic description of COBS, without the trailing delimiter.
PUBLISHED = [
    ("00", "0101"),
    ("0000", "010101"),
    ("001100", "01021101"),
    ("11220033", "0311220233"),
    ("11223344", "0511223344"),
    ("11000000", "0211010101"),
    (LONG.hex(), "ff" + LONG.hex()),
    ("00" + LONG.hex(), "01ff" + LONG.hex()),
    (LONG.hex() + "ff", "ff" + LONG.hex() + "02ff"),
    (LONG[1:].hex() + "ff00", "ff" + LONG[1:].hex() + "ff" + "0101"),
    (LONG[2:].hex() + "ff0001", "fe" + LONG[2:].hex() + "ff" + "0201"),
]


@pytest.mark.parametrize(("plain", "encoded"), PUBLISHED)
def test_published_examples(plain: str, encoded: str) -> None:
    assert encode(bytes.fromhex(plain)).hex() == encoded
    assert decode(bytes.fromhex(encoded)) == bytes.fromhex(plain)


@given(st.binary(max_size=1200) | st.lists(st.sampled_from(b"\0\1"), max_size=1200).map(bytes))
def test_round_trip_without_zeros_within_the_bound(plain: bytes) -> None:
    encoded = encode(plain)
    assert 0 not in encoded
    assert len(encoded) <= len(plain) + len(plain) // 254 + 1
    assert decode(encoded) == plain


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_something_or_none(encoded: bytes) -> None:
    plain = decode(encoded)
    if plain is not None and 0 not in encoded:
        assert len(plain) < len(encoded)


@pytest.mark.parametrize("encoded", [b"", b"\0", b"\5\1", b"\3a\0", b"\2a\0\1"])
def test_what_no_encoder_writes_is_refused(encoded: bytes) -> None:
    assert decode(encoded) is None


@given(st.binary(max_size=400), st.integers(1, 50), st.integers(0, 20))
def test_splitter_gives_the_same_units_for_any_chunks_and_holds_no_more_than_its_limit(
    data: bytes, size: int, limit: int
) -> None:
    splitter = Splitter(b"\0", limit)
    units = []
    for start in range(0, len(data), size):
        units += splitter.push(data[start : start + size])
        assert splitter.pending <= limit
    parts = data.split(b"\0")
    assert units == [part if len(part) <= limit else None for part in parts[:-1]]
    held = splitter.pending
    assert splitter.thrown + held == sum(len(p) for p in parts[:-1] if len(p) > limit) + len(parts[-1])
    assert splitter.flush() == held
