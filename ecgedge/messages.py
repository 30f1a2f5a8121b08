"""The nouns of the stream: what one stage hands to the next.

Every message is a frozen dataclass and speaks of a *stream sample*: the count of samples of one lead
since the stream began, at the board's own rate, gaps included. ``time_s`` is that sample's time in
seconds since the first sample. Arrays are never written to after a message was made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Signal32 = npt.NDArray[np.float32]
    Bools = npt.NDArray[np.bool_]

GapCause = Literal["lost", "leads_off", "silent", "reset", "unplugged"]
"""Why samples are not there: ``lost`` (on the wire, or without a value in a file: a recording and its replay
say the same), electrode off (``leads_off``), nothing sent (``silent``), board restarted (``reset``), the port
was lost and came back (``unplugged``)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as a port delivered them."""

    data: bytes
    arrival_s: float
    """Seconds on the port's clock (host monotonic time, or virtual time of a replay)."""


@dataclass(frozen=True, slots=True)
class Board:
    """What the sender says of itself. A second one in a stream means that the board started again."""

    name: str
    rate_hz: float | None = None
    """Nominal samples per second and lead; None where the layout does not tell."""
    uv_per_count: float | None = None
    """Microvolt at the electrodes per count; None where unknown."""
    bits: int | None = None
    """Resolution of the converter in bits."""
    leads: int = 1
    lead_names: tuple[str, ...] = ()
    """Names of the leads, where the layout carries them."""


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Consecutive samples of all leads."""

    first: int
    """From a decoder: index in the sender's own numbering, unwrapped. Where ``indexed`` is False the decoder
    counts, and samples that it believes lost with it. From the clock on: stream sample."""
    counts: Floats
    """Raw converter counts, shape (n_samples, n_leads), float64 (exact for integers of up to 53 bits).
    Not-a-number marks a sample that the sender knows to be missing."""
    arrival_s: float
    """When the last byte of the block arrived, seconds on the port's clock."""
    leads_off: bool = False
    """True where the board reports a loose electrode for the whole block."""
    indexed: bool = False
    """True where ``first`` is the sender's own count, so that a jump is an exact loss."""
    device_us: int | None = None
    """Sender's clock at the first sample, microseconds, unwrapped; None where the layout has none."""
    estimated: bool = False
    """True where the jump in front of this block is no exact loss: damage stood there that looked like so
    many samples, or the sender's short count may have wrapped in a pause, and only arrival times tell how
    often."""

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.counts)


@dataclass(frozen=True, slots=True)
class Segment:
    """From ``first`` on, samples come at a fixed rate. A step in the rate opens a new one."""

    first: int
    time_s: float
    rate_hz: float
    source: Literal["declared", "given", "measured"]
    board: Board


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that are not there (or, with ``leads_off``, mean nothing)."""

    first: int
    n: int
    time_s: float
    seconds: float
    cause: GapCause
    estimated: bool = False
    """True where the count was estimated from timing, not read from the sender's own index."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The start of signal without a break longer than what may be bridged."""

    first: int
    time_s: float
    rate_hz: float
    in_mv: bool
    """True where the values that follow are millivolt, False where they are counts of unknown scale."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive values of one lead inside a stretch."""

    first: int
    values: Floats
    """Shape (n,), float64, millivolt or counts (see ``Stretch.in_mv``), always finite."""
    bridged: int = 0
    """So many values at the beginning bridge a short gap."""


@dataclass(frozen=True, slots=True)
class StretchEnd:
    """The end of a stretch."""

    last: int
    """One past its last stream sample."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat, at its R peak."""

    sample: int
    time_s: float
    rr_s: float | None
    """Seconds since the R peak before; None for the first beat after a gap."""
    height: float
    """Signed height of the QRS in the detector's 8-35 Hz band, in the unit of the signal."""
    in_mv: bool
    """Whether that unit is millivolt (otherwise counts of unknown scale)."""

    @property
    def amplitude_mv(self) -> float | None:
        """The height in millivolt; None without a known scale."""
        return self.height if self.in_mv else None


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like this person's ordinary beats one beat is: correlation with their median, -1 to 1."""

    p: float
    """Of the signal where the P wave is."""
    qrs: float


@dataclass(frozen=True, slots=True)
class BeatClass:
    """What a model said of one heartbeat, told some beats after the beat itself."""

    model: str
    beat: Beat
    scores: dict[str, float]
    """Probability of each class (N, S, V, F), sum 1."""
    label: str
    """The class of the highest score."""
    likeness: Likeness

    @property
    def probability(self) -> float:
        """Of that class, 0-1."""
        return self.scores[self.label]


EctopicKind = Literal["APC", "PVC"]
"""A premature beat from above the ventricles (APC), or one from the ventricles (PVC, early or not)."""


@dataclass(frozen=True, slots=True)
class Ectopic:
    """A beat whose class has been confirmed by what is known around it; see ``ecgedge.ectopy``."""

    kind: EctopicKind
    model: str
    beat: Beat
    probability: float
    """Of the beat's class, 0-1."""
    prematurity: float | None
    """RR interval before the beat over the usual one; None where either is unknown."""
    confirmed: bool | None = None
    """Whether a model of APC windows agrees; None where none was asked."""


