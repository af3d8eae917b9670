"""The report beside a film: what was made, from what, by what, and what was measured of it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from reelyard.domain.errors import Problem
from reelyard.domain.job import Job
from reelyard.domain.output import AUDIO_BIT_RATE, OutputForm
from reelyard.domain.plan import Plan, PlannedItem
from reelyard.domain.timeline import seconds_of
from reelyard.engine.checks import FilmFacts

from .made import Made

REPORT_VERSION = 1
_RATE_TOLERANCE = 0.15


def report(
    job: Job,
    plan: Plan,
    made: Made,
    film: FilmFacts,
    warnings: Sequence[Problem],
    *,
    output: str,
    seconds: float,
) -> dict[str, Any]:
    """Everything about a finished film, as JSON can write it. Times are in seconds."""
    return {
        "version": REPORT_VERSION,
        "output": output,
        "job_id": job.job_id,
        "channel_name": job.channel_name,
        **job.excerpt.fields,
        "draft": plan.form.is_draft,
        "features_used": list(job.features),
        "video_count": job.video_count,
        "total_duration": film.duration,
        "processing_time": round(seconds, 3),
        "cpu_seconds": cpu_seconds(),
        "encoder": plan.encoding.encoder,
        "ffmpeg": plan.encoding.ffmpeg_version,
        "target": _target(plan.form),
        "measured": film.as_dict(),
        "loudness": asdict(made.loudness) if made.loudness else None,
        "even_loudness": plan.even_loudness,
        "cache": {
            "taken": len(made.cached),
            "rendered": len(made.rendered),
            "by_helpers": len(made.helped),
        },
        "warnings": [*map(str, warnings), *rate_warnings(film, plan.form)],
        "remarks": rate_remarks(film, plan.form),
        "items": [_item(item, made) for item in plan.items],
    }


def _target(form: OutputForm) -> dict[str, Any]:
    return {
        "name": form.name,
        "width": form.width,
        "height": form.height,
        "video_bit_rate": form.target_rate,
        "max_bit_rate": form.max_rate,
        "buffer_size": form.buffer_size,
        "profile": form.profile,
        "level": form.level,
        "audio_bit_rate": AUDIO_BIT_RATE,
    }


def _item(item: PlannedItem, made: Made) -> dict[str, Any]:
    keys = [made.key(segment) for segment in item.picture]
    notes = [note for key in [*keys, item.sound.key] for note in made.notes.get(key, [])]
    return {
        "position": item.position,
        "item_type": item.item_type,
        "source": item.named.encode("utf-8", "backslashreplace").decode(),
        "title": item.title,
        "start": float(seconds_of(item.start)),
        "duration": float(seconds_of(item.frames)),
        "frames": item.frames,
        "silent": item.sound.recipe is None,
        "by_processor": item.by_processor or made.refused.get(item.position),
        "notes": [*item.notes, *dict.fromkeys(notes)],
        "segments": [
            {"key": key, "cached": key in made.cached, "helper": made.helped.get(key)}
            for key in keys
        ],
    }


def rate_remarks(film: FilmFacts, form: OutputForm) -> list[str]:
    """Where a film takes fewer bits than it may: nothing to act on."""
    if form.is_draft:
        return []
    found = []
    share = film.video_bit_rate / form.target_rate
    if share < 1 - _RATE_TOLERANCE:
        found.append(
            f"the picture takes {film.video_bit_rate / 1e6:.1f} Mb/s of {form.target_rate / 1e6:g}:"
            " it is simple enough to need no more"
        )
    if film.audio_bit_rate < AUDIO_BIT_RATE * (1 - _RATE_TOLERANCE):
        found.append(
            f"the sound takes {film.audio_bit_rate // 1000} kb/s of {AUDIO_BIT_RATE // 1000}: it is quiet"
            " or simple enough to need no more"
        )
    return found


def rate_warnings(film: FilmFacts, form: OutputForm) -> list[str]:
    """What a broadcaster would object to: measured, not a reason to refuse the film.

    Nobody broadcasts a draft.
    """
    if form.is_draft:
        return []
    found = []
    share = film.video_bit_rate / form.target_rate
    if share > 1 + _RATE_TOLERANCE:
        found.append(f"the picture takes {film.video_bit_rate / 1e6:.1f} Mb/s, above its target")
    if film.buffer_underflows:
        found.append(f"{film.buffer_underflows} frames come late at {form.max_rate / 1e6:g} Mb/s")
    return found


def cpu_seconds() -> dict[str, float]:
    """CPU time so far: this process's own, and that of the FFmpegs it ran."""
    used = os.times()
    return {
        "own": round(used.user + used.system, 3),
        "ffmpeg": round(used.children_user + used.children_system, 3),
    }


def as_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
