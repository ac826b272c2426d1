"""The pages of the application and its JSON API, put together for one index."""

import re
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp

from bruna.dataset.filenames import printable
from bruna.errors import BrunaError, machine_trouble
from bruna.report.page_style import CSS
from bruna.serve.answers import Explanation, IndexFacts, Limits, Problem, SearchAnswer
from bruna.serve.explanation import explain_hit
from bruna.serve.guard import MOST_BYTES, Guard
from bruna.serve.live_index import LiveIndex

MOST_PHOTOS = 32
"""Of one question."""
MOST_RESULTS = 1000
_OPTIONS = re.compile(r"--(where|max-fmr|keep-junk|different-camera|strict|each)\b")
"""What messages call by the names of the command line."""
_WRONG: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": what}
    for status, what in ((413, "Too many bytes."), (422, "What is asked for cannot be done; the answer says why."))
}

Photos = Annotated[
    list[UploadFile], File(description=f"Image files of one person: {MOST_PHOTOS} at most, {MOST_BYTES >> 20} MB.")
]
Where = Annotated[
    str, Form(description="A description, and what is known of the images: `upcolor = red and camera != 3`.")
]


def make_app(live: LiveIndex, hosts: frozenset[str] | None, token: str | None = None) -> ASGIApp:
    """The application.

    Args:
        live: what is asked.
        hosts: names that the server may be called by; None for any.
        token: what every question has to bring; None where nothing is needed.
    """
    # No photo is ever written to disk: what is larger than this would be.
    MultiPartParser.spool_max_size = MOST_BYTES + 1
    app = FastAPI(
        title="Bruna",
        description="Find a person in an index, by photos, by a description, or by both.",
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    _add_questions(app, live)
    _add_pages(app)
    _add_problems(app)
    return Guard(app, hosts, token)


def _add_questions(app: FastAPI, live: LiveIndex) -> None:
    @app.get("/api/index", responses=_WRONG)
    def index() -> IndexFacts:
        """What is in the index: how many images, cameras, attributes and their values, the calibration."""
        return IndexFacts.of(live.now(), live.calibration, Limits(photos=MOST_PHOTOS, bytes=MOST_BYTES))

    @app.post("/api/search", responses=_WRONG)
    def search(
        photos: Photos = [],  # noqa: B006 - FastAPI copies it
        where: Where = "",
        top: Annotated[int, Form(ge=1, le=MOST_RESULTS, description="Images at most, of each query.")] = 60,
        each: Annotated[bool, Form(description="Each photo is a query of its own, not all of them one.")] = False,
        different_camera: Annotated[bool, Form(description="Leave out the cameras of the photos.")] = False,
        strict: Annotated[bool, Form(description="Leave out images predicted to be unlike the description.")] = False,
        max_fmr: Annotated[float | None, Form(description="False match rate at most.")] = None,
        keep_junk: Annotated[bool, Form(description="Search what Task 1 takes for junk too.")] = False,
    ) -> SearchAnswer:
        """Find a person. With photos the nearest come first, with a description the most probable."""
        given = _contents(photos)
        if not given and not where.strip():
            raise BrunaError("there is nothing to look for: give photos, or a description in `where`.")
        return SearchAnswer.of(
            *live.search(
                given,
                where=where if where.strip() else None,
                top=top,
                each=each,
                different_camera=different_camera,
                strict=strict,
                max_fmr=max_fmr,
                keep_junk=keep_junk,
            )
        )

    @app.post("/api/why", responses=_WRONG)
    def why(
        key: Annotated[str, Form(description="Of an image of the index.")],
        photo: Annotated[UploadFile | None, File(description="An image file; without one no half is compared.")] = None,
    ) -> Explanation:
        """Compare a photo with an image of the index: masks, how alike the halves are, attributes."""
        given = None if photo is None else (printable(photo.filename or "photo"), photo.file.read())
        return explain_hit(live, key, given)

    @app.get(
        "/api/thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}, 404: _WRONG[422]}
    )
    def thumbnail(key: Annotated[str, Query(description="Of the image.")]) -> Response:
        """The small picture of an image."""
        found = live.now().thumbnails.get(key)
        if found is None:
            raise HTTPException(404, "the index has no small picture under this key")
        return Response(found, media_type="image/jpeg")


def _contents(photos: list[UploadFile]) -> dict[str, bytes]:
    """The photos under different names; what a form without a file sends is left out."""
    if len(photos) > MOST_PHOTOS:
        raise BrunaError(f"these are {len(photos)} photos; {MOST_PHOTOS} at most make a question. Give fewer.")
    found: dict[str, bytes] = {}
    for photo in photos:
        name = stem = photo.filename or ""
        data = photo.file.read()
        if not name and not data:
            continue
        number = 2
        while name in found:
            name, number = f"{stem} ({number})", number + 1
        found[name] = data
    return found


def _add_pages(app: FastAPI) -> None:
    own = files("bruna.serve") / "static"
    pages = {
        "/": (own / "index.html", "text/html"),
        "/docs": (own / "docs.html", "text/html"),
    }
    texts = {address: (file.read_bytes(), kind) for address, (file, kind) in pages.items()}
    texts["/report.css"] = (CSS.encode(), "text/css")

    def page(request: Request) -> Response:
        text, kind = texts[request.url.path]
        return Response(text, media_type=kind)

    for address in texts:
        app.add_route(address, page, methods=["GET"])
    for folder, package in (("static", "bruna.serve"), ("assets", "bruna.report")):
        app.mount(f"/{folder}", StaticFiles(packages=[(package, folder)]))


def _add_problems(app: FastAPI) -> None:
    """Whatever goes wrong is a sentence."""

    @app.exception_handler(BrunaError)
    def of_the_user(_: Request, error: Exception) -> Response:
        return _problem(422, _OPTIONS.sub(lambda found: found[1].replace("-", "_"), str(error)))

    @app.exception_handler(RequestValidationError)
    def of_a_field(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = [(".".join(map(str, each["loc"][1:])), each["msg"]) for each in error.errors()]
        wrong = [f"{name}: {reason.removeprefix('Value error, ')}" for name, reason in said]
        return _problem(422, "; ".join(wrong))

    @app.exception_handler(HTTPException)
    def of_the_form(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = {
            400: f"the form cannot be read ({error.detail}). Send it as multipart/form-data; /docs shows its fields.",
            404: f"there is nothing at {printable(request.url.path)}. /docs lists all addresses.",
            405: f"{request.method} is not possible here. /docs shows what is.",
        }
        own = error.status_code != 400 and error.detail != HTTPStatus(error.status_code).phrase
        return _problem(error.status_code, error.detail if own else said.get(error.status_code, error.detail))

    @app.exception_handler(Exception)
    def of_the_machine(_: Request, error: Exception) -> Response:
        trouble = machine_trouble(error)
        return _problem(500, trouble or "something went wrong in the server; its terminal tells more.")


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)