@dataclass(frozen=True, slots=True)
class EctopicRun:
    """Ectopic beats of one kind in a regular row.

    ``run`` (three or more in a row), ``bigeminy`` and ``trigeminy`` (every second or third beat, three times
    or more) are given twice: with ``state`` "open" when they are there and "closed" at their end; a
    ``couplet`` (two in a row) once, closed.
    """

    kind: Literal["couplet", "run", "bigeminy", "trigeminy"]
    state: Literal["open", "closed"]
    of: EctopicKind
    model: str
    onset: int
    """Stream sample of its first ectopic beat."""
    offset: int
    """Stream sample of its last ectopic beat (so far, while open)."""
    onset_s: float
    offset_s: float
    beats: int
    """Ectopic beats in it (so far, while open)."""

    @property
    def bpm(self) -> float | None:
        """Mean rate of a couplet or run, beats per minute; None for the others."""
        if self.kind not in ("couplet", "run"):
            return None
        return 60.0 * (self.beats - 1) / (self.offset_s - self.onset_s)


@dataclass(frozen=True, slots=True, eq=False)
class ApcWindow:
    """What a model of APC windows said of a window in which a beat was called APC."""

    model: str
    first: int
    last: int
    """One past the last stream sample."""
    time_s: float
    seconds: float
    probability: float
    """That an APC lies in the window, 0-1."""
    called: bool
    """Whether that reaches the model's threshold."""
    attention: Signal32 | None = None
    """Weight of each sample of the window at ``rate_hz``, 0-1, shape (n,); only where it was asked for."""
    rate_hz: float = 0.0


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a window can be trusted: 0 (useless) to 1 (clean)."""

    index: float
    reasons: tuple[str, ...] = ()
    """What is wrong, in words, worst first; empty for a clean window."""
    usable: bool = True
    """False when no verdict should be read from the window."""


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of conditioned signal of a bundle's window length (or shorter, see ``provisional``)."""

    first: int
    """First stream sample."""
    last: int
    """One past the last stream sample."""
    time_s: float
    seconds: float
    signal: Signal32
    """Conditioned signal, shape (n,), float32, at ``rate_hz``, not yet normalised nor padded;
    millivolt where the board told its scale, otherwise counts."""
    rate_hz: float
    filled: float
    """Share of the samples (0-1) that bridge short gaps."""
    provisional: bool
    """True for a verdict given early, before the bundle's whole window was there."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whose heart it is, as far as that was told."""

    age: float | None = None
    """Years."""
    sex: Literal["f", "m"] | None = None


UNKNOWN = Person()


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What is known of a window, or of a whole record, beside its signal."""

    rate_hz: float
    """Samples per second of that signal."""
    times_s: Floats
    """R peaks in order, seconds from its first sample, shape (beats,)."""
    heights: Floats
    """Of the same QRS, as in ``Beat``, shape (beats,)."""
    person: Person = UNKNOWN


@dataclass(frozen=True, slots=True)
class Scores:
    """What one bundle said of one window."""

    model: str
    first: int
    last: int
    time_s: float
    seconds: float
    scores: dict[str, float]
    """Probability of each of the bundle's classes, sum 1 (softmax after the bundle's temperature)."""
    label: str
    """The class of the highest score."""
    provisional: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Scores that have passed the quality gate and the bundle's confidence threshold."""

    scores: Scores
    verdict: str
    """The label in words (``sinus``, ``AF``, ``other``), or ``inconclusive``."""
    reasons: tuple[str, ...]
    """Why the window is inconclusive; empty otherwise."""
    quality: Quality
    probability: float
    """Of the rhythm that the verdict names, or would have named (0-1)."""
    af_probability: float | None = None
    """Probability of AF (0-1) from the net's scores and the RR intervals together: what the verdict and the
    episodes go by. None for a bundle without a class for AF."""
    irregularity: float | None = None
    """Probability of AF from the RR intervals alone (0-1); None where too few ordinary beats were left to
    tell."""
    readable: bool = True
    """False where the signal tells nothing (not usable, or noise to the model). A window that is inconclusive
    only because no class stands out is readable: its probabilities still count towards episodes."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of atrial fibrillation of at least the minimum duration.

    Given twice: with ``state`` "open" as soon as the minimum is reached and "closed" at its end.
    """

    kind: str
    state: Literal["open", "closed"]
    model: str
    onset: int
    offset: int
    """One past the last sample of the episode (so far, while open)."""
    onset_s: float
    offset_s: float
    probability: float
    """Mean smoothed probability over the episode so far (0-1)."""


