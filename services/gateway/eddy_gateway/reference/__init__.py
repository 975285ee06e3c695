"""The API reference at `/docs`: Swagger UI from a package, so that it works without the internet and without inline scripts."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

_PAGE = Path(__file__).with_name("static")
# FastAPI's own page loads these from a CDN.
_SWAGGER = Path(str(files("fastapi_offline") / "static"))
_FILES = {
    "swagger-ui-bundle.js": _SWAGGER,
    "swagger-ui.css": _SWAGGER,
    "reference.js": _PAGE,
    "reference.css": _PAGE,
}


def add_reference(app: FastAPI) -> None:
    """Add the page at `/docs`, and its files below it."""

    @app.get("/docs", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    for name, folder in _FILES.items():
        _add_file(app, name, folder / name)


def _add_file(app: FastAPI, name: str, path: Path) -> None:
    @app.get(f"/docs/{name}", include_in_schema=False)
    async def file() -> FileResponse:
        return FileResponse(path)
