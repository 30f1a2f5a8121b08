"""Lines of text: the forms that sketches print, any chunking, and what must not pass for a sample."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgedge.messages import Board, Chunk, SampleBlock
from ecgedge.wire.text import MAX_LINE, TextDecoder, parse_line


def read(raw: bytes, size: int = 4096, decoder: TextDecoder | None = None) -> tuple[list[Any], TextDecoder]:
    decoder = decoder or TextDecoder()
    out: list[Any] = []
    for start in range(0, len(raw), size):
        out += decoder.push(Chunk(raw[start : start + size], 2.0))
    return out, decoder


def samples(out: list[Any]) -> list[Any]:
    """Every sample of the first lead; None while a lead is off."""
    flat, lost = [], 0
    for m in out:
        if isinstance(m, SampleBlock):
            assert (m.first > len(flat) + lost) == m.estimated
            lost = m.first - len(flat)
            flat += [None if m.leads_off else v for v in m.counts[:, 0].tolist()]
    return flat


def lines(values: Any, end: str = "\r\n", form: str = "{}") -> bytes:
    return "".join(form.format(v) + end for v in values).encode()


RAMP = list(range(300, 400))


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (b"512", (512.0,)),
        (b"0", (0.0,)),
        (b"  512 ", (512.0,)),
        (b"ECG: 43210", (43210.0,)),
        (b"ECG:43210", (43210.0,)),
        (b"-0.25", (-0.25,)),
        (b"+12.", (12.0,)),
        (b"1.5e-3", (0.0015,)),
        (b"12345,512", (12345.0, 512.0)),
        (b"1;2; 3", (1.0, 2.0, 3.0)),
        (b"1\t2 3", (1.0, 2.0, 3.0)),
        (b"raw:512,filtered:-3.10", (512.0, -3.1)),
        (b"Heart rate:72 ECG:512", (72.0, 512.0)),
        (b"512,", (512.0,)),
        (b"!", ()),
        (b"! Check electrodes", ()),
    ],
)
def test_lines_that_sketches_print(line: bytes, values: tuple[float, ...]) -> None:
    parsed = parse_line(line)
    assert parsed is not None
    assert parsed[1] == values


@pytest.mark.parametrize(
    "line",
    [b"", b" ", b"ECG", b"ECG:", b"12a", b"1-2", b"--1", b"0x10", b"inf", b"ovf", b"1..2", b",1",
     b"1 2 3 4 5 6 7 8 9", b"12:30:45", b"\xff12", b"12\x00", b"1234567890123", b"1 \xe2\x82\xac", b"!\x01",
     b"1e38"],
)  # fmt: skip
def test_lines_that_hold_no_sample(line: bytes) -> None:
    assert parse_line(line) is None


def test_not_a_number_is_a_sample_that_the_sender_lacks() -> None:
    parsed = parse_line(b"nan")
    assert parsed is not None
    assert math.isnan(parsed[1][0])


@pytest.mark.parametrize("size", [1, 7, 250, 4096])
@pytest.mark.parametrize("form", ["{}", "ECG: {}", "-{}.25", "{},7", "t:{} ecg:7"])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_every_line_but_the_first_comes_whatever_the_chunks(size: int, form: str, end: str) -> None:
    out, decoder = read(lines(RAMP, end, form), size)
    sign = -1 if form.startswith("-") else 1
    assert samples(out) == [sign * (v + (0.25 if sign < 0 else 0)) for v in RAMP[1:]]
    names = {"ECG: {}": ("ECG",), "t:{} ecg:7": ("t", "ecg")}.get(form, ())
    assert out[0] == Board("text", leads=2 if "7" in form else 1, lead_names=names)
    assert sum(isinstance(m, Board) for m in out) == 1
    assert decoder.protocol == "text"
    assert decoder.finish() == []
    c = decoder.counters
    assert (c.frames, c.samples, c.bad_frames) == (99, 99, 0)
    assert c.discarded_bytes == len(lines(RAMP[:1], end, form))


def test_every_value_of_a_line_is_a_lead() -> None:
    out, _ = read(b"".join(b"%d,%d,%d\n" % (k, 1000 + k, k * k) for k in range(40)))
    counts = np.concatenate([m.counts for m in out if isinstance(m, SampleBlock)])
    k = np.arange(1, 40)
    np.testing.assert_array_equal(counts, np.stack([k, 1000 + k, k * k], 1))


@pytest.mark.parametrize("cut", [b", ", b"\t", b";", b" "])
def test_a_line_of_labels_names_the_leads(cut: bytes) -> None:
    head = cut.join([b"time_ms", b"ECG_raw", b"resp"])
    out, decoder = read(b"\r\n" + head + b"\r\n" + b"".join(b"%d\t%d\t%d\n" % (k, k, 7) for k in range(40)))
    assert out[0] == Board("text", leads=3, lead_names=("time_ms", "ECG_raw", "resp"))
    assert samples(out) == list(range(40))
    assert decoder.counters.bad_frames == 1


def test_labels_of_another_number_of_columns_name_nothing() -> None:
    out, _ = read(b"\r\nready\r\n" + b"".join(b"%d %d\n" % (k, k) for k in range(40)))
    assert out[0] == Board("text", leads=2)


def test_a_number_cut_in_two_by_the_start_of_reading_is_no_sample() -> None:
    out, _ = read(b"23\r\n" + lines(RAMP))
    assert samples(out) == RAMP


def test_a_number_cut_by_the_end_of_the_stream_is_no_sample() -> None:
    out, decoder = read(lines(RAMP) + b"12")
    assert samples(out)[-1] == RAMP[-1]
    decoder.finish()
    assert decoder.counters.discarded_bytes == len(b"300\r\n") + 2


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_leads_off_lines_are_samples_without_a_value(size: int) -> None:
    raw = lines(RAMP[:30]) + b"!\r\n" * 5 + lines(RAMP[30:40]) + b"! Check electrodes\r\n" + lines([7])
    out, decoder = read(raw, size)
    assert samples(out) == [*RAMP[1:30], *[None] * 5, *RAMP[30:40], None, 7]
    assert decoder.counters.leads_off == 6
    for block in out[1:]:
        assert np.isnan(block.counts).all() == block.leads_off


def test_a_board_whose_electrodes_are_off_from_the_start() -> None:
    out, _ = read(b"!\r\n" * 50 + lines(RAMP))
    assert samples(out) == [*[None] * 49, *RAMP]


def test_banner_and_blank_lines_do_no_harm() -> None:
    raw = b"\r\nAD8232 demo v1.2\r\nReady.\r\n\r\n" + lines(RAMP[:50]) + b"\r\n" + lines(RAMP[50:])
    out, decoder = read(raw)
    assert samples(out) == RAMP
    assert decoder.counters.bad_frames == 2


def test_a_damaged_line_costs_itself_only() -> None:
    out, decoder = read(lines(RAMP[:50]) + b"3\xf65\r\n" + lines(RAMP[50:]))
    assert samples(out) == RAMP[1:]
    assert decoder.counters.bad_frames == 1
    assert decoder.counters.discarded_bytes == len(b"300\r\n") + len(b"3\xf65\r\n")


def lost(out: list[Any]) -> list[int]:
    """Where the decoder steps over lines, and over how many."""
    blocks = [m for m in out if isinstance(m, SampleBlock)]
    return [b.first - a.first - a.n for a, b in pairwise(blocks) if b.first != a.first + a.n]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_damaged_lines_are_told_as_lost(size: int) -> None:
    bad = b"3\xf65\r\n"
    raw = lines(RAMP[:40]) + bad + lines(RAMP[40:70]) + bad + lines([7]) + bad * 2 + lines(RAMP[70:])
    out, decoder = read(raw, size)
    assert samples(out) == RAMP[1:]
    assert lost(out) == [1, 4]  # the lone line between two damaged ones is not believed either
    assert decoder.counters.bad_frames == 5


def test_lines_that_run_into_each_other_are_two() -> None:
    raw = lines(RAMP[:40]) + b"345\r346\r\n" + lines(RAMP[40:])
    out, _ = read(raw)
    assert lost(out) == [2]


def test_a_damaged_label_is_damage_and_another_label_is_not() -> None:
    raw = lines(RAMP[:40], form="ECG:{}") + b"EKG:345\r\n" + lines(RAMP[40:60], form="ECG:{}") + b"BPM:72\r\n"
    out, _ = read(raw + lines(RAMP[60:], form="ECG:{}"))
    assert samples(out) == RAMP[1:]
    assert lost(out) == [1]


def test_long_garbage_is_no_number_of_samples() -> None:
    out, _ = read(lines(RAMP) + b"\xff\xfe\n" * 200 + lines(RAMP))
    assert lost(out) == []


def test_lines_of_another_form_are_not_samples() -> None:
    raw = b"".join(lines([v]) + (b"BPM: 72\r\n" if v % 20 == 0 else b"") for v in RAMP)
    out, decoder = read(raw)
    assert samples(out) == RAMP[1:]
    assert lost(out) == []
    assert decoder.counters.bad_frames == 5


def test_a_lasting_change_of_form_is_learnt_and_announced() -> None:
    out, _ = read(lines(RAMP) + lines(RAMP, form="{},5"))
    assert [m.leads for m in out if isinstance(m, Board)] == [1, 2]
    assert samples(out)[-1] == RAMP[-1]
    assert 100 < len(samples(out)) < 199


def test_labels_that_change_places_are_announced_anew() -> None:
    out, _ = read(lines(RAMP, form="raw:1,ECG:{}") + lines(RAMP, form="ECG:{},raw:1"))
    boards = [k for k, m in enumerate(out) if isinstance(m, Board)]
    assert [out[k].lead_names for k in boards] == [("raw", "ECG"), ("ECG", "raw")]
    for k, column in zip(boards, (1, 0), strict=True):
        ecg = out[k + 1].counts[:, column]
        assert ecg.tolist() == list(range(int(ecg[0]), 400))


def test_a_run_too_short_to_be_believed_is_never_delivered() -> None:
    out, decoder = read(b"x\n" + lines(RAMP[:9]) + b"what is this\n" + lines(RAMP[:9]))
    assert out == []
    assert decoder.protocol is None
    decoder.finish()
    assert decoder.counters.discarded_bytes == decoder.counters.bytes


def test_stray_numbers_in_garbage_after_recognition_are_not_samples() -> None:
    garbage = b"\x80\xf8\x00\n7\n\xfe\xfe\n12\n13\n\x00\xff\n" * 20
    out, decoder = read(lines(RAMP) + garbage)
    assert samples(out) == RAMP[1:]
    assert decoder.counters.discarded_bytes >= len(garbage) - 20


def test_a_line_without_end_takes_no_memory() -> None:
    decoder = TextDecoder()
    for _ in range(100):
        decoder.push(Chunk(b"1" * 5000, 0.0))
    assert decoder._splitter.pending <= MAX_LINE
    out, _ = read(b"\n" + lines(RAMP), decoder=decoder)
    assert samples(out) == RAMP
    assert decoder.counters.discarded_bytes == 500_001


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.integers(0, 1023).map(lambda v: b"%d\r\n" % v),
            st.just(lines(RAMP[:30])),
            st.sampled_from([b"!\r\n", b"\n", b"\r\n", b"ECG: 5\r\n", b"1,2\n", b"1" * 150, b"nan\n"]),
        ),
        max_size=30,
    ),
    st.sampled_from([1, 7, 250]),
)
def test_whatever_arrives_nothing_raises_and_everything_is_counted(pieces: list[bytes], size: int) -> None:
    raw = b"".join(pieces)
    out, decoder = read(raw, size)
    whole, other = read(raw, max(1, len(raw)))
    assert decoder.finish() == other.finish() == []
    assert str(samples(out)) == str(samples(whole))
    assert decoder.counters == other.counters
    c = decoder.counters
    assert c.bytes == len(raw)
    assert c.discarded_bytes <= c.bytes
    assert c.samples == len(samples(out))
    # Every line is a sample, bad, blank or the first.
    units = raw.split(b"\n")[:-1]
    blank = sum(u.rstrip(b"\r") == b"" and len(u) <= MAX_LINE for u in units[1:])
    unfinished = c.frames + c.bad_frames + blank + min(1, len(units))
    assert unfinished == len(units)
