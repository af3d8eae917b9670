"""The server: the API and the pages on one app, over the farm. One process, until it is told to end."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from reelyard.api.app import create_app
from reelyard.api.server import Server
from reelyard.bootstrap import local_username, usable
from reelyard.domain.errors import ReelyardError, SettingsInvalid, SupabaseUnavailable
from reelyard.farm.wiring import Farm
from reelyard.files.roots import Roots
from reelyard.services.access import Access
from reelyard.services.desk import JobDesk
from reelyard.services.doctor import Finding, Verdict, folder_finding
from reelyard.services.figures import FiguresDesk
from reelyard.services.library import LibraryDesk
from reelyard.services.live import Live
from reelyard.services.manage import AdminDesk, HistoryDesk, WorkerDesk
from reelyard.services.office import Office
from reelyard.services.supabase_keys import SupabaseKeys
from reelyard.services.supabase_people import SupabasePeople
from reelyard.services.supabase_project import SupabaseProject
from reelyard.services.supabase_sign_in import SupabaseSignIn
from reelyard.services.supabase_tokens import SupabaseTokens
from reelyard.services.templates import TemplateDesk
from reelyard.services.thumbnails import Thumbnails
from reelyard.services.uploads import Uploads
from reelyard.services.webhook_client import GuardedClient
from reelyard.services.webhook_delivery import Courier, Deliver
from reelyard.services.webhooks import WebhookDesk
from reelyard.settings import Settings
from reelyard.store.accounts import Accounts
from reelyard.store.duties import Duties
from reelyard.store.feed import Feed
from reelyard.store.figures import Books
from reelyard.store.search import Search
from reelyard.store.templates import Templates
from reelyard.store.webhooks import Webhooks

_LOG = logging.getLogger(__name__)
_ENDS_WITHIN = 5
_BACKLOG = 2048
_SWEEP_SECONDS = 1.0
_TIDY_SECONDS = 3600.0
_UPLOAD_RESERVE = 2_000_000_000  # bytes that uploads leave free on their disk


@dataclass(frozen=True)
class Site:
    """Everything that the server is made of, made when first asked for."""

    settings: Settings

    @cached_property
    def farm(self) -> Farm:
        return Farm(self.settings)

    @cached_property
    def roots(self) -> tuple[Path, ...]:
        """The folders that people look for clips in."""
        mounted = tuple(map(Path, self.settings.share_table.folders))
        own = self.settings.media_roots or (() if mounted else (Path.home(),))
        return (*own, *mounted, self.settings.uploads)

    @cached_property
    def office(self) -> Office:
        farm, settings = self.farm, self.settings
        database = farm.reelyard.database
        search, prober = Search(database), farm.reelyard.prober
        roots = Roots(self.roots, settings.share_table)
        thumbnails = Thumbnails(settings.cache_dir / "thumbnails", 500_000_000, roots.contained)
        return Office(
            access=self.access,
            jobs=JobDesk(
                submitting=farm.submit, jobs=farm.jobs, search=search, queues=farm.queues,
                workers=farm.workers, queue=farm.sender, folder=self.roots[0],
                films=farm.reelyard.films,
            ),
            workers=WorkerDesk(farm.workers, farm.jobs),
            history=HistoryDesk(search),
            admin=AdminDesk(search, settings.shown()),
            templates=TemplateDesk(Templates(database), self.roots[0]),
            library=LibraryDesk(roots, farm.reelyard.shelf, prober, thumbnails),
            thumbnails=thumbnails,
            uploads=self.uploads,
            drafts=farm.reelyard.drafts,
            webhooks=WebhookDesk(webhooks=self._webhooks, send=self._courier,
                                 allowed_hosts=settings.webhook_hosts),
            live=Live(Feed(database)),
            figures=FiguresDesk(Books(database), farm.workers),
        )  # fmt: skip

    @cached_property
    def access(self) -> Access:
        accounts = Accounts(self.farm.reelyard.database)
        return Access(
            accounts, self.farm.profiles, local_username(), supabase=self._supabase(accounts)
        )

    def _supabase(self, accounts: Accounts) -> SupabasePeople | None:
        """The project whose users are people here, where one is named. Nothing is asked of it yet."""
        settings = self.settings
        if settings.supabase_url is None:
            return None
        secret = settings.supabase_jwt_secret
        project = _project(settings, settings.supabase_url)
        tokens = SupabaseTokens(
            project.url, SupabaseKeys(project), secret.get_secret_value() if secret else None
        )
        return SupabasePeople(
            accounts=accounts,
            profiles=self.farm.profiles,
            tokens=tokens,
            sign_in=SupabaseSignIn(project) if project.key else None,
        )

    @cached_property
    def uploads(self) -> Uploads:
        settings = self.settings
        folder = usable(settings.uploads, "REELYARD_UPLOAD_DIR")
        return Uploads(folder, settings.upload_limit, _UPLOAD_RESERVE)

    @cached_property
    def _webhooks(self) -> Webhooks:
        return Webhooks(self.farm.reelyard.database)

    @cached_property
    def _courier(self) -> Courier:
        return Courier(
            webhooks=self._webhooks, client=GuardedClient(allowed_hosts=self.settings.webhook_hosts)
        )

    @cached_property
    def deliver(self) -> Deliver:
        return Deliver(
            holder=f"{socket.gethostname()}:{os.getpid()}",
            webhooks=self._webhooks,
            duties=Duties(self.farm.reelyard.database, self.settings.lease_seconds),
            send=self._courier,
        )

    def ready(self) -> Mapping[str, str | None]:
        """The parts that are needed, and what is wrong with them."""
        checks = {"database": self.farm.jobs.counts, "broker": self.farm.sender.check}
        return {name: _wrong(check) for name, check in checks.items()}

    @cached_property
    def app(self) -> FastAPI:
        """The API and the pages."""
        from reelyard.web.mount import (
            mount,
        )  # it takes a second, which those who only ask don't have

        app = create_app(
            self.office,
            self.ready,
            upload_limit=self.settings.upload_limit,
            per_minute=self.settings.requests_per_minute,
            allowed_origins=self.settings.allowed_origins,
        )
        mount(app, self.office)
        return app

    def close(self) -> None:
        self.office.live.close()
        self.office.drafts.close()


def _wrong(check: Callable[[], object]) -> str | None:
    try:
        check()
    except ReelyardError as error:
        return error.message
    return None


def check_address(settings: Settings, access: Access) -> None:
    """Raises SettingsInvalid where others could come in without an account."""
    if not is_loopback(settings.host) and access.is_open:
        raise SettingsInvalid(
            f"{settings.host} can be reached by others, and nobody has an account",
            remedy="Add an admin first: reelyard user add NAME --role admin",
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsInvalid("a certificate and its key go together",
                              remedy="Set both REELYARD_TLS_CERT and REELYARD_TLS_KEY")  # fmt: skip
    if settings.tls_cert is not None:
        _check_certificate(settings)
    others = not is_loopback(settings.host) or settings.trusted_proxies
    if others and not settings.media_roots:
        raise SettingsInvalid(
            "others could make films of any file of this machine",
            remedy="Set REELYARD_MEDIA_ROOTS to the folders that clips are in",
        )


def check_server(settings: Settings) -> list[Finding]:
    """What ``reelyard doctor`` says of the server that these settings would start."""
    uploads = folder_finding("uploads", settings.uploads, "REELYARD_UPLOAD_DIR", links=False)
    where = f"{settings.host}:{settings.port}"
    try:
        access = Site(settings).access
        check_address(settings, access)
        who = "whoever is at this machine" if access.is_open else "people with accounts"
        who += f" and the users of {settings.supabase_url}" if settings.supabase_url else ""
    except SettingsInvalid as error:
        return [uploads, Finding("server", Verdict.FAILED, error.message, error.remedy)]
    except ReelyardError as error:
        return [uploads, Finding("server", Verdict.NOTE, f"{where}: {error.message}", error.remedy)]
    server = Finding("server", Verdict.OK, f"{where}, for {who}")
    return [uploads, server, *check_supabase(settings)]


def check_supabase(settings: Settings) -> list[Finding]:
    """Whether the tokens of the project's users can be checked, where there is a project."""
    if settings.supabase_url is None:
        return []
    return [*_supabase_keys(settings, settings.supabase_url), *_in_the_clear(settings.supabase_url)]


