"""Job files: YAML or JSON with the API's own field names, checked before any source is read.

Every problem is reported at once, each with the item's position, the field and a remedy.
"""

from __future__ import annotations

import difflib
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote_to_bytes

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from reelyard.domain.errors import JobRejected, Problem
from reelyard.domain.excerpt import LONGEST_ITEM_SECONDS, WHOLE, Excerpt
from reelyard.domain.job import Item, ItemType, Job, OnBadItem
from reelyard.domain.share import NameInvalid, parse
from reelyard.engine.text import MOST_LETTERS, letters

LARGEST_FILE = 10_000_000
MOST_ITEMS = 10_000
LONGEST_STILL = 24 * 3600

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
PathText = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Position = Annotated[int, Field(ge=1, le=MOST_ITEMS)]


Document = TypeVar("Document", bound=BaseModel)


class ItemDocument(BaseModel):
    """An item as it is written."""

    model_config = ConfigDict(extra="forbid")

    item_type: ItemType
    position: Position | None = None
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
    draft: bool = False
    item_seconds: (
        Annotated[float, Field(gt=0, le=LONGEST_ITEM_SECONDS, allow_inf_nan=False)] | None
    ) = None
    first_item: Position | None = None
    last_item: Position | None = None
    job_id: uuid.UUID | None = None


_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a job, and everything that is wrong with the rest of it."""

    job: Job
    problems: tuple[Problem, ...]


def read_job(path: Path, instead: Mapping[str, object] = _NOTHING) -> Job:
    """The job in a file; relative paths in it are relative to the file.

    ``instead``: fields that are not to be as the file has them. Raises JobRejected with every problem there is.
    """
    return _whole(read_what_there_is(path, instead))


def read_what_there_is(path: Path, instead: Mapping[str, object] = _NOTHING) -> Reading:
    """A file's job as far as it can be read. Raises JobRejected where there is nothing of it."""
    document = _load(path)
    if isinstance(document, dict):
        document = {**document, **instead}
    return look_through(document, path.absolute().parent)


def parse_job(document: object, folder: Path) -> Job:
    """The job in a document that was read from YAML or JSON. Raises JobRejected."""
    return _whole(look_through(document, folder))


def _whole(reading: Reading) -> Job:
    if reading.problems:
        raise JobRejected(reading.problems)
    return reading.job


def look_through(document: object, folder: Path) -> Reading:
    """Everything of a document that makes sense. Raises JobRejected where nothing does."""
    if not isinstance(document, dict):
        raise JobRejected([_problem("not_a_job", "a job is a list of fields", _EXAMPLE)])
    problems: list[Problem] = []
    job = _validated(JobDocument, document, None, problems)
    raw_items = document.get("items")
    items = raw_items if isinstance(raw_items, list) else []
    documents = [_item(raw, n, problems) for n, raw in enumerate(items[:MOST_ITEMS], 1)]
    found = [one for one in documents if one is not None]
    problems += _position_problems(found)
    if job is None or not found:
        raise JobRejected(problems)
    numbered = [(one.position or n, one) for n, one in enumerate(documents, 1) if one]
    numbered.sort(key=lambda pair: pair[0])
    excerpt = _excerpt(job)
    wrong = excerpt.problems([_position(raw, n) for n, raw in enumerate(items[:MOST_ITEMS], 1)])
    read = Job(
        job_id=str(job.job_id or uuid.uuid4()),
        channel_name=job.channel_name,
        items=tuple(_domain_item(one, position, folder) for position, one in numbered),
        enable_4k=job.enable_4k,
        on_bad_item=job.on_bad_item,
        loudness=job.loudness,
        chapters=job.chapters,
        excerpt=WHOLE if wrong else excerpt,
    )
    return Reading(read, (*problems, *wrong))


def _excerpt(job: JobDocument) -> Excerpt:
    return Excerpt(
        is_draft=job.draft,
        item_seconds=_exact(job.item_seconds),
        first_item=job.first_item,
        last_item=job.last_item,
    )


_EXAMPLE = "Start with channel_name and items; README shows a whole job file"


def _domain_item(one: ItemDocument, position: int, folder: Path) -> Item:
    return Item(
        position=position,
        item_type=one.item_type,
        path=_absolute(one.path, folder) if one.path else "",
        named=one.path or one.video_id or "",
        video_id=one.video_id,
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
    if name := parse(_decoded(named)):
        return str(name)
    path = Path(_decoded(named))
    try:
        return str(folder / path.expanduser())
    except RuntimeError:
        return str(folder / path)  # nobody here is called so: the tilde belongs to the name


def _decoded(named: str) -> str:
    """``file:`` addresses with %XX stand for names that are no text."""
    if not named.startswith("file://"):
        return named
    return unquote_to_bytes(named.removeprefix("file://")).decode("utf-8", "surrogateescape")


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
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=_once)
        return yaml.load(text, _Loader)  # noqa: S506
    except _NOT_UNDERSTOOD as error:
        where = " ".join(str(error).split()) or type(error).__name__
        message = f"{path} can't be understood: {where}"
        raise JobRejected([_problem("syntax", message, "Correct the place it names")]) from error


