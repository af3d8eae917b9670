"""What is known of a source after it was probed: facts, never a container's claims."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class MediaKind(StrEnum):
    """What a source is, by its content."""

    MOVING = "moving"
    STILL = "still"


class Transfer(StrEnum):
    """How light is coded; decides whether a picture needs tone mapping."""

    SDR = "sdr"
    PQ = "pq"  # SMPTE ST 2084, HDR10
    HLG = "hlg"  # ARIB STD-B67


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """How to read the picture's numbers. Names are FFmpeg's; nothing is left unspecified.

    ``matrix`` is ``rgb`` where there is none to undo. ``peak_nits`` matters for HDR only.
    """

    matrix: str
    primaries: str
    transfer: Transfer
    full_range: bool
    peak_nits: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """The picture of a source, measured over its packets.

    ``width`` × ``height`` are as displayed (after rotation, before the sample aspect ratio).
    Ticks count ``time_base``. The picture spans ``first_tick <= t < end_tick``.
    """

    stream_index: int
    codec: str
    width: int
    height: int
    sample_aspect_ratio: Fraction
    rotation: int
    pixel_format: str
    bit_depth: int
    has_alpha: bool
    interlaced: bool
    colour: Colour
    time_base: Fraction
    first_tick: int
    end_tick: int
    frame_count: int
    longest_interval: int  # ticks between two neighbours in display order, at most
    key_interval: int  # ticks between two key frames, at most: what entering the clip may cost
    variable_rate: bool
    decoder: str | None = None  # FFmpeg's usual one for the codec would drop the alpha channel
    alpha_index: int | None = None  # the stream that holds the alpha channel, where it is apart

    @property
    def span(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return (self.end_tick - self.first_tick) * self.time_base

    @property
    def first(self) -> Fraction:
        return self.first_tick * self.time_base

    @property
    def frame_rate(self) -> Fraction:
        """Average frames a second."""
        return self.frame_count / self.span if self.span else Fraction(self.frame_count)

    @property
    def display_aspect_ratio(self) -> Fraction:
        return Fraction(self.width, self.height) * self.sample_aspect_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """The sound of a source: the stream that FFmpeg would call the best one."""

    stream_index: int
    codec: str
    channels: int
    layout: str
    sample_rate: int
    time_base: Fraction
    first_tick: int
    end_tick: int

    @property
    def first(self) -> Fraction:
        return self.first_tick * self.time_base

    @property
    def end(self) -> Fraction:
        return self.end_tick * self.time_base


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """One probed source.

    ``fingerprint`` is a hash of the file's bytes; ``size`` and ``modified_ns`` tell whether the
    file at ``path`` is still the one that was probed. ``container_start`` (seconds) is what a seek
    counts from. ``seekable`` sources can be entered anywhere; others are read from the start.
    """

    path: str
    fingerprint: str
    size: int
    modified_ns: int
    kind: MediaKind
    demuxer: str
    container_start: Fraction
    seekable: bool
    video: VideoFacts
    audio: AudioFacts | None = None
    warnings: tuple[str, ...] = ()
