"""One row of the table of shares, as it is set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from reelyard.domain.errors import SettingsInvalid
from reelyard.domain.share import NameInvalid, Share, parse


class ShareSetting(BaseModel):
    """One row of the table of shares: what it is called, where it is for this machine, how to get in."""

    model_config = {"frozen": True, "extra": "forbid"}

    name: str = Field(description="//server/share, or s3://bucket, or a folder in one")
    drive: str | None = Field(
        default=None, pattern=r"^[A-Za-z]:$", description="the letter that people know it by"
    )
    folder: Path | None = Field(
        default=None, description="where it is mounted on this machine; without it: a connection"
    )
    host: str | None = Field(default=None, description="the server's address, if not its name")
    port: int | None = Field(default=None, ge=1, le=65_535)
    user: str | None = Field(default=None)
    password: SecretStr | None = Field(default=None)
    password_file: Path | None = Field(default=None, description="a file with the password in it")
    domain: str | None = Field(default=None, description="the user's Windows domain")
    encrypt: bool = Field(default=False, description="encrypt what goes over the wire (SMB 3)")
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^@\s]+$",
        description="an S3 that is not Amazon's: https://…",
    )
    region: str | None = Field(default=None, description="the S3 bucket's region")
    options: dict[str, Any] = Field(
        default_factory=dict, description="fsspec's own, for what is not SMB", repr=False
    )

    @model_validator(mode="before")
    @classmethod
    def _as_s3_has_it(cls, row: Any) -> Any:
        """An access key is a user, a secret key a password."""
        if not isinstance(row, dict):
            return row
        other = {"key": "user", "secret": "password", "secret_file": "password_file"}
        for one in other.keys() & row.keys():
            if other[one] in row:
                raise ValueError(f"has {one} and {other[one]}, which are the same")
        return {other.get(name, name): value for name, value in row.items()}

    @field_validator("name")
    @classmethod
    def _root(cls, value: str) -> str:
        try:
            name = parse(value)
        except NameInvalid as error:
            raise ValueError(f"is no share's name: it {error}") from error
        if name is None or name.is_drive:
            raise ValueError("is no share's name: write //server/share or s3://bucket")
        return str(name)

    @model_validator(mode="after")
    def _one_password(self) -> ShareSetting:
        if self.password is not None and self.password_file is not None:
            raise ValueError("has a password and a password_file: leave one of them out")
        if self.folder is not None and not self.folder.is_absolute():
            raise ValueError("its folder has to be written in full, from the root on")
        return self

    @property
    def connection_options(self) -> dict[str, Any]:
        """What a connection is made with, beside who asks for it."""
        own = {"endpoint": self.endpoint, "region": self.region}
        return {**{name: value for name, value in own.items() if value}, **self.options}

    @property
    def share(self) -> Share:
        return Share(
            root=self.name,
            drive=self.drive and self.drive.upper(),
            folder=None if self.folder is None else str(self.folder),
        )

    def secret(self) -> str | None:
        """The password. Raises SettingsInvalid where its file can't be read."""
        if self.password_file is None:
            return None if self.password is None else self.password.get_secret_value()
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsInvalid(f"{self.password_file} can't be read: {error}",
                                  remedy=f"Correct password_file of {self.name}") from error  # fmt: skip
