"""How the samples that come fit the layout in which they are recorded, and which layout the rest wants.

A converter's counts fit for ever. Lines of text can say anything: where the line feed between two numbers is
lost, one number of twice as many digits comes. Such a number must not make the steps coarser in which all
others are kept. So a number beyond the layout is left out, as "no sample", as long as such are few; where
more come the sender's range is another one, and the rest wants a layout that holds it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.recordings.layout import WIDEST, Layout, choose_layout, steps_for

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats

LOOK_S = 10.0
"""Seconds of samples that are looked at together."""
FEW_S = 0.1
"""Samples of one lead that may be left out of them: with more, the lead is taken to have another range."""
ENOUGH = 8192.0
"""Decimals whose largest is so many steps need no finer ones."""


class Fit:
    """Follows the samples of one board at one rate; what it says does not depend on their blocks, except
    that the first block chooses the first layout.

    Parameters
    ----------
    layout : the first one, see ``open_fit``
    most : largest magnitude so far, shape (leads,)
    """

    def __init__(self, layout: Layout, most: Floats) -> None:
        self.layout = layout
        """For the samples that come next."""
        self._look = max(1, round(LOOK_S * layout.rate_hz))
        self._few = max(2, round(FEW_S * layout.rate_hz))
        self._most = most.copy()  # of the counts kept since the format was last narrowed
        self._before = most  # of those of the look before this one
        self._begin_look()

    def _begin_look(self) -> None:
        self._n = 0
        self._top = np.zeros(self.layout.leads)
        self._decimals = np.zeros(self.layout.leads, bool)
        self._left_out: list[list[float]] = [[] for _ in range(self.layout.leads)]

    def take(self, counts: Floats) -> int:
        """Take samples of shape (n, leads); how many the layout was still for: the rest wants the new one."""
        layout, done = self.layout, 0
        while done < len(counts) and self.layout == layout:
            done += self._take(counts[done : done + self._look - self._n])
        return done

    def narrow(self) -> None:
        """A new record begins for another reason: the width of its format is that of the latest samples."""
        recent = np.maximum(self._before, self._top)
        narrow = replace(self.layout, fmt="16")
        if not narrow.steps and (narrow.bits or 0) <= 16 and recent.max() <= narrow.reach:
            self.layout, self._most = narrow, recent

    def _take(self, counts: Floats) -> int:
        """Samples of one look."""
        sizes = np.where(np.isfinite(counts), np.abs(counts), 0.0)
        beyond = self.layout.beyond(counts)
        broken = sizes != np.rint(sizes)
        new = broken & (self.layout.per_count == 1.0)
        n = self._follow(sizes, beyond, new) if beyond.any() or new.any() else len(counts)
        if n:
            self._keep(np.where(beyond, 0.0, sizes)[:n].max(axis=0))
            self._decimals |= (broken & ~beyond)[:n].any(axis=0)
        self._n += n
        if self._n == self._look:
            self._refine()
            self._before = self._top
            self._begin_look()
        return n

    def _keep(self, most: Floats) -> None:
        self._top = np.maximum(self._top, most)
        self._most = np.maximum(self._most, most)

    def _follow(self, sizes: Floats, beyond: Bools, broken: Bools) -> int:
        """Find where the layout must change, and change it; how many samples come before that."""
        wide = beyond & (sizes * self.layout.per_count <= WIDEST)
        wild = beyond & ~wide
        most = np.maximum.accumulate(np.maximum(np.where(wild, 0.0, sizes), self._most))
        finer = broken & ~wild & (most * 10.0 <= WIDEST)  # larger ones are rounded
        before = np.array([len(found) for found in self._left_out])
        many = wild & (np.cumsum(wild, axis=0) + before > self._few)
        change = (wide | finer | many).any(axis=1)
        n = int(change.argmax()) if change.any() else len(change)
        for lead, found in enumerate(self._left_out):
            found += sizes[:n, lead][wild[:n, lead]].tolist()
        if n < len(change):
            steps = self.layout.per_count
            for lead in finer[n].nonzero()[0]:
                steps[lead] = steps_for(float(most[n, lead]), whole=False, headroom=1.0)
            for lead in many[n].nonzero()[0]:
                usual = float(np.median([*self._left_out[lead], sizes[n, lead]]))
                steps[lead] = steps_for(usual, whole=False)
                self._most[lead] = max(usual, self._most[lead])
                self._left_out[lead] = []
            self._set(steps)
        return n

    def _refine(self) -> None:
        """Take finer steps where a whole look has had no number that needs the coarse ones."""
        steps = self.layout.per_count
        for lead, top in enumerate(self._top.tolist()):
            if top > 0.0 and steps[lead] < 1.0:
                steps[lead] = max(steps[lead], steps_for(top, whole=True))
            elif self._decimals[lead] and top * steps[lead] < ENOUGH:
                steps[lead] = max(steps[lead], steps_for(top, whole=False))
        if np.any(steps != self.layout.per_count):
            self._set(steps)

    def _set(self, steps: Floats) -> None:
        plain = bool(np.all(steps == 1.0))
        self.layout = replace(self.layout, fmt="24", steps=() if plain else tuple(steps.tolist()))


def open_fit(
    counts: Floats,
    rate_hz: float,
    uv_per_count: float | None = None,
    bits: int | None = None,
    lead_names: tuple[str, ...] = (),
) -> Fit:
    """Begin with the layout that suits the first samples, shape (n, leads); see ``choose_layout``."""
    layout = choose_layout(counts, rate_hz, uv_per_count, bits, lead_names)
    known = np.isfinite(counts) & ~layout.beyond(counts)
    return Fit(layout, np.where(known, np.abs(counts), 0.0).max(axis=0))
