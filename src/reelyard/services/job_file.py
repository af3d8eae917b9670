"""Job files: YAML or JSON with the API's own field names, checked before any source is read.

Every problem is reported at once, each with the item's position, the field and a remedy.
"""

from __future__ import annotations

import difflib
import json
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote_to_bytes

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from reelyard.domain.errors import JobRejected, Problem
from reelyard.domain.job import Item, ItemType, Job, OnBadItem
from reelyard.engine.text import MOST_LETTERS, letters

LARGEST_FILE = 10_000_000
MOST_ITEMS = 10_000
LONGEST_STILL = 24 * 3600

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
PathText = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


Document = TypeVar("Document", bound=BaseModel)


class ItemDocument(BaseModel):
    """An item as it is written."""

    model_config = ConfigDict(extra="forbid")

    item_type: ItemType
    position: Annotated[int, Field(ge=1)] | None = None
    path: PathText | None = None
    video_id: Name | None = None
    duration: Annotated[float, Field(gt=0, le=LONGEST_STILL, allow_inf_nan=False)] | None = None
    start: Seconds | None = None
    end: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    logo_path: PathText | None = None
    text_animation_text: Annotated[str, StringConstraints(max_length=2000)] | None = None


class JobDocument(BaseModel):
    """A job as it is written; its items are looked at one by one."""

    model_config = ConfigDict(extra="forbid")

    channel_name: Name
    items: Annotated[list[Any], Field(min_length=1, max_length=MOST_ITEMS)]
    enable_4k: bool = False
    on_bad_item: OnBadItem = OnBadItem.FAIL
    loudness: bool = False
    chapters: bool = False
    job_id: uuid.UUID | None = None


def read_job(path: Path) -> Job:
    """The job in a file; relative paths in it are relative to the file.

    Raises JobRejected with every problem there is.
    """
    return parse_job(_load(path), path.absolute().parent)


def parse_job(document: object, folder: Path) -> Job:
    """The job in a document that was read from YAML or JSON."""
    if not isinstance(document, dict):
        raise JobRejected([_problem("not_a_job", "a job is a list of fields", _EXAMPLE)])
    problems: list[Problem] = []
    job = _validated(JobDocument, document, None, problems)
    raw_items = document.get("items")
    items = raw_items if isinstance(raw_items, list) else []
    documents = [_item(raw, n, problems) for n, raw in enumerate(items[:MOST_ITEMS], 1)]
    problems += _position_problems(items)
    found = [one for one in documents if one is not None]
    if problems or job is None:
        raise JobRejected(sorted(problems, key=lambda problem: problem.position or 0))
    numbered = [(one.position or n, one) for n, one in enumerate(found, 1)]
    numbered.sort(key=lambda pair: pair[0])
    return Job(
        job_id=str(job.job_id or uuid.uuid4()),
        channel_name=job.channel_name,
        items=tuple(_domain_item(one, position, folder) for position, one in numbered),
        enable_4k=job.enable_4k,
        on_bad_item=job.on_bad_item,
        loudness=job.loudness,
        chapters=job.chapters,
    )


_EXAMPLE = "Start with channel_name and items; README shows a whole job file"


def _domain_item(one: ItemDocument, position: int, folder: Path) -> Item:
    assert one.path is not None
    return Item(
        position=position,
        item_type=one.item_type,
        path=_absolute(one.path, folder),
        named=one.path,
        duration=_exact(one.duration),
        start=_exact(one.start),
        end=_exact(one.end),
        logo_path=_absolute(one.logo_path, folder) if one.logo_path else None,
        text=one.text_animation_text or None,
    )


def _exact(seconds: float | None) -> Fraction | None:
    """The number as it was written: 4.1 is 41/10, not the nearest binary fraction."""
    return None if seconds is None else Fraction(str(seconds))


def _absolute(named: str, folder: Path) -> str:
    """A local path; ``file:`` addresses with %XX stand for names that are no text."""
    if named.startswith("file://"):
        named = unquote_to_bytes(named.removeprefix("file://")).decode("utf-8", "surrogateescape")
    return str(folder / Path(named).expanduser())


def _load(path: Path) -> object:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise JobRejected([_problem("too_large", "the job file is too large", "Split the job")])
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise JobRejected([_problem("unreadable", message, "Check the path")]) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not a text file in UTF-8"
        raise JobRejected([_problem("not_text", message, "Save it as UTF-8")]) from error
    try:
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)  # noqa: S506
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        where = " ".join(str(error).split())
        message = f"{path} can't be understood: {where}"
        raise JobRejected([_problem("syntax", message, "Correct the place it names")]) from error


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a field can't be given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name in names:
            if isinstance(name, Hashable) and names.count(name) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _item(raw: object, number: int, problems: list[Problem]) -> ItemDocument | None:
    position = number
    if not isinstance(raw, dict):
        problems.append(_problem("not_an_item", "an item is a list of fields",
                                 "Give it item_type and path", position))  # fmt: skip
        return None
    if isinstance(raw.get("position"), int):
        position = raw["position"]
    problems += [rule_problem for rule in _RULES for rule_problem in rule(raw, position)]
    return _validated(ItemDocument, raw, position, problems)


