"""The page over HTTP: a few addresses on this machine, and nothing that is sent elsewhere."""

import ipaddress
import json
import socket
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from msa_jax.app.samples import Wanted
from msa_jax.app.session import SUFFIXES, Session
from msa_jax.app.uploads import TooLarge, received
from msa_jax.errors import InputError, install, one_line
from msa_jax.paths import shown

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADER = "x-msa-jax"  # that our script sends; a page of another site cannot send it unasked
_MOST_JSON = 2**16  # bytes
# Bytes of a request before its body: the longest text is in the address of an upload, up to 12 for a letter.
_MOST_HEAD = 2**17
_MOST_AT_ONCE = 16  # connections
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# The page may load its own files, pictures that it was sent as data, and clips that the user chose. Nothing else.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def listen(host: str, port: int) -> socket.socket:
    """A socket of the page, open to connections. port: 0 for any that is free. Raises InputError if it cannot be had."""
    if not 0 <= port <= 65535:
        raise InputError(f"port is {port}; expected 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen()  # whoever comes before the server does waits
        except BaseException:
            made.close()
            raise
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(
            f"{host}, port {port}: cannot be used ({said}); --port names another, 0 any that is free"
        ) from None
    return made


def address_of(bound: socket.socket) -> str:
    """What to open in the browser."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def server(session: Session, *, host: str, max_upload: float) -> Any:
    """A server of uvicorn; `server(...).run(sockets=[listen(...)])` serves until it is ended.

    Args:
      session: what the page shows.
      host: where it listens, which is by what names the browser may call this machine: a page of another site must not pass for
        ours by a name of its own. At an address for this machine alone these are its names for itself; at any other also that
        address, numbers, and the name of this machine.
      max_upload: MB.

    Raises:
      InputError: the extra `app` is not installed, or a size that makes no sense.
    """
    if not 0 < max_upload < float("inf"):
        raise InputError(f"max_upload is {max_upload:g} MB; expected more than 0")
    try:
        import uvicorn
    except ImportError:
        raise _not_installed() from None
    return uvicorn.Server(
        uvicorn.Config(
            application(session, host=host, most=int(max_upload * 2**20)),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=_MOST_AT_ONCE,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=_MOST_HEAD,
        )
    )


def application(session: Session, *, host: str, most: int) -> Any:
    """The ASGI application.

    Args:
      session, host: as for `server`.
      most: bytes of an upload.

    Raises:
      InputError: the extra `app` is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.datastructures import MutableHeaders
        from starlette.requests import ClientDisconnect, Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError:
        raise _not_installed() from None

    files, names = _page_files(), _names(host)

    async def page(request: Request) -> Response:
        content, kind = files[request.url.path]
        return Response(content, media_type=kind)

    async def describe(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.describe))

    async def samples(request: Request) -> Response:
        given = request.query_params
        wanted = Wanted(
            sort=given.get("sort", "error"),
            ascending=given.get("order") == "ascending",
            contains=given.get("contains", ""),
            least_error=_number(given, "least_error", 0.0),
            label_from=_number(given, "label_from", float("-inf")),
            label_to=_number(given, "label_to", float("inf")),
            first=_whole(given, "first", 0),
            count=_whole(given, "count", 50),
        )
        run, split = _whole(given, "run", 0), given.get("split", "test")
        return JSONResponse(await run_in_threadpool(session.samples, run, split, wanted))

    async def comparison(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.comparison))

    async def score(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_JSON:
                raise TooLarge(f"more than {_MOST_JSON} bytes; expected a text and the path of a clip")
        return JSONResponse(await run_in_threadpool(lambda: session.score(**_scored(body))))

    async def upload(request: Request) -> Response:
        given = request.query_params
        name = given.get("name", "")
        length = request.headers.get("content-length", "")
        stated = int(length) if length.isdecimal() else None
        chunks = request.stream()
        async with received(name, chunks, stated=stated, most=most, suffixes=SUFFIXES) as path:
            named = {
                "name": name,
                "text": given.get("text", ""),
                "window": _number(given, "window", 1.0),
                "missing": tuple(filter(None, given.get("missing", "").split(","))),
                "cache": path.parent / "cache",
            }
            found = await run_in_threadpool(session.score_file, _whole(given, "run", 0), path, **named)
        return JSONResponse(found)

    async def refused(request: Request, error: Exception) -> Response:
        status = 413 if isinstance(error, TooLarge) else 400
        return JSONResponse({"error": shown(one_line(error))}, status_code=status)

    async def not_written(request: Request, error: Exception) -> Response:
        said = getattr(error, "strerror", None) or error
        return JSONResponse({"error": f"a file cannot be read or written here ({said})"}, status_code=507)

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=400)

    async def broken(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": "msa_jax failed; its terminal says how"}, status_code=500)

    routes = [
        *(Route(path, page) for path in files),
        Route("/api/runs", describe),
        Route("/api/samples", samples),
        Route("/api/comparison", comparison),
        Route("/api/score", score, methods=["POST"]),
        Route("/api/upload", upload, methods=["POST"]),
    ]
    handlers = {InputError: refused, OSError: not_written, ClientDisconnect: gone, Exception: broken}
    inner = Starlette(routes=routes, exception_handlers=handlers)

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        """Refuses pages of other sites, and adds our headers to every answer."""

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        request = Request(scope)
        why = _why_refused(request.headers, api=scope["path"].startswith("/api/"), names=names)
        if why:
            await JSONResponse({"error": why}, status_code=403)(scope, receive, with_headers)
        else:
            await inner(scope, receive, with_headers)

    return guarded


def _not_installed() -> InputError:
    return InputError(f"the page needs Starlette and uvicorn: {install('app')}")


def _page_files() -> dict[str, tuple[bytes, str]]:
    """{path: content and type} of the files in `page`."""
    found = {}
    for file in resources.files("msa_jax.app").joinpath("page").iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            found["/" if file.name == "index.html" else f"/{file.name}"] = (file.read_bytes(), kind)
    return found


def _names(host: str) -> tuple[str, ...]:
    """What this machine may be called by a browser; numbers are not among them."""
    return (
        LOOPBACK if host in LOOPBACK else tuple(dict.fromkeys((*LOOPBACK, host.lower(), socket.gethostname().lower())))
    )


def _is_number(name: str) -> bool:
    """Whether it is an IP address, for which no other site can have a name of its own."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _why_refused(headers: Mapping[str, str], *, api: bool, names: Sequence[str]) -> str:
    """Why a request is not answered; empty if it is.

    names: of this machine, as `_names` has them. If others than itself may call it so, they may use numbers too.
    """
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
    if name.lower() not in names and (names == LOOPBACK or not _is_number(name)):
        if names == LOOPBACK:
            return "this page answers to 127.0.0.1 and localhost alone"
        words = ", ".join(one for one in names if not _is_number(one))
        return f"this page answers to IP addresses and to {words} alone; --host sets another name"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "this page answers no other site"
    if api and HEADER not in headers:  # a picture or a link of another site has no Origin
        return f"a request to /api/ needs the header {HEADER}"
    return ""


def _scored(body: bytes) -> dict[str, Any]:
    """The arguments of `Session.score` out of JSON."""
    try:
        content = json.loads(body)
        text, clip, missing = content.get("text", ""), content.get("clip"), content.get("missing", [])
        run, window = content.get("run", 0), content.get("window", 1.0)
    except (ValueError, RecursionError, AttributeError):
        raise InputError("expected a JSON object") from None
    kinds = isinstance(text, str) and isinstance(clip, str | None) and isinstance(missing, list)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (run, window))
    if not (kinds and numbers and isinstance(run, int) and all(isinstance(one, str) for one in missing)):
        raise InputError(
            "expected run, a number; text and clip, strings; window, seconds; missing, a list of modalities"
        )
    try:
        seconds = float(window)
    except OverflowError:
        raise InputError("window is too large; expected seconds") from None
    return {"run": run, "text": text, "clip": clip, "window": seconds, "missing": tuple(missing)}


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(given.get(name) or default)
        if value != value:
            raise ValueError
    except ValueError:
        raise InputError(f"{name} is {given[name]!r}; expected a number") from None
    return value


def _whole(given: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(given.get(name) or default)
    except ValueError:
        raise InputError(f"{name} is {given[name]!r}; expected a whole number") from None
