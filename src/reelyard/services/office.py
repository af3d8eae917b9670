"""Everything that people and programs can do, in one place: what the API and the pages are built on."""

from __future__ import annotations

from dataclasses import dataclass

from .access import Access
from .desk import JobDesk
from .drafts import Drafts
from .figures import FiguresDesk
from .library import LibraryDesk
from .live import Live
from .manage import AdminDesk, HistoryDesk, WorkerDesk
from .templates import TemplateDesk
from .thumbnails import Thumbnails
from .uploads import Uploads
from .webhooks import WebhookDesk


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The desks. Each asks for a ``Principal`` and refuses what that one may not."""

    access: Access
    jobs: JobDesk
    workers: WorkerDesk
    history: HistoryDesk
    admin: AdminDesk
    templates: TemplateDesk
    library: LibraryDesk
    thumbnails: Thumbnails
    uploads: Uploads
    drafts: Drafts
    webhooks: WebhookDesk
    live: Live
    figures: FiguresDesk