def _validated(
    kind: type[Document], raw: Mapping[Any, Any], position: int | None, problems: list[Problem]
) -> Document | None:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            field = ".".join(str(part) for part in one["loc"]) or "job"
            problems.append(
                Problem(
                    code=one["type"],
                    message=_words(one["type"], one["msg"], one.get("input")),
                    remedy=_remedy(one["type"], field, kind),
                    position=position,
                    field=field,
                )
            )
        return None


def _words(kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not a field that is known here"
    shown = repr(value)
    return (
        f"{message[0].lower()}{message[1:]}, not {shown if len(shown) < 60 else shown[:57] + '...'}"
    )


def _remedy(kind: str, field: str, document: type[BaseModel]) -> str:
    if kind == "missing":
        return f"Add {field}"
    if kind != "extra_forbidden":
        return f"Correct {field}"
    close = difflib.get_close_matches(field, document.model_fields, 1, 0.6)
    known = ", ".join(document.model_fields)
    return f"Did you mean {close[0]}?".rstrip("?") if close else f"Known are: {known}"


def _position_problems(items: list[Any]) -> Iterator[Problem]:
    given = [raw["position"] for raw in items if isinstance(raw, dict) and "position" in raw]
    if given and len(given) != len(items):
        yield _problem("positions", "only some items have a position",
                       "Give all of them one, or none", None, "position")  # fmt: skip
    for position in sorted({one for one in given if isinstance(one, int) and given.count(one) > 1}):
        yield _problem("positions", "two items have this position", "Number them differently",
                       position, "position")  # fmt: skip


Rule = Callable[[Mapping[Any, Any], int], Iterator[Problem]]


def _source_rule(raw: Mapping[Any, Any], position: int) -> Iterator[Problem]:
    path = raw.get("path")
    if raw.get("video_id") is not None:
        yield _problem("no_catalogue", "there is no catalogue to look video ids up in",
                       "Give the path of the file instead", position, "video_id")  # fmt: skip
    elif path is None:
        yield _problem("missing", "is missing", "Add path", position, "path")
    for field in ("path", "logo_path"):
        named = raw.get(field)
        if isinstance(named, str) and "\0" in named:
            yield _problem("bad_path", "holds a zero byte", "Correct the path", position, field)
        elif isinstance(named, str) and "://" in named and not named.startswith("file://"):
            yield _problem("not_a_file", "is an address, not a file",
                           "Copy the file here and name its path", position, field)  # fmt: skip


def _video_only_rule(raw: Mapping[Any, Any], position: int) -> Iterator[Problem]:
    kind = raw.get("item_type")
    for field in ("logo_path", "text_animation_text"):
        if raw.get(field) and kind != ItemType.VIDEO:
            yield _problem("video_only", f"is for items of type video, not {kind}",
                           f"Remove {field}, or make the item a video", position, field)  # fmt: skip


def _duration_rule(raw: Mapping[Any, Any], position: int) -> Iterator[Problem]:
    is_image = raw.get("item_type") == ItemType.IMAGE
    if raw.get("duration") is not None and not is_image:
        yield _problem("image_only", "is for items of type image",
                       "Use start and end to trim a clip", position, "duration")  # fmt: skip
    for field in ("start", "end"):
        if is_image and raw.get(field) is not None:
            yield _problem("not_for_images", "is for clips, not for images",
                           "Use duration", position, field)  # fmt: skip
    start, end = raw.get("start") or 0, raw.get("end")
    if isinstance(start, int | float) and isinstance(end, int | float) and end <= start:
        yield _problem("trim_empty", f"is not after start ({start})", "Let it end later",
                       position, "end")  # fmt: skip


def _text_rule(raw: Mapping[Any, Any], position: int) -> Iterator[Problem]:
    text = raw.get("text_animation_text")
    if not isinstance(text, str) or not text:
        return
    count = len(letters(text))
    if count == 0:
        yield _problem("text_empty", "holds no letter", "Write a text, or leave it out",
                       position, "text_animation_text")  # fmt: skip
    if count > MOST_LETTERS:
        yield _problem(
            "text_too_long",
            f"has {count} letters; at ten a second only {MOST_LETTERS} appear before it goes",
            "Shorten it", position, "text_animation_text",
        )  # fmt: skip


_RULES: tuple[Rule, ...] = (_source_rule, _video_only_rule, _duration_rule, _text_rule)


def _problem(
    code: str, message: str, remedy: str, position: int | None = None, field: str | None = None
) -> Problem:
    return Problem(code=code, message=message, remedy=remedy, position=position, field=field)
