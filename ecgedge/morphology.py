"""Signal and R peaks of a window -> which QRS are unlike the ordinary one.

Ventricular beats, and artefacts taken for beats, break a regular rhythm as irregularly as fibrillation
does; what gives them away is the shape. The QRS are compared pairwise by correlation and size. The
ordinary one is that with the most companions, so that odd beats may be up to half of all, as in bigeminy.
A premature atrial beat is conducted as the ordinary ones are, and is not seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecgedge.order import median

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats, Window

REACH_S = 0.1
"""A QRS, wide ones included, lies within this time on either side of its R peak."""
SLACK_S = 0.02
"""An R peak may lie so far off its place in the ordinary QRS."""
COMPANION = 0.85
"""Least correlation of QRS that are of one kind."""
ODD = 0.75
"""An odd QRS correlates with the ordinary ones by less than this."""
SIZE = 2.0
"""An odd QRS has more than this times the size of the ordinary ones, or less than its inverse."""
_TINY = 1e-30


def odd_beats(window: Window, times_s: Floats) -> Bools:
    """Whether each beat's QRS differs from the ordinary one of the window.

    Parameters
    ----------
    window : conditioned signal (0.5-40 Hz), any unit and polarity
    times_s : R peaks in the window, seconds of the stream, shape (beats,)

    Returns
    -------
    shape (beats,); none is odd where there are fewer than three, or the signal is flat; all but one are
    where no two resemble each other
    """
    none = np.zeros(times_s.size, dtype=bool)
    if times_s.size < 3 or window.signal.size == 0:
        return none
    alike, size = _compare(_pieces(window, times_s))
    ratio = size / size[:, None]
    of_a_kind = (alike > COMPANION) & (ratio < SIZE) & (ratio > 1 / SIZE)
    ordinary = of_a_kind[np.add.reduce(of_a_kind, axis=1, dtype=np.intp).argmax()]
    if not ordinary.any():
        return none
    share = size / median(size[ordinary])
    return np.asarray((median(alike[ordinary]) < ODD) | (share > SIZE) | (share < 1 / SIZE))


def _pieces(window: Window, times_s: Floats) -> Floats:
    """The signal around each beat, moved by -slack to +slack samples, shape (2 * slack + 1, beats, samples).

    Beyond its ends the signal stays at its first and last value.
    """
    slack = max(1, round(SLACK_S * window.rate_hz))
    reach = max(2, round(REACH_S * window.rate_hz))
    at = np.rint((times_s - window.time_s) * window.rate_hz).astype(np.int64)
    shifted = np.arange(-slack, slack + 1)[:, None] + at
    places = shifted[:, :, None] + np.arange(-reach, reach + 1)
    np.minimum(np.maximum(places, 0, out=places), window.signal.size - 1, out=places)
    return np.asarray(window.signal.astype(np.float64)[places])


def _compare(pieces: Floats) -> tuple[Floats, Floats]:
    """Highest correlation of each two QRS within the slack, shape (beats, beats), and their sizes."""
    middle, samples = len(pieces) // 2, pieces.shape[2]
    pieces = pieces - np.add.reduce(pieces, axis=2, keepdims=True) / samples
    size = np.sqrt(np.add.reduce(pieces * pieces, axis=2))
    pieces /= np.maximum(size, _TINY)[:, :, None]
    alike = np.maximum.reduce(pieces @ pieces[middle].T)
    return np.maximum(alike, alike.T), np.maximum(size[middle], _TINY)
