"""Damage on the wire, for every board: nothing invented, and what is lost is told.

The same counts, over a minute each, are in the result file of ``benchmarks.faults``.
"""

from __future__ import annotations

import pytest

from benchmarks.faults import FAULTS, faults_of, measure, speak
from ecgedge.wire import PROTOCOLS

SECONDS = 10.0
KINDS = (
    *("ecgedge frames", "ad8232", "serial-plotter", "chords-uno-r3", "chords-pico", "max30003", "ads1292r"),
    *("healthypi5-batch", "cyton", "bitalino", "polar-h10"),
)
"""One board of each kind; the others differ in numbers only."""
CASES = [(name, fault) for name in KINDS for fault in faults_of(name)]
CHECKED = ("frames", "polar-h10")
"""Protocols whose samples are checked whole."""


def counted(name: str) -> bool:
    """Whether a board numbers what it sends."""
    decoder = PROTOCOLS[speak(name, 0.1).protocol].decoder()
    return bool(getattr(decoder, "MODULUS", True)) and speak(name, 0.1).protocol != "text"


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_nothing_is_invented_and_what_is_lost_is_told(name: str, fault: str) -> None:
    found = measure(name, fault, SECONDS)
    protocol = speak(name, 0.1).protocol
    told = found["told_exactly"] + found["told_as_estimate"]
    delivered = found["right"] + found["altered"]
    assert delivered + found["missing"] + found["missing_at_ends"] == found["samples"]
    mixed, repeated = fault == "another board's bytes mixed in", fault == "blocks of 5 packets repeated"
    dropped = fault == "10 % of the bytes dropped"
    off = abs(told - found["missing"])
    if protocol == "bitalino" and (mixed or dropped):
        # Eight bits of check let one in 256 pass; four bits of counter wrap at once.
        assert found["invented"] <= 0.001 * found["samples"]
        assert off <= 0.1 * found["missing"]
    elif counted(name):
        assert found["invented"] == 0
        assert max(off, found["displaced"]) <= dropped  # what lost a byte and got one may pass for another
    else:  # nothing in these layouts tells a packet that came twice
        assert (found["invented"] > 0) == repeated
        assert found["told_exactly"] == 0
        assert off <= 0.25 * found["missing"] + 0.01 * mixed * found["samples"] + (protocol == "text")
    if protocol in CHECKED or (protocol == "bitalino" and not (mixed or dropped)):
        assert found["altered"] <= 0.001 * found["samples"]
    if fault == "none":
        assert found["missing"] + found["altered"] == 0
        assert found["bad_frames"] <= 1  # what stands in front of the first packet
    if fault == "300 packets lost at once":
        assert told == found["missing"] > 0


def test_faults_are_the_same_each_time() -> None:
    assert measure("cyton", "bit flips, 1e-3", 5.0) == measure("cyton", "bit flips, 1e-3", 5.0)
    assert len(FAULTS) == 6