@dataclass(frozen=True, slots=True)
class Hrv:
    """Heart rate and its variability, of five minutes or of the whole stream.

    The rate counts all beats, the variability only intervals between normal beats (NN): no gap, AF episode,
    ectopic beat (premature, of odd height, or by its class), or window without a readable signal. The
    measures are those of the Task Force (Circulation 93, 1996); None where too few intervals are left.
    """

    span: Literal["5 min", "stream"]
    first: int
    last: int
    """One past the last stream sample."""
    time_s: float
    seconds: float
    rr_intervals: int
    """All RR intervals of up to 3 s that ended in the span, unreadable signal apart."""
    rr_s: float
    """Their sum, seconds."""
    heart_rate_bpm: float | None
    """Mean rate over these intervals."""
    lowest_bpm: float | None
    """Of the median of ten seconds, taken at every beat."""
    highest_bpm: float | None
    nn_intervals: int
    coverage: float
    """Share (0-1) of the span that lies in NN intervals."""
    inconclusive: float
    """Share (0-1) of the span left out because no window with a readable signal covers it."""
    mean_nn_ms: float | None
    sdnn_ms: float | None
    """Standard deviation of the NN intervals."""
    rmssd_ms: float | None
    """Root mean square of the differences between neighbouring NN intervals."""
    pnn50: float | None
    """Share (0-1) of these differences that are above 50 ms."""


@dataclass(frozen=True, slots=True)
class Period:
    """AF burden and heart rate of an hour or day, counted from the first sample, or of the whole stream."""

    span: Literal["hour", "day", "stream"]
    model: str
    first: int
    last: int
    """One past the last stream sample."""
    time_s: float
    seconds: float
    """Shorter than an hour or day only at the stream's end."""
    judged_s: float
    """Seconds that windows or episodes cover; the rest is gaps and pieces too short to judge."""
    af_s: float
    """Seconds in AF episodes of at least the minimum duration."""
    burden: float | None
    """``af_s`` over ``judged_s`` (0-1); None where nothing was judged."""
    inconclusive: float | None
    """Share (0-1) of ``judged_s`` outside the episodes that most windows over it called inconclusive."""
    episodes: int
    """How many episodes have a part in it."""
    heart_rate_bpm: float | None
    lowest_bpm: float | None
    highest_bpm: float | None


@dataclass(frozen=True, slots=True)
class EctopyOf:
    """How much ectopy of one kind there was in a while."""

    count: int = 0
    per_hour: float | None = None
    """Over the time that was judged (of APCs: and was not in AF); None where nothing was."""
    burden: float | None = None
    """Share (0-1) of the judged beats; None where none was."""
    couplets: int = 0
    runs: int = 0
    """Three or more in a row."""
    longest_run: int = 0
    """Beats of the longest of these."""
    bigeminies: int = 0
    trigeminies: int = 0


@dataclass(frozen=True, slots=True)
class EctopyCount:
    """Ectopic beats of an hour or day, counted from the first sample, or of the whole stream."""

    span: Literal["hour", "day", "stream"]
    model: str
    first: int
    last: int
    """One past the last stream sample."""
    time_s: float
    seconds: float
    """Shorter than an hour or day only at the stream's end."""
    judged_s: float
    """Seconds that readable windows cover, AF included."""
    af_s: float
    """Seconds of these in which AF is likely: no APC is counted there."""
    inconclusive: float | None
    """Share (0-1) of the seconds that windows cover in which they cannot be read; None without any."""
    beats: int
    """Beats with a class in the judged time."""
    apc: EctopyOf
    pvc: EctopyOf


@dataclass(frozen=True, slots=True)
class Counters:
    """What has been read and lost since the stream began."""

    bytes: int = 0
    discarded_bytes: int = 0
    frames: int = 0
    bad_frames: int = 0
    """Frames dropped for a wrong checksum, length or type, and lines that hold no number."""
    samples: int = 0
    """Samples delivered."""
    lost: int = 0
    """Samples known to be lost (exact)."""
    lost_estimated: int = 0
    """Samples believed lost from timing (estimate)."""
    leads_off: int = 0
    """Samples delivered while an electrode was off."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where the stream stands; also every notice that a person should read (``text``)."""

    sample: int
    time_s: float
    state: Literal["waiting", "unrecognised", "streaming", "leads_off", "silent", "unplugged", "ended"]
    text: str = ""
    heart_rate_bpm: float | None = None
    """None also while the latest window cannot be read: what is found there are no beats."""
    verdict: str | None = None
    probability: float | None = None
    """Score of the verdict's class, 0-1."""
    quality: float | None = None
    counters: Counters = field(default_factory=Counters)
    mains_hz: float | None = None
    """Where mains hum stands in the spectrum, Hz; None without any, or where the rate is too low to tell."""
    mains_share: float | None = None
    """Amplitude of the hum over the height of the QRS; None where either is unknown."""


@dataclass(frozen=True, slots=True)
class Record:
    """The whole of a file that was classified."""

    path: str
    model: str
    label: str | None
    """Class with the highest mean score; None when the record gave no window."""
    verdict: str
    scores: dict[str, float]
    """Mean over the windows that are not provisional."""
    seconds: float
    inconclusive: float
    """Share (0-1) of the windows without a verdict."""
    windows: int


Message = (
    Segment
    | SampleBlock
    | Gap
    | Beat
    | BeatClass
    | Ectopic
    | EctopicRun
    | ApcWindow
    | Window
    | Scores
    | Verdict
    | Episode
    | Hrv
    | Period
    | EctopyCount
    | Status
    | Record
)
