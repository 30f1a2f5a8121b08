"""Meeting a board: what is written to whom, and the search for a baud rate, in made-up time."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from board_bytes import speak

from ecgedge.greeting import AGAIN_S, LISTEN_S, Greeting, Step
from ecgedge.messages import Chunk
from ecgedge.wire import PROTOCOLS, make_reader, usual_rates
from ecgedge.wire.frames import command_hello, command_start

RATES = (115200, 9600, 57600, 230400)


def run(greeting: Greeting, seconds: float, start_s: float = 0.0) -> list[tuple[float, Step]]:
    """All steps that say something, with their times."""
    steps = [(start_s + k * 0.2, greeting.step(start_s + k * 0.2)) for k in range(round(seconds / 0.2))]
    return [(round(at, 1), step) for at, step in steps if step != Step()]


@pytest.mark.parametrize("raw", [b"", random.Random(1).randbytes(5000)])
def test_nothing_is_written_to_a_board_that_is_not_known(raw: bytes) -> None:
    reader = make_reader()
    greeting = Greeting(reader, None, RATES)
    reader.push(Chunk(raw, 0.0))
    assert not any(step.write for _, step in run(greeting, 60))
    assert greeting.stop == b""


@pytest.mark.parametrize("name", ["ad8232", "chords-uno-r3", "max30003", "cyton", "bitalino"])
def test_a_board_that_was_recognised_is_not_told_to_start(name: str) -> None:
    """It sends already; and only frames have something to ask for."""
    reader = make_reader()
    greeting = Greeting(reader, None)
    for chunk in speak(name, 1000).chunks:
        reader.push(chunk)
    assert reader.protocol is not None
    assert run(greeting, 5) == []


def test_a_named_board_is_asked_until_it_sends_and_stopped_in_the_end() -> None:
    reader = make_reader("chords")
    greeting = Greeting(reader, "chords")
    said = run(greeting, 5)
    assert [at for at, _ in said] == [0.0, AGAIN_S, 2 * AGAIN_S]
    assert {step.write for _, step in said} == {b"START\n"}
    for chunk in speak("chords-uno-r3", 500).chunks:
        reader.push(chunk)
    assert run(greeting, 5, start_s=5.0) == []
    assert greeting.stop == b"STOP\n"


def test_commands_that_belong_together_come_one_by_one() -> None:
    said = run(Greeting(make_reader("bitalino"), "bitalino"), 1)
    assert [step.write for _, step in said] == [b"\xc3", b"\xfd"]


def test_frames_are_asked_for_their_hello_once_they_are_known() -> None:
    from test_wire_recognise import frame_stream

    reader = make_reader()
    greeting = Greeting(reader, None)
    assert run(greeting, 1) == []
    reader.push(Chunk(frame_stream(5), 1.0))
    ((_, step),) = run(greeting, 5, start_s=1.0)
    assert step.write == command_hello() + command_start()


def test_garbage_makes_it_try_the_usual_rates_in_turn_and_say_so() -> None:
    reader = make_reader()
    greeting = Greeting(reader, None, RATES)
    rng = random.Random(2)
    tuned, texts = [], []
    for k in range(65):
        reader.push(Chunk(rng.randbytes(200), k * 0.2))
        step = greeting.step(k * 0.2)
        if step.baud is not None:
            tuned.append((k * 0.2, step.baud))
            reader.restart()
        texts += [step.text] if step.text else []
    assert [baud for _, baud in tuned] == [9600, 57600, 230400, 115200, 9600]
    assert tuned[0][0] == pytest.approx(LISTEN_S, abs=0.2)
    assert "at 115200 baud; trying 9600, 57600, 230400" in texts[0]
    assert "no sense at any of 115200, 9600, 57600, 230400 baud" in texts[1]
    assert "printable" in texts[1]


def test_the_rate_that_was_found_is_said_and_kept() -> None:
    reader = make_reader()
    greeting = Greeting(reader, None, RATES)
    reader.push(Chunk(random.Random(3).randbytes(900), 0.0))
    ((_, step),) = run(greeting, 3)
    assert step.baud == 9600
    reader.restart()
    for chunk in speak("ad8232-sparkfun", 400).chunks:
        reader.push(chunk)
    ((_, step),) = run(greeting, 60, start_s=3.0)
    assert (step.text, step.baud) == ("text at 9600 baud", None)


def test_silence_is_no_reason_to_try_another_rate_unless_a_question_was_asked() -> None:
    assert run(Greeting(make_reader(), None, RATES), 60) == []
    rates = usual_rates("chords")
    said = run(Greeting(make_reader("chords"), "chords", rates), 12)
    tuned = [step.baud for _, step in said if step.baud is not None]
    assert rates[:3] == (230400, 115200, 9600)
    assert tuned[:2] == [115200, 9600]
    asked = [at for at, step in said if step.write]
    assert min(b - a for a, b in pairwise(asked)) < AGAIN_S  # at once at the new rate


def test_a_board_that_restarts_when_opened_is_given_its_time_from_its_first_byte() -> None:
    reader = make_reader()
    greeting = Greeting(reader, None, RATES)
    assert run(greeting, 2.0) == []  # the bootloader is silent
    reader.push(Chunk(b"Initialising the chip, please wait ...\r\n", 2.0))
    assert run(greeting, LISTEN_S - 0.2, start_s=2.0) == []
    for chunk in speak("max30003", 100).chunks:
        reader.push(Chunk(chunk.data, 4.0))
    assert run(greeting, 20, start_s=4.0) == []
    assert reader.protocol == "protocentral"


def test_one_given_rate_is_not_left() -> None:
    reader = make_reader()
    greeting = Greeting(reader, None, (9600,))
    reader.push(Chunk(random.Random(4).randbytes(5000), 0.0))
    assert run(greeting, 60) == []


def test_after_a_restart_the_board_is_met_again() -> None:
    reader = make_reader("cyton")
    greeting = Greeting(reader, "cyton")
    assert [step.write for _, step in run(greeting, 1)] == [b"b"]
    for chunk in speak("cyton", 100).chunks:
        reader.push(chunk)
    assert run(greeting, 5, start_s=1.0) == []
    reader.restart()
    greeting.restart()
    assert [step.write for _, step in run(greeting, 1, start_s=9.0)] == [b"b"]


def test_usual_rates_begin_with_the_protocols_own() -> None:
    assert usual_rates() == RATES
    for name, row in PROTOCOLS.items():
        rates = usual_rates(name)
        assert rates[: len(row.baud_rates)] == row.baud_rates
        assert set(rates) == set(RATES)
