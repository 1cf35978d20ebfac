"""The page over HTTP, by a real server on a free port: what it answers, to whom, and what it leaves on the disk."""

import http.client
import json
import re
import socket
import tempfile
import threading
import time
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from msa_jax.app import server
from msa_jax.app.samples import Wanted
from msa_jax.app.scores import LONGEST_TEXT
from msa_jax.errors import InputError
from tests.paths import REPOSITORY

PAGE = REPOSITORY / "msa_jax" / "app" / "page"
OURS = {server.HEADER: "1"}
MOST = 1000  # bytes of an upload here


class FakeSession:
    """Remembers what it is asked, and answers as it is told."""

    def __init__(self):
        self.asked, self.seen = None, None
        self.failure = None

    def describe(self):
        return {"runs": [], "clips": None}

    def score(self, run, **named):
        self.asked = {"run": run, **named}
        return {"score": 0.5}

    def score_file(self, run, path, **named):
        self.asked, self.seen = {"run": run, "path": path, **named}, path.read_bytes()
        (path.parent / "cache").mkdir()
        (path.parent / "cache" / "features.npz").write_bytes(b"1")
        if self.failure is not None:
            raise self.failure
        return {"score": 0.25}

    def samples(self, run, split, wanted):
        self.asked = (run, split, wanted)
        return {"rows": []}

    def comparison(self):
        raise RuntimeError("broken on purpose")


@pytest.fixture(scope="module")
def session():
    return FakeSession()


