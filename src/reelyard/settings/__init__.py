"""Settings: read once, at the start, from the environment (prefix ``REELYARD_``) and one TOML file.

The file is the one that ``REELYARD_CONFIG`` names, or the machine's own (``/etc/reelyard/reelyard.toml``, on Windows
``reelyard.toml`` in ``%PROGRAMDATA%\\reelyard``) if there is one. Its names are those of the variables in small letters
and without the prefix. A variable has the last word.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from reelyard.domain.address import without_password
from reelyard.domain.errors import SettingsInvalid, printable
from reelyard.domain.share import ShareTable, parse

from .config_file import config_file, from_file
from .shares import ShareSetting

__all__ = ["Settings", "ShareSetting", "config_file", "read_settings"]

Paths = Annotated[tuple[Path, ...], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]


def _data(name: str) -> Path:
    return platformdirs.user_data_path("reelyard", appauthor=False) / name


class Settings(BaseSettings):
    """Everything that can be set. ``reelyard doctor`` shows the values in force."""

    model_config = SettingsConfigDict(env_prefix="REELYARD_", frozen=True, extra="ignore")

    ffmpeg: Path | None = Field(
        default=None, description="FFmpeg to use instead of the packaged one"
    )
    encoder: str | None = Field(default=None, description="encoder to use: h264_nvenc or libx264")
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("reelyard", appauthor=False),
        description="where rendered segments are kept",
    )
    cache_limit_gb: float = Field(
        default=50.0, gt=0, le=1e9, description="how large the segment cache may grow"
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("reelyard", appauthor=False),
        description="where the embedded database and broker keep their files",
    )
    database_url: str | None = Field(
        default=None, description="the farm's database: sqlite:/// or postgresql://"
    )
    redis_url: str | None = Field(
        default=None, description="the broker: redis://; otherwise one is started here"
    )
    output_dir: str | None = Field(
        default=None, description="where finished films go: a folder, or one on a share"
    )
    shares: tuple[ShareSetting, ...] = Field(
        default=(), description="the shares that jobs may name, and where they are for this machine"
    )
    segment_store: str | None = Field(
        default=None,
        description="where all machines share rendered segments: a folder, or one on a share",
    )
    segment_store_limit_gb: float = Field(
        default=500.0, gt=0, le=1e9, description="how large the shared segments may grow"
    )
    catalogue: str = Field(
        default="library",
        description="where video ids are looked up: library, bigquery, or a CSV file, also on a share",
    )
    bigquery_project: str | None = Field(
        default=None,
        pattern=r"^([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]*$",
        description="the project results are recorded in; none: only the own database",
    )
    bigquery_dataset: str = Field(default="reelyard", pattern=r"^\w+$")
    bigquery_location: str | None = Field(
        default=None, description="where the dataset lies, EU say"
    )
    bigquery_credentials: Path | None = Field(
        default=None,
        description="a service account's key file; otherwise the machine's own account",
    )
    bigquery_endpoint: str | None = Field(
        default=None,
        description="another address of BigQuery's API, without credentials: for tests",
    )
    bigquery_results_table: str = Field(default="compilation_results", pattern=r"^[\w-]+$")
    bigquery_catalogue_table: str = Field(
        default="videos", description="the catalogue: table, dataset.table or project.dataset.table"
    )
    bigquery_video_id_column: str = Field(default="video_id", pattern=r"^\w+$")
    bigquery_path_column: str = Field(default="path", pattern=r"^\w+$")
    supabase_url: str | None = Field(
        default=None,
        description="the Supabase project whose users may sign in: https://….supabase.co",
    )
    supabase_key: SecretStr | None = Field(
        default=None,
        description="the project's publishable (anon) key, for signing in to the pages",
    )
    supabase_jwt_secret: SecretStr | None = Field(
        default=None, description="the project's legacy JWT secret, where it still signs with one"
    )
    allowed_origins: Names = Field(
        default=(),
        description="other sites whose pages may call the API with a token: https://app.example.com",
    )
    gpu: str | None = Field(
        default=None,
        pattern=r"^(none|\d{1,3})$",
        description="the graphics card to use, by its number; none: no card; otherwise the first",
    )
    gpu_filters: bool = Field(
        default=True, description="decode and scale on the graphics card where it encodes"
    )
    gpu_sessions: int = Field(
        default=3,
        ge=1,
        le=64,
        description="how many encodes one graphics card does at the same time",
    )
    copy_dir: Path | None = Field(
        default=None, description="where copies of sources from shares are kept"
    )
    copy_limit_gb: float = Field(
        default=100.0, gt=0, le=1e9, description="how large the copies may grow"
    )
    remote_roots: Paths = Field(
        default=(), description="folders whose files are copied before they are used"
    )
    lease_seconds: float = Field(
        default=60.0, ge=1, le=86_400, description="a worker not heard of for so long is gone"
    )
    assist: bool = Field(
        default=True, description="render segments of other workers' jobs while there is none to do"
    )
    wait_hours: float = Field(
        default=24.0, gt=0, le=10_000, description="how long a job waits for a share or for room"
    )
    host: str = Field(default="127.0.0.1", description="where the server listens")
    port: int = Field(default=8080, ge=0, le=65_535, description="the server's port")
    tls_cert: Path | None = Field(default=None, description="the server's certificate, PEM")
    tls_key: Path | None = Field(default=None, description="the certificate's key, PEM")
    upload_dir: Path | None = Field(default=None, description="where uploaded files are kept")
    upload_limit_gb: float = Field(
        default=20.0, gt=0, le=1e6, description="how large one uploaded file may be"
    )
    requests_per_minute: int = Field(
        default=3000, ge=0, le=1_000_000, description="from one address; 0: no limit"
    )
    trusted_proxies: Names = Field(
        default=(), description="addresses of proxies that say whose requests they pass on"
    )
    webhook_hosts: Names = Field(
        default=(), description="hosts inside the own network that webhooks may reach"
    )
    log_dir: Path = Field(default_factory=lambda: _data("logs"), description="where job logs go")
    jobs: int | None = Field(
        default=None, ge=1, le=256, description="segments rendered at the same time"
    )
    segment_seconds: float | None = Field(
        default=None, ge=0.1, le=3600, description="length of segments"
    )
    stall_seconds: float = Field(
        default=300.0, gt=0, le=1e6, description="FFmpeg without progress is killed after"
    )
    font_dirs: Paths = Field(default=(), description="folders with more fonts for texts")
    media_roots: Paths = Field(
        default=(), description="sources must lie in one of these; empty: anywhere"
    )

    @field_validator("font_dirs", "media_roots", "remote_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Several folders in one variable, separated as in PATH."""
        if isinstance(value, str):
            return tuple(Path(part).expanduser() for part in value.split(os.pathsep) if part)
        return value

    @field_validator("webhook_hosts", "trusted_proxies", "allowed_origins", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Several names in one variable, with commas or spaces between them."""
        if isinstance(value, str):
            return tuple(value.replace(",", " ").lower().split())
        return value

    @field_validator(
        "ffmpeg", "cache_dir", "log_dir", "data_dir", "copy_dir", "upload_dir", "tls_cert", "tls_key",
        "bigquery_credentials",
    )  # fmt: skip
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """FFmpeg runs in folders of its own."""
        return None if value is None else value.expanduser().absolute()

    @field_validator("output_dir", "segment_store", mode="before")
    @classmethod
    def _place(cls, value: Any) -> Any:
        """A folder in full, or the name of one on a share."""
        if not isinstance(value, str | Path):
            return value
        value = str(value)
        name = parse(value)  # raises ValueError
        return str(name) if name else str(Path(value).expanduser().absolute())

    @field_validator("catalogue")
    @classmethod
    def _catalogue(cls, value: str) -> str:
        """One of two words, or a file's path in full, or its name on a share."""
        if value.strip().lower() in ("library", "bigquery"):
            return value.strip().lower()
        if not value.strip():
            raise ValueError("is empty: write library, bigquery, or the path of a CSV file")
        name = parse(value)  # raises ValueError
        return str(name) if name else str(Path(value).expanduser().absolute())

    @field_validator("shares")
    @classmethod
    def _once(cls, rows: tuple[ShareSetting, ...]) -> tuple[ShareSetting, ...]:
        for given in (
            [row.name.casefold() for row in rows],
            [row.drive for row in rows if row.drive],
        ):
            twice = [one for one in given if given.count(one) > 1]
            if twice:
                raise ValueError(f"{twice[0]} is in the table twice")
        return rows

    @field_validator("supabase_url", "bigquery_endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("is no address: write https://host")
        return value.rstrip("/")

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers send them."""
        for origin in value:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{printable(origin)} is no origin: write https://app.example.com")
            if not parts.hostname or "@" in parts.netloc or "*" in parts.netloc:
                raise ValueError(f"{printable(origin)} is no origin: write https://app.example.com")
        return value

    @field_validator("supabase_jwt_secret")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("is too short: Supabase's have 32 characters or more")
        return value

    @field_validator("supabase_key", "supabase_jwt_secret")
    @classmethod
    def _of_project(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value and info.data.get("supabase_url", value) is None:
            raise ValueError("is of no use without the project's address, supabase_url")
        return value or None

    @field_validator("redis_url")
    @classmethod
    def _broker(cls, value: str | None) -> str | None:
        """Found wrong here, and not by whoever sends the first message."""
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("redis", "rediss", "redis+socket"):
            raise ValueError("is no address of a Redis: write redis://host:6379/0")
        if parts.scheme != "redis+socket":
            _ = parts.port  # raises ValueError
            if not parts.path.strip("/").isdecimal() and parts.path.strip("/"):
                raise ValueError("ends in the number of a database: redis://host:6379/0")
        return value

    @property
    def cache_limit(self) -> int:
        return int(self.cache_limit_gb * 1_000_000_000)

    @property
    def segment_store_limit(self) -> int:
        return int(self.segment_store_limit_gb * 1_000_000_000)

    @property
    def copy_limit(self) -> int:
        return int(self.copy_limit_gb * 1_000_000_000)

    @property
    def outputs(self) -> str:
        """A folder of this machine, or the name of one on a share."""
        return self.output_dir or str(self.data_dir / "output")

    @property
    def share_table(self) -> ShareTable:
        return ShareTable([row.share for row in self.shares], native=sys.platform == "win32")

    @property
    def copies(self) -> Path:
        return self.copy_dir or self.cache_dir

    @property
    def uploads(self) -> Path:
        return self.upload_dir or self.data_dir / "uploads"

    @property
    def upload_limit(self) -> int:
        return int(self.upload_limit_gb * 1_000_000_000)

    @property
    def database(self) -> str:
        """The address of the database; it may hold a password."""
        return self.database_url or f"sqlite:///{self.data_dir / 'reelyard.db'}"

    def shown(self) -> dict[str, str]:
        """Each setting's variable and value, for people."""
        return {
            f"REELYARD_{name.upper()}": _shown(getattr(self, name))
            for name in type(self).model_fields
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = InitSettingsSource(settings_cls, from_file(cls.model_fields))
        return init_settings, env_settings, file


def _shown(value: object) -> str:
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, tuple) and any(isinstance(one, ShareSetting) for one in value):
        return "; ".join(f"{one.name} at {one.folder or 'a connection'}" for one in value)
    if isinstance(value, tuple):
        return os.pathsep.join(map(str, value)) or "(none)"
    return "(not set)" if value is None else str(value)


def read_settings() -> Settings:
    """The settings in force. Raises SettingsInvalid naming every bad one."""
    try:
        return Settings()
    except SettingsError as error:
        raise SettingsInvalid(f"{error}: it is no JSON",
                              remedy="Write it in the file that REELYARD_CONFIG names") from error  # fmt: skip
    except ValidationError as error:
        wrong = "; ".join(
            f"REELYARD_{_where(one['loc'])}: {one['msg'].lower()}"
            for one in error.errors(include_input=False)
        )
        raise SettingsInvalid(
            wrong, remedy="Change or unset it; reelyard doctor shows all"
        ) from error


def _where(loc: tuple[int | str, ...]) -> str:
    """A setting's variable; of a table also the row, counted from 1, and the column."""
    name, *rest = loc
    inside = (f"row {part + 1}" if isinstance(part, int) else str(part) for part in rest)
    return ", ".join([str(name).upper(), *inside])
