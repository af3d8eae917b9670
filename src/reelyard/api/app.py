"""The application: all routes under ``/api/v1``, health beside them, and a page that explains them.

The page's scripts come from a package, so that it works where there is no internet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import compile_path

from reelyard.domain.errors import NotFound
from reelyard.services.office import Office

from . import (
    drafts,
    errors,
    events,
    health,
    history,
    jobs,
    library,
    metrics,
    people,
    queue,
    templates,
    webhooks,
    workers,
)
from .aside import AT_ONCE, THREADS
from .drafts import DraftSchema
from .errors import MEDIA_TYPE, ProblemDocument
from .events import Hub
from .guard import Guard
from .health import Ready
from .schemas import SubmissionIn
from .schemas_events import HistoryEvent, ProgressEvent, hooks

PREFIX = "/api/v1"
_ABOUT = """Submit compilations, watch them move, take the films.

Programs send a token (`Authorization: Bearer …`), made on the page *Your account*; the pages use a session's
cookie. Where the farm knows a Supabase project, the access tokens of its users are taken, too. While nobody has an account, whoever is at the machine itself needs neither. Errors are
`application/problem+json` (RFC 9457) with a stable `code`, the `field` and a `remedy`."""


def create_app(
    office: Office,
    ready: Ready,
    *,
    upload_limit: int,
    per_minute: int,
    allowed_origins: Collection[str] = (),
) -> FastAPI:
    """The API over ``office``. ``ready`` names the parts that are needed, and what is wrong with them.

    Pages of ``allowed_origins`` may call it with a token.
    """
    app = FastAPI(
        title="Reelyard",
        version=metadata.version("reelyard"),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=_lifespan,
    )
    app.state.office = office
    app.state.ready = ready
    app.state.hub = Hub(office.live)
    app.state.aside = CapacityLimiter(AT_ONCE)
    errors.install(app)
    app.add_middleware(
        Guard,
        is_open=lambda: office.access.is_open,
        upload_limit=upload_limit,
        per_minute=per_minute,
        allowed_origins=allowed_origins,
    )
    _add_routes(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield
    app.state.hub.close()


# Streams of events before jobs: a job is not called "events".
_PARTS = (
    events, jobs, queue, history, workers, library, drafts, templates, webhooks, people,
)  # fmt: skip


def _add_routes(app: FastAPI) -> None:
    api = APIRouter(prefix=PREFIX)
    for part in _PARTS:
        api.include_router(part.router)
    app.include_router(api)
    app.include_router(health.router)
    app.include_router(metrics.router)
    static = Path(str(resources.files("fastapi_offline"))) / "static"
    app.mount("/api/static", StaticFiles(directory=static), name="static")

    @app.get("/api", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/api/openapi.json",
            title="Reelyard API",
            swagger_js_url="/api/static/swagger-ui-bundle.js",
            swagger_css_url="/api/static/swagger-ui.css",
            swagger_favicon_url="/api/static/favicon.png",
        )

    _answer_head(app)

    @app.api_route("/api/{path:path}", include_in_schema=False,
                   methods=["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])  # fmt: skip
    def nothing(path: str) -> None:
        if allowed := _methods_at(app, f"/api/{path}"):
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        raise NotFound("there is nothing at this address", remedy="/api lists all addresses")


def _answer_head(app: FastAPI) -> None:
    """Players and download managers ask for a file's size first."""
    for route in [one for part in _PARTS for one in part.router.routes]:
        if isinstance(route, APIRoute) and route.response_class is FileResponse:
            app.add_api_route(PREFIX + route.path, route.endpoint, methods=["HEAD"],
                              response_class=FileResponse, include_in_schema=False)  # fmt: skip


def _methods_at(app: FastAPI, path: str) -> list[str]:
    """The methods of an address that is there."""
    return [
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    ]


_OF_ALL = {
    "400": "It can't be read",
    "401": "Nobody knows who asks",
    "403": "Who asks may not do that",
    "413": "The body is too large",
    "422": "It makes no sense; every problem is named",
    "429": "Too often",
    "503": "The database or the broker is away",
}
_OPEN = ("/health/live", "/health/ready")


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; each operation says which errors it answers with."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        webhooks=hooks.routes,
    )
    schemas = document["components"]["schemas"]
    for model in (ProblemDocument, SubmissionIn, DraftSchema, HistoryEvent, ProgressEvent):
        found = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(found.pop("$defs", {}))
        schemas[model.__name__] = found
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "reelyard_session"},
    }
    document["security"] = [{"token": []}, {"session": []}, {}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_errors(path, method, operation)
    app.openapi_schema = document
    return document


def _add_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    if path in _OPEN:
        return
    told = dict(_OF_ALL)
    if "{" in path or "path" in _names(operation):
        told["404"] = "It is not there, or not yours to see"
    if method != "get":
        told |= {"404": "It is not there, or not yours to see", "409": "It is in no state for that"}
    if "416" not in operation["responses"] and "206" in operation["responses"]:
        operation["responses"]["416"] = {"description": "There is no such range"}
    if "upload" in path:
        told["507"] = "The disk is full"
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    for status, text in told.items():
        operation["responses"][status] = {"description": text, "content": {MEDIA_TYPE: schema}}


def _names(operation: dict[str, Any]) -> list[str]:
    return [one["name"] for one in operation.get("parameters", ())]
