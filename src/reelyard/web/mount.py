"""The pages, on the same app as the API."""

from __future__ import annotations

import nicegui
from fastapi import FastAPI
from nicegui import ui

from reelyard.services.office import Office

from . import account, admin, compose, history, job, queue, sign_in, workers


def mount(app: FastAPI, office: Office) -> None:
    """Put all pages onto ``app``. One app for each process: NiceGUI keeps its pages globally."""
    nicegui.run.process_pool_start_method = "spawn"
    sign_in.register(app, office)
    for page in (compose, queue, job, history, workers, admin, account):
        page.register(office)
    ui.run_with(
        app,
        title="Reelyard",
        favicon="🎬",
        dark=None,
        tailwind=False,  # it looks through a whole page at every change
        reconnect_timeout=15.0,
        show_welcome_message=False,
    )