@pytest.fixture(scope="module")
def port(session):
    made = server.server(session, host="127.0.0.1", max_upload=MOST / 2**20)
    with server.listen("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=made.run, kwargs={"sockets": [bound]})
        thread.start()
        deadline = time.monotonic() + 60
        while not made.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield bound.getsockname()[1]
        made.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where uploads lie; nothing may be left there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def ask(port, path, *, method="GET", body=None, headers=(), chunked=False):
    """Status, headers and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers), encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def upload(port, content, *, name="film.mp4", **named):
    status, _, found = ask(
        port, f"/api/upload?{urlencode({'name': name, **named})}", method="POST", body=content, headers=OURS
    )
    return status, json.loads(found)


def test_the_page_and_its_files_come_with_a_policy(port):
    status, headers, content = ask(port, "/")
    assert status == 200
    assert content == (PAGE / "index.html").read_bytes()
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    for file in PAGE.iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        status, headers, content = ask(port, path)
        assert (status, content) == (200, file.read_bytes())
        assert "content-security-policy" in headers
    assert ask(port, "/../server.py")[0] == 404
    assert ask(port, "/%2e%2e/server.py")[0] == 404


def test_the_page_names_nothing_elsewhere_and_writes_no_markup():
    texts = {file.name: file.read_text(encoding="utf-8") for file in PAGE.iterdir()}
    assert set(texts) == {
        "index.html", "style.css", "page.js", "dom.js", "charts.js", "score.js", "samples.js", "experiments.js",
    }  # fmt: skip
    for name, text in texts.items():
        assert re.findall(r"https?://[^\"]+", text) == (["http://www.w3.org/2000/svg"] if name == "dom.js" else [])
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)
    assert not re.search(r"<script>|<style>|\son\w+=|\sstyle=", texts["index.html"])


def test_pages_of_other_sites_are_refused(port):
    for headers in (
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ):
        status, _, content = ask(port, "/api/runs", headers={**OURS, **headers})
        assert status == 403
        assert "error" in json.loads(content)
    for host in (f"localhost:{port}", f"[::1]:{port}", "[::1]", f"127.0.0.1:{port}"):
        assert ask(port, "/api/runs", headers={**OURS, "Host": host, "Origin": f"http://{host}"})[0] == 200


def test_what_another_page_can_send_unasked_is_refused(port, session):
    # A form, a picture or a link of another page cannot have our header.
    session.asked = None
    assert ask(port, "/api/score", method="POST", body="{}")[0] == 403
    for path in ("/api/samples?run=0&split=train", "/api/comparison", "/api/runs"):
        status, _, content = ask(port, path)
        assert (status, json.loads(content)) == (403, {"error": f"a request to /api/ needs the header {server.HEADER}"})
    assert session.asked is None


def test_an_upload_is_scored_and_deleted(port, session, folder):
    status, found = upload(port, b"a clip", run=1, text="a film & more", window=0.5, missing="audio,vision")
    assert (status, found, session.seen) == (200, {"score": 0.25}, b"a clip")
    path = session.asked.pop("path")
    assert path.is_relative_to(folder)
    assert path.name == "clip.mp4"
    assert session.asked == {
        "run": 1,
        "name": "film.mp4",
        "text": "a film & more",
        "window": 0.5,
        "missing": ("audio", "vision"),
        "cache": path.parent / "cache",
    }
    upload(port, b"1", name="../../etc/über.WEBM")
    assert session.asked["path"].name == "clip.webm"


def test_the_longest_text_comes_with_an_upload(port, session, folder):
    longest = "\U0001f600" * LONGEST_TEXT
    address = f"/api/upload?{urlencode({'name': 'a.mp4', 'text': longest})}"
    head = f"POST {address} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in dict(OURS).items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for piece in (head[:20_000], head[20_000:50_000], head[50_000:] + "x"):  # as from a slower network
            connection.sendall(piece.encode())
            time.sleep(0.1)
        answer = connection.makefile("rb").read()
    assert b"200 OK" in answer.splitlines()[0]
    assert session.asked["text"] == longest


def test_an_upload_is_deleted_after_an_error(port, session, folder, monkeypatch, capfd):
    for failure, status, said in (
        (InputError("<b>\ud800"), 400, "<b>\\ud800"),
        (
            OSError(28, "No space left on device"),
            507,
            "a file cannot be read or written here (No space left on device)",
        ),
        (RuntimeError("broken on purpose"), 500, "msa_jax failed; its terminal says how"),
    ):
        monkeypatch.setattr(session, "failure", failure)
        assert upload(port, b"1") == (status, {"error": said})
        assert list(folder.iterdir()) == []


def test_what_is_no_clip_is_refused_before_it_is_read(port, session, folder):
    session.asked = None
    for content, name, status, said in (
        (b"1", "notes.txt", 400, "notes.txt: no clip by its name"),
        (b"1", "", 400, "a file without a name: no clip by its name"),
        (b"", "film.mp4", 400, "film.mp4: the file is empty"),
        (b"1" * (MOST + 1), "film.mp4", 413, "film.mp4: larger than 0.00095"),
    ):
        found = upload(port, content, name=name)
        assert found[0] == status
        assert found[1]["error"].startswith(said)
    for field, value in (("window", "wide"), ("window", "nan"), ("run", "x")):
        assert upload(port, b"1", **{field: value})[0] == 400
    assert session.asked is None
    assert upload(port, b"1" * MOST)[0] == 200


def test_an_upload_that_does_not_state_its_size_is_stopped(port, folder):
    sent = iter([b"1" * 600] * 3)
    status, _, content = ask(
        port,
        "/api/upload?name=film.mp4",
        method="POST",
        body=sent,
        headers={**OURS, "Transfer-Encoding": "chunked"},
        chunked=True,
    )
    assert status == 413
    assert "larger than" in json.loads(content)["error"]


def test_an_upload_that_breaks_off_leaves_nothing(port, session, folder):
    session.asked = None
    lines = (
        "POST /api/upload?name=film.mp4 HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"{server.HEADER}: 1",
        "Content-Length: 500",
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall("\r\n".join([*lines, "", "half of it"]).encode())
        deadline = time.monotonic() + 60
        while not list(folder.glob("*/clip.mp4")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    for _ in range(300):
        if not list(folder.iterdir()):
            break
        time.sleep(0.01)
    assert session.asked is None


def test_a_text_and_a_path_come_as_json(port, session):
    def score(content):
        body = content if isinstance(content, bytes) else json.dumps(content)
        status, _, found = ask(port, "/api/score", method="POST", body=body, headers=OURS)
        return status, json.loads(found)

    assert score({"run": 1, "text": "ein schöner Film", "clip": "a/b.mp4", "missing": ["text"]}) == (
        200,
        {"score": 0.5},
    )
    assert session.asked == {
        "run": 1,
        "text": "ein schöner Film",
        "clip": "a/b.mp4",
        "window": 1.0,
        "missing": ("text",),
    }
    session.asked = None
    for content in (
        b"",
        b"[",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        {"text": 1},
        {"run": "0"},
        {"run": True},
        {"run": 1.5},
        {"missing": "text"},
    ):
        assert score(content)[0] == 400
    assert score(b" " * 70_000)[0] == 413
    assert session.asked is None


def test_wanted_samples(port, session):
    assert (
        ask(
            port,
            "/api/samples?run=1&split=train&sort=label&order=ascending&contains=Film&least_error=.5&first=50&label_to=2",
            headers=OURS,
        )[0]
        == 200
    )
    assert session.asked == (
        1, "train", Wanted(sort="label", ascending=True, contains="Film", least_error=0.5, first=50, label_to=2.0),
    )  # fmt: skip
    assert ask(port, "/api/samples", headers=OURS)[0] == 200
    assert session.asked == (0, "test", Wanted())
    status, _, content = ask(port, "/api/samples?first=1e3", headers=OURS)
    assert (status, json.loads(content)) == (400, {"error": "first is '1e3'; expected a whole number"})


def test_what_breaks_is_said_in_one_line(port, capfd):
    status, headers, content = ask(port, "/api/comparison", headers=OURS)
    assert (status, json.loads(content)) == (500, {"error": "msa_jax failed; its terminal says how"})
    assert "content-security-policy" in headers
    assert ask(port, "/api/score", headers=OURS)[0] == 405
    assert ask(port, "/nothing")[0] == 404


def test_a_port_that_is_taken_is_one_line():
    with server.listen("127.0.0.1", 0) as bound:
        taken = bound.getsockname()[1]
        assert server.address_of(bound) == f"http://127.0.0.1:{taken}/"
        with pytest.raises(InputError, match=f"127.0.0.1, port {taken}: cannot be used"):
            server.listen("127.0.0.1", taken)
    for host, number in (("127.0.0.1", 65536), ("127.0.0.1", -1), ("no such host", 0)):
        with pytest.raises(InputError, match="port"):
            server.listen(host, number)
    for most in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="max_upload is"):
            server.server(FakeSession(), host="127.0.0.1", max_upload=most)


@pytest.mark.parametrize("host", ["0.0.0.0", "Lab.example"])
def test_a_page_that_is_open_to_others_answers_to_no_name_that_a_stranger_chose(host, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Workstation")
    names = server._names(host)

    def why(name: str) -> str:
        return server._why_refused({"host": name, "origin": f"http://{name}"}, api=False, names=names)

    for name in ("localhost:80", "127.0.0.1", "192.168.0.7:8321", "[fe80::1]:8321", "workstation:1", "WORKSTATION"):
        assert why(name) == ""
    assert why("evil.example:8321").endswith("workstation alone; --host sets another name")
    assert why("") != ""
    assert (why("lab.example:8321") == "") == (host == "Lab.example")


def test_a_page_for_this_machine_alone_answers_to_no_other_number():
    why = server._why_refused({"host": "192.168.0.7"}, api=False, names=server._names("localhost"))
    assert why == "this page answers to 127.0.0.1 and localhost alone"