def _in_the_clear(url: str) -> Iterator[Finding]:
    """Who listens on the way hears passwords, and could say which keys are the project's."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        yield Finding("supabase sign-in", Verdict.NOTE, f"{url} is not encrypted: passwords go to it in the clear, and "
                      "whoever is on the way can sign in as anybody",
                      "Let REELYARD_SUPABASE_URL begin with https://")  # fmt: skip


def _supabase_keys(settings: Settings, url: str) -> list[Finding]:
    name = "supabase sign-in"
    try:
        count = SupabaseKeys(_project(settings, url)).check()
    except SupabaseUnavailable as error:
        return [Finding(name, Verdict.NOTE, error.message, error.remedy)]
    if not count and settings.supabase_jwt_secret is None:
        return [Finding(name, Verdict.FAILED, "the project has no signing keys, so it signs with its legacy secret",
                        "Set REELYARD_SUPABASE_JWT_SECRET, or have the project use signing keys")]  # fmt: skip
    pages = (
        "to the API and the pages"
        if settings.supabase_key
        else "to the API; for the pages, REELYARD_SUPABASE_KEY is not set"
    )
    return [Finding(name, Verdict.OK, f"signing keys: {count}; its users come {pages}")]


def _project(settings: Settings, url: str) -> SupabaseProject:
    key = settings.supabase_key
    return SupabaseProject(url=url, key=key.get_secret_value() if key else None)


def _check_certificate(settings: Settings) -> None:
    assert settings.tls_cert is not None and settings.tls_key is not None
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_cert, settings.tls_key
        )
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            f"{settings.tls_cert} and {settings.tls_key} can't be used: {error}",
            remedy="Correct REELYARD_TLS_CERT and REELYARD_TLS_KEY",
        ) from error


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: Settings) -> None:
    """Serve the API and the pages until Ctrl-C or SIGTERM. Raises ReelyardError where that can't begin."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", stream=sys.stderr)
    for name in ("alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    site = Site(settings)
    check_address(settings, site.access)
    listening = listen(settings)
    server = _Server(site, listening)
    with ExitStack() as stack:
        stack.callback(listening.close)
        _ = site.office  # what an earlier run left of drafts is removed now
        if site.farm.embedded is not None:
            site.farm.embedded.guard()
            stack.callback(site.farm.embedded.release)
        stack.callback(site.close)
        server.run()


def listen(settings: Settings) -> socket.socket:
    """The socket, before anything else is begun: a port that is taken is said at once."""
    try:
        info = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as stack:
            listening = stack.enter_context(socket.socket(info[0], info[1]))
            # On Windows the same option would let somebody else have the port as well.
            alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
            listening.setsockopt(socket.SOL_SOCKET, alone, 1)
            listening.bind(info[4])
            # Now, and not after all else has begun: else two could have one port, and early callers none.
            listening.listen(_BACKLOG)
            stack.pop_all()
            return listening
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise SettingsInvalid(f"{where} can't be listened on: {error.strerror or error}",
                              remedy="Choose another --port or --host") from error  # fmt: skip


class _Server:
    """Uvicorn, with what goes on beside it: the sweep and the delivery of webhooks."""

    def __init__(self, site: Site, listening: socket.socket) -> None:
        self._site = site
        self._listening = listening
        self._ended = threading.Event()

    def run(self) -> None:
        settings = self._site.settings
        config = uvicorn.Config(
            self._site.app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_ENDS_WITHIN,
            server_header=False,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            ws_max_size=4_000_000,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
        )
        beside = [
            threading.Thread(target=self._sweep, name="sweep"),
            threading.Thread(target=lambda: self._site.deliver.run(self._ended), name="webhooks"),
        ]
        for thread in beside:
            thread.start()
        scheme = "https" if settings.tls_cert else "http"
        host, port = self._listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _LOG.info("Reelyard is at %s://%s:%d", scheme, shown, port)
        try:
            Server(config, self._site.app.state.hub).run(sockets=[self._listening])
        finally:
            self._ended.set()
            for thread in beside:
                thread.join(_ENDS_WITHIN)

    def _sweep(self) -> None:
        office, tidied = self._site.office, -_TIDY_SECONDS
        while not self._ended.wait(_SWEEP_SECONDS):
            try:
                self._site.farm.sweep()
                if time.monotonic() - tidied > _TIDY_SECONDS:
                    tidied = time.monotonic()
                    office.uploads.tidy()
                    office.drafts.tidy()
            except ReelyardError as error:
                _LOG.warning("%s", error)
            except Exception:  # noqa: BLE001 - it must not end the server
                _LOG.exception("an error in Reelyard itself; the server goes on")
