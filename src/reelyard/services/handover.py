"""Handing segments over to helpers: what is offered, what has to be the same on both machines, and where they meet.

No recipe is handed over. A helper reads the job, as its owner does, and plans the segment's item itself: a segment's key does
not depend on the rest of the film. It finds the offered key among what it planned, or it can't help; so nothing that somebody
wrote into the database becomes a filter graph or a path.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict

from reelyard.domain.help import OfferedSegment, Terms
from reelyard.domain.output import OutputForm
from reelyard.domain.plan import PLAN_VERSION, Encoding, PictureSegment, PlannedItem
from reelyard.files.segment_cache import SegmentCache
from reelyard.files.segment_store import SegmentStore


def offered(segment: PictureSegment) -> OfferedSegment:
    """The segment as helpers are told of it."""
    return OfferedSegment(
        key=segment.key,
        position=segment.position,
        part=segment.part,
        frames=len(segment.frames),
    )


def terms_of(encoding: Encoding, form: OutputForm, meeting_places: Collection[str]) -> Terms:
    """What a plan's segments are made for. Equal ``terms`` on both sides, or a helper need not begin."""
    terms = [PLAN_VERSION, asdict(encoding), asdict(form)]
    return Terms(
        ffmpeg=encoding.ffmpeg_version,
        encoder=encoding.encoder,
        terms=json.dumps(terms, sort_keys=True, separators=(",", ":")),
        meeting_places=tuple(meeting_places),
    )


def meeting_places(cache: SegmentCache, store: SegmentStore | None) -> tuple[str, ...]:
    """Where this machine looks for segments: its cache, and the store if that answers."""
    shared = None if store is None else store.identity()
    return (cache_place(cache), *([] if shared is None else [store_place(shared)]))


def cache_place(cache: SegmentCache) -> str:
    return f"cache {cache.identity()}"


def store_place(identity: str) -> str:
    return f"store {identity}"


def misfit(theirs: Terms, own: Terms) -> str:
    """Why a machine of ``own`` can't make what was offered on ``theirs`` terms; empty where it can."""
    if theirs.ffmpeg != own.ffmpeg:
        return f"its FFmpeg is another than that of the job's machine: {own.ffmpeg}, and there {theirs.ffmpeg}"
    if theirs.encoder != own.encoder:
        return f"it encodes with {own.encoder}, and the job's machine with {theirs.encoder}"
    if theirs.terms != own.terms:
        return "it would write other bytes than the job's machine: another card, driver or version"
    if not set(theirs.meeting_places) & set(own.meeting_places):
        return "it shares neither a cache nor a segment store with the job's machine"
    return ""


def found(item: PlannedItem, key: str) -> PictureSegment | None:
    """The segment of that key, also where it is what the processor makes instead of the graphics card."""
    for segment in item.picture:
        if segment.key == key:
            return segment
        if segment.spare is not None and segment.spare.key == key:
            return segment.spare
    return None
