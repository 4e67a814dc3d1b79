"""The site, built after a full run of the garbage collector, as every process has one sooner or later."""

import gc

from starlette.applications import Starlette

from webapp import app


def create_app() -> Starlette:
    gc.collect()
    return app.create_app()
