"""A house: the API over one farm in this process, with people who use it. No worker is needed."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from reelyard.api.app import create_app
from reelyard.api.identity import SESSION_COOKIE
from reelyard.asgi import Site
from reelyard.domain.access import Principal, Role, Scope
from reelyard.domain.farm import Lease
from reelyard.domain.job import Item, ItemType
from reelyard.farm.wiring import Farm
from reelyard.services.access import Access, digest
from reelyard.services.office import Office
from reelyard.services.queue import RecordingQueue
from reelyard.services.supabase_keys import SupabaseKeys
from reelyard.services.supabase_people import SupabasePeople
from reelyard.services.supabase_project import SupabaseProject
from reelyard.services.supabase_sign_in import SupabaseSignIn
from reelyard.services.supabase_tokens import SupabaseTokens
from reelyard.services.webhook_client import GuardedClient
from reelyard.services.webhook_delivery import Courier
from reelyard.services.webhooks import WebhookDesk
from reelyard.settings import Settings
from reelyard.store.accounts import Accounts
from reelyard.store.webhooks import Webhooks
from tests.api.wire import Wire
from tests.store.conftest import Books, finished, job
from tests.supabase_auth import PUBLISHABLE, SECRET, SupabaseAuth, User

PASSWORD = "four dry pebbles"
PEOPLE = {"ann": Role.OPERATOR, "ben": Role.OPERATOR, "mia": Role.MANAGER, "ada": Role.ADMIN}
HOOK = "http://127.0.0.1:9/hook"
"""Allowed, and nobody listens there."""
LIMIT = 300_000
"""Bytes of an upload."""


def cheap_hasher() -> PasswordHash:
    """The same kind as the real one, and not slow."""
    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))


@dataclass
class House:
    """``database`` is a migrated one, to be copied; without accounts the house is open."""

    folder: Path
    database: Path
    clip: Path
    has_accounts: bool = True
    per_minute: int = 0
    is_ready: dict[str, str | None] = field(default_factory=lambda: {"database": None})
    queue: RecordingQueue = field(default_factory=RecordingQueue)
    allowed_origins: tuple[str, ...] = ()
    auth: SupabaseAuth | None = None

    def __post_init__(self) -> None:
        self.media.mkdir(parents=True)
        shutil.copy(self.database, self.folder / "farm.db")
        shutil.copy(self.clip, self.media / "clip.mp4")
        self._runner = asyncio.Runner()
        self.tokens: dict[str, str] = {}
        if self.has_accounts:
            for name, role in PEOPLE.items():
                self.access.accounts.add(name, self._hash, role)

    @cached_property
    def _hash(self) -> str:
        return cheap_hasher().hash(PASSWORD)

    @property
    def media(self) -> Path:
        return self.folder / "media"

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    @cached_property
    def site(self) -> Site:
        return Site(Settings(
            cache_dir=self.folder / "cache", log_dir=self.folder / "logs",
            data_dir=self.folder / "data", output_dir=str(self.folder / "out"),
            upload_dir=self.uploads, media_roots=(self.media,), encoder="libx264", jobs=1,
            database_url=f"sqlite:///{self.folder / 'farm.db'}",
            redis_url="redis://127.0.0.1:1/0", upload_limit_gb=LIMIT / 1e9,
            webhook_hosts=("127.0.0.1",),
        ))  # fmt: skip

    @property
    def farm(self) -> Farm:
        return self.site.farm

    @cached_property
    def access(self) -> Access:
        """The real one, with passwords that are checked in no time."""
        accounts = Accounts(self.farm.reelyard.database)
        people = self._supabase(self.auth, accounts) if self.auth else None
        return Access(accounts, self.farm.profiles, "whoever", cheap_hasher, people)

    def _supabase(self, auth: SupabaseAuth, accounts: Accounts) -> SupabasePeople:
        project = SupabaseProject(url=auth.url, key=PUBLISHABLE)
        tokens = SupabaseTokens(auth.url, SupabaseKeys(project), SECRET)
        return SupabasePeople(accounts=accounts, profiles=self.farm.profiles, tokens=tokens,
                              sign_in=SupabaseSignIn(project))  # fmt: skip

    @cached_property
    def office(self) -> Office:
        """The site's own; what would be sent to the broker is kept here."""
        whole = self.site.office
        submitting = replace(self.farm.submit, queue=self.queue)
        webhooks = Webhooks(self.farm.reelyard.database)
        courier = Courier(webhooks=webhooks, client=GuardedClient(allowed_hosts=("127.0.0.1",)))
        return replace(
            whole,
            access=self.access,
            jobs=replace(whole.jobs, submitting=submitting, queue=self.queue),
            webhooks=WebhookDesk(webhooks=webhooks, send=courier, allowed_hosts=("127.0.0.1",)),
        )

    @cached_property
    def app(self) -> FastAPI:
        app = create_app(
            self.office, lambda: self.is_ready, upload_limit=LIMIT, per_minute=self.per_minute,
            allowed_origins=self.allowed_origins,
        )  # fmt: skip
        app.state.hub.close()  # streams of events end once they have told what they had to
        return app

    @cached_property
    def wire(self) -> Wire:
        """Nobody's."""
        return Wire(self.app, self._runner)

    @cached_property
    def books(self) -> Books:
        """The store, where jobs are ``ann``'s, or those of whoever is at the machine."""
        return Books(self.farm.reelyard.database, self.user_id("ann"))

    # People

    def user_id(self, name: str) -> str:
        if not self.has_accounts:
            return self.access.local().user_id
        known = self.access.accounts.by_name(name)
        assert known is not None
        return known[0].user_id

    def principal(self, name: str) -> Principal:
        if not self.has_accounts:
            return self.access.local()
        return Principal(user_id=self.user_id(name), username=name, role=PEOPLE[name])

    def session(self, name: str, seconds: float = 3600) -> dict[str, str]:
        """The header of somebody who has signed in just now."""
        secret = secrets.token_urlsafe()
        self.access.accounts.open_session(self.user_id(name), digest(secret), seconds)
        return {"cookie": f"{SESSION_COOKIE}={secret}"}

    def token(self, name: str, *scopes: Scope) -> dict[str, str]:
        """The header of a program that has somebody's token."""
        secret, token = self.access.add_token(self.principal(name), "a program", scopes)
        self.tokens[secret] = token.token_id
        return {"authorization": f"Bearer {secret}"}

    def jwt(self, name: str) -> dict[str, str]:
        """The header of a program that has a token of Supabase's of somebody's."""
        assert self.auth is not None
        user = User(f"{name}@example.com", user_id=self.user_id(name))
        return {"authorization": f"Bearer {self.auth.token(user)}"}

    def revoked(self, name: str) -> dict[str, str]:
        header = self.token(name, Scope.READ, Scope.WRITE)
        secret = header["authorization"].removeprefix("Bearer ")
        self.access.revoke_token(self.principal("ada"), self.tokens[secret])
        return header

    def of(self, name: str) -> Wire:
        """Somebody's own wire, by a session."""
        return Wire(self.app, self._runner, self.session(name))

    def with_token(self, name: str, *scopes: Scope) -> Wire:
        return Wire(self.app, self._runner, self.token(name, *scopes))

    # Things

    def document(self, **changes: Any) -> dict[str, Any]:
        """A job of one clip, as it is sent."""
        items = [{"item_type": "video", "path": str(self.media / "clip.mp4")}]
        return {"channel_name": "Trains", "items": items, **changes}

    def job(self, priority: int = 3, **changes: Any) -> str:
        """A queued job of ann's."""
        path = str(self.media / "clip.mp4")
        item = Item(position=1, item_type=ItemType.VIDEO, path=path, named="clip.mp4")
        return self.books.submit(job(item, **changes), priority=priority)

    def ended_job(self) -> str:
        job_id = self.job()
        self.books.jobs.cancel(job_id)
        return job_id

    def film(self, name: str = "film.mp4", content: bytes = b"film", **changes: Any) -> str:
        """A completed job with a film and all that lies beside it."""
        lease = self.lease(**changes)
        job_id = lease.job_id
        folder, logs = self.folder / "out" / job_id, self.folder / "logs" / job_id
        folder.mkdir(parents=True)
        logs.mkdir(parents=True)
        film = folder / name
        film.write_bytes(content)
        for suffix in (".contact-sheet.jpg", ".chapters.txt", ".report.json"):
            film.with_suffix(suffix).write_bytes(f"{{{suffix}}}".encode())
        for log in ("job.log", "ffmpeg_cmd.txt", "ffmpeg_stderr.txt"):
            (logs / log).write_text(f"{log}: done\n")
        assert self.books.leases.started(lease, str(logs), str(film))
        assert self.books.leases.complete(lease, finished(output_path=str(film)))
        entries = self.books.outbox.due(10_000)
        self.books.results.deliver(entries)
        self.books.outbox.delivered(entries)
        return job_id

    def lease(self, worker: str = "pc1", **changes: Any) -> Lease:
        """A job of ann's that a worker has just taken."""
        job_id = self.job(**changes)
        self.books.jobs.to_front(job_id)
        return self.books.take(self.worker(worker), job_id)

    def worker(self, name: str = "pc1") -> str:
        """One that is alive."""
        self.books.hire(name)
        return name

    def gone_worker(self) -> str:
        name = f"old-{secrets.token_hex(4)}"
        self.books.hire(name)
        self.books.workers.leave(name, name)
        return name

    def state(self) -> tuple[int, list[str]]:
        """Another one after any change: the database's count of commits, and the files people have."""
        [version] = self._onlooker.execute("PRAGMA data_version").fetchone()
        kept = [self.uploads, self.folder / "out"]
        return version, [str(path) for folder in kept for path in sorted(folder.rglob("*"))]

    @cached_property
    def _onlooker(self) -> sqlite3.Connection:
        """Sees what all others write, and only that."""
        return sqlite3.connect(self.folder / "farm.db")

    def close(self) -> None:
        self.site.close()
        self.farm.reelyard.database.close()
        self._runner.close()
        self._onlooker.close()


@contextmanager
def opened(house: House) -> Iterator[House]:
    try:
        yield house
    finally:
        house.close()