_NOT_UNDERSTOOD = (
    ValueError,
    RecursionError,
    yaml.YAMLError,
    # What PyYAML's own constructors raise for a scalar that does not fit its tag.
    LookupError,
    TypeError,
    AttributeError,
)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which a field can't be given twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(
            name for name, count in Counter(name for name, _ in pairs).items() if count > 1
        )
        raise ValueError(f"{twice!r} is given twice")
    return found


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a field can't be given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            plain = (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            names = Counter((key.tag, key.value) for key in plain if key.tag != _MERGE)
            for (_, name), count in names.items():
                if count > 1:
                    message = f"{name!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return super().construct_mapping(node, deep)


_MERGE = "tag:yaml.org,2002:merge"


def _item(raw: object, number: int, problems: list[Problem]) -> ItemDocument | None:
    if not isinstance(raw, dict):
        problems.append(_problem("not_an_item", "an item is a list of fields",
                                 "Give it item_type and path", number))  # fmt: skip
        return None
    position = _position(raw, number)
    found: list[Problem] = [problem for rule in _RULES for problem in rule(raw, position)]
    document = _validated(ItemDocument, raw, position, found)
    if document:
        found += _trim_rule(document, position)
    problems += found
    return None if found else document


def _position(raw: object, number: int) -> int:
    """Where an item is, as far as it says so in any sensible way; ``number`` is its place in the list."""
    given = raw.get("position") if isinstance(raw, dict) else None
    return given if isinstance(given, int) and 1 <= given <= MOST_ITEMS else number


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
    return f"{message[0].lower()}{message[1:]}, not {_shown(value)}"


def _shown(value: object) -> str:
    """A value in a message: short, whatever somebody wrote, and nothing of what is nested in it."""
    if isinstance(value, dict):
        return "a list of fields"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, int) and abs(value) > _LARGEST_SHOWN:
        return "a number that large"
    shown = repr(value[:_LONGEST_SHOWN] if isinstance(value, str) else value)
    return shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 3] + "..."


_LARGEST_SHOWN = 10**12
_LONGEST_SHOWN = 60


def _remedy(kind: str, field: str, document: type[BaseModel]) -> str:
    if kind == "missing":
        return f"Add {field}"
    if kind != "extra_forbidden":
        return f"Correct {field}"
    close = difflib.get_close_matches(field, document.model_fields, 1, 0.6)
    known = ", ".join(document.model_fields)
    return f"Did you mean {close[0]}?".rstrip("?") if close else f"Known are: {known}"


def _position_problems(items: list[ItemDocument]) -> Iterator[Problem]:
    given = Counter(one.position for one in items if one.position is not None)
    if given and given.total() != len(items):
        yield _problem("positions", "only some items have a position",
                       "Give all of them one, or none", None, "position")  # fmt: skip
    for position, count in sorted(given.items()):
        if count > 1:
            yield _problem("positions", "two items have this position", "Number them differently",
                           position, "position")  # fmt: skip


Rule = Callable[[Mapping[Any, Any], int], Iterator[Problem]]


def _source_rule(raw: Mapping[Any, Any], position: int) -> Iterator[Problem]:
    path = raw.get("path")
    if raw.get("video_id") is not None:
        if path is not None:
            yield _problem("two_sources", "is given beside a path", "Leave one of them out",
                           position, "video_id")  # fmt: skip
    elif path is None:
        yield _problem("missing", "is missing", "Add path, or video_id", position, "path")
    for field in ("path", "logo_path"):
        named = raw.get(field)
        if isinstance(named, str) and "\0" in _decoded(named):
            yield _problem("bad_path", "holds a zero byte", "Correct the path", position, field)
        elif isinstance(named, str) and _WEB.match(named):
            yield _problem("not_a_file", "is an address, not a file",
                           "Copy the file here and name its path", position, field)  # fmt: skip
        elif isinstance(named, str) and (reason := _misnamed(_decoded(named))):
            yield _problem("bad_path", f"is no name of a file on a share: it {reason}",
                           "Write //server/share/folder/file", position, field)  # fmt: skip


# What reads them would have to fetch them from anywhere.
_WEB = re.compile(r"(https?|ftps?|rtmps?|rtsp|rtp|udp|tcp|srt|data)://", re.IGNORECASE)


def _misnamed(text: str) -> str | None:
    try:
        name = parse(text)
    except NameInvalid as error:
        return str(error)
    return "names a share, and no file on it" if name and not name.path else None


def _video_only_rule(raw: Mapping[Any, Any], position: int) -> Iterator[Problem]:
    kind = raw.get("item_type")
    for field in ("logo_path", "text_animation_text"):
        if raw.get(field) and kind != ItemType.VIDEO:
            yield _problem("video_only", f"is for items of type video, not {_shown(kind)}",
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


def _trim_rule(one: ItemDocument, position: int) -> Iterator[Problem]:
    start = one.start or 0.0
    if one.end is not None and one.end <= start:
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
