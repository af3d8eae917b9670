"""Submitting what was built: once, however often it is clicked."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from reelyard.domain.errors import JobRejected, NotSignedIn, ReelyardError
from reelyard.services.job_views import Wanted

from .compose_page import Page
from .visitor import show_error, sign_in_address


class Sender:
    """The submit button's work. ``show`` is called when it begins and when it is over."""

    def __init__(self, page: Page, show: Callable[[bool], None]) -> None:
        self._page = page
        self._show = show

    async def __call__(self) -> None:
        """Once, however often it is clicked."""
        page, bench = self._page, self._page.bench
        if bench.is_submitting:
            return
        bench.is_submitting = True
        self._show(True)
        now, wanted = page.now, Wanted(priority=page.now.settings.priority, key=bench.key())
        try:
            done = await page.visitor.ask(
                lambda who: page.office.jobs.submit(who, now.to_document(), wanted)
            )
        except JobRejected as error:
            page.found(error.problems, now)
            ui.notify(
                "The job was not submitted: there are problems beside their items.", type="negative"
            )
        except NotSignedIn:
            ui.navigate.to(sign_in_address("/"))
        except ReelyardError as error:
            show_error(error)
        else:
            bench.submitted()
            ui.navigate.to(f"/jobs/{done.state.job_id}")
        finally:
            bench.is_submitting = False
            self._show(False)
