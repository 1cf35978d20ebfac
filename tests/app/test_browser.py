"""The page in a headless Chromium: a clip goes in, its score comes out, and nothing is asked elsewhere.

Needs Playwright and a Chromium: its own, one in the path, or the one that MSA_JAX_BROWSER names. MSA_JAX_SCREENSHOTS names a
folder where pictures of the page are kept, to be looked at.
"""

import json
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright.sync_api")

from playwright import sync_api as playwright

from msa_jax.data import read_native
from msa_jax.extract import extract
from msa_jax.extract.media import SAMPLE_RATE, read_frames, read_sound
from tests.extract.material import BAD, CLIPS, TALKING, face_model
from tests.paths import REPOSITORY
from tests.tiny import train_quick

pytestmark = pytest.mark.slow

CARD = {"name": "clips", "language": "en", "label_range": (-3, 3), "metrics": "regression"}
WORDS = "I really loved this movie, it was wonderful"
SUBTITLES = """1
00:00:00,000 --> 00:00:01,500
I really loved this movie,

2
00:00:01,500 --> 00:00:02,500
it was wonderful
"""
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT = 90_000  # ms


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two experiments on clips with faces, and what the microphone and the camera of the browser give."""
    place = tmp_path_factory.mktemp("app")
    extract(CLIPS, out=place / "data", face_model=face_model(), cache=place / "cache", log=None, **CARD)
    train_quick("self_mm", read_native(place / "data"), place / "self-mm", seeds=(1, 2))
    shutil.copytree(CLIPS, place / "clips")
    (place / "clips" / "Raw" / "vid00" / "1.srt").write_text(SUBTITLES, encoding="utf-8")
    train_quick("text_only", read_native(place / "data"), place / "text-only", seeds=(1, 2))
    return place


@pytest.fixture(scope="module")
def address(place):
    """Of the command's page. What it says ends up in a file, and its uploads in a folder that is empty at the end."""
    runs = [str(place / name) for name in ("self-mm", "text-only")]
    words = [
        "app",
        *runs,
        "--clips",
        str(place / "clips"),
        "--face-model",
        str(face_model()),
        "--port",
        "0",
        "--max-upload",
        "1",
    ]
    uploads = place / "uploads"
    uploads.mkdir()
    with (place / "stderr").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "msa_jax", *words, "--json"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "TMPDIR": str(uploads)},
        )
        try:
            content = ""
            while "}" not in content:
                content += process.stdout.readline()
                assert process.poll() is None, (place / "stderr").read_text()
            yield json.loads(content)["address"]
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()
    assert list(uploads.glob("msa_jax_app_*")) == []
    assert "Traceback" not in (place / "stderr").read_text()


def camera(place: Path) -> list[str]:
    """Flags that let Chromium show the face of a clip to the page, and play its sound."""
    frames = [one for one, _ in read_frames(TALKING, rate=15, most_seconds=2)]
    height, width = frames[0].shape[:2]
    with (place / "camera.y4m").open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            red, green, blue = frame.astype(np.float32).transpose(2, 0, 1)
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            chroma = [0.564 * (blue - luma) + 128, 0.713 * (red - luma) + 128]
            planes = [luma, *(one[::2, ::2] for one in chroma)]
            file.write(b"FRAME\n" + b"".join(np.clip(one, 0, 255).astype(np.uint8).tobytes() for one in planes))
    with wave.open(str(place / "microphone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((read_sound(TALKING, most_seconds=2) * 32767).astype("<i2").tobytes())
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={place / 'camera.y4m'}",
        f"--use-file-for-fake-audio-capture={place / 'microphone.wav'}",
    ]


@pytest.fixture(scope="module")
def chromium(place):
    found = os.environ.get("MSA_JAX_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as made:
        try:
            browser = made.chromium.launch(
                executable_path=found, args=["--no-sandbox", "--disable-gpu", *camera(place)]
            )
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def page(request, chromium, address):
    """The page, open. Whatever it asks for must be its own, and no script of it may fail."""
    context = chromium.new_context(color_scheme=request.param, viewport={"width": 1100, "height": 900})
    made = context.new_page()
    asked, failed = [], []
    made.on("request", lambda one: asked.append(one.url))
    made.on("pageerror", lambda error: failed.append(str(error)))
    made.on("console", lambda message: failed.append(message.text) if "Content Security" in message.text else None)
    made.goto(address)
    yield made
    context.close()
    assert failed == []
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


@pytest.fixture
def look(request, page):
    """look(name) keeps a picture of the page if it is asked for."""
    folder = os.environ.get("MSA_JAX_SCREENSHOTS")
    scheme = request.node.callspec.params["page"]

    def keep(name: str) -> None:
        if folder:
            page.screenshot(path=str(Path(folder) / f"{name}-{scheme}.png"), full_page=True)

    return keep


def score(page) -> float:
    page.click("#go")
    page.locator("#number").wait_for(timeout=WAIT)
    return float(page.text_content("#number").replace("−", "-"))


def test_a_clip_is_uploaded_and_its_score_appears(page, look, place):
    from msa_jax import Predictor

    page.set_input_files("#file", str(TALKING))
    page.fill("#text", WORDS)
    found = score(page)
    expected = Predictor.load(place / "self-mm").predict_clip(TALKING, text=WORDS, face_model=face_model())
    assert found == pytest.approx(float(expected), abs=0.006)
    assert page.locator(".face circle").count() == 68
    assert page.locator(".face svg").bounding_box() == page.locator(".face img").bounding_box()
    assert page.locator("#result svg.chart").count() == 3  # scale, course, wave form
    assert page.locator(".legend li").all_inner_texts() == ["all", "text", "audio", "vision"]
    assert page.inner_text(".words") == WORDS
    look("score")
    # The same clip by its path, with the words beside it; then its picture is left out.
    page.click("#clear")
    page.select_option("#path", "Raw/vid00/1.mp4")
    assert score(page) == found
    assert page.locator("svg .word").all_text_contents() == ["I really loved this movie,", "it was wonderful"]
    page.uncheck("#modalities input[name=vision]")
    page.click("#go")
    page.locator(".note", has_text="vision is missing").wait_for(timeout=WAIT)
    assert page.locator(".legend li").all_inner_texts() == ["all", "text", "audio"]


def test_a_wrong_file_gets_a_message(page, look):
    message = page.locator("#message.error")
    for file, said in (
        ({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}, "notes.txt: no clip by its name"),
        ({"name": "<img src=x>.mp4", "mimeType": "video/mp4", "buffer": b"hello"}, "<img src=x>.mp4: no media file"),
        ({"name": "large.mp4", "mimeType": "video/mp4", "buffer": bytes(2**20 + 1)}, "large.mp4: larger than 1 MB"),
        (str(BAD / "noface.mp4"), "no face in any of its"),
        (str(BAD / "cut.mp4"), "cut.mp4: no media file, damaged or cut off"),
    ):
        page.set_input_files("#file", file)
        page.fill("#text", WORDS)
        page.click("#go")
        message.filter(has_text=said).wait_for(timeout=WAIT)
        assert page.locator("#message img").count() == 0
    look("wrong")
    page.set_input_files("#file", str(TALKING))
    page.fill("#text", "")
    page.click("#go")
    message.filter(has_text="type what is said").wait_for(timeout=WAIT)


@pytest.mark.filterwarnings("ignore:text encoder scratch")  # which knows a few words alone
def test_a_text_alone_has_a_score(page, place):
    from msa_jax import Predictor

    page.select_option("#run", label="text-only")
    page.fill("#text", "<b>dull</b>")
    expected = Predictor.load(place / "text-only").predict_texts(["<b>dull</b>"], missing=("audio", "vision"))
    assert score(page) == pytest.approx(float(expected[0]), abs=0.006)
    assert page.inner_text(".words") == "<b>dull</b>"


def test_a_recording_of_the_camera_is_scored(page, look):
    page.click("#camera")
    page.locator("#message", has_text="recording").wait_for(timeout=WAIT)
    page.wait_for_timeout(2000)
    page.click("#camera")
    page.locator("#chosen", has_text="recording.").wait_for(timeout=WAIT)
    page.fill("#text", WORDS)
    assert -3 < score(page) < 3
    assert page.locator(".face circle").count() == 68
    look("camera")


def test_samples_are_shown_sorted_and_filtered(page, look, place):
    page.click("#tab-samples")
    cells = page.locator("#table tbody tr")
    cells.first.wait_for(timeout=WAIT)
    assert cells.count() == 1  # of the test split
    page.select_option("[name=split]", "train")
    page.click("#wanted button")
    page.locator("#table th", has_text="generated t").wait_for(timeout=WAIT)
    assert cells.count() == 2
    look("samples")
    page.select_option("[name=sort]", "id")
    page.select_option("[name=order]", "ascending")
    page.fill("[name=contains]", "VID01")
    page.click("#wanted button")
    page.locator("#found", has_text="1 to 1 of 1, out of 2").wait_for(timeout=WAIT)
    assert cells.first.locator("td").first.inner_text() == read_native(place / "data").train.id[1]
    page.fill("[name=label_from]", "99")
    page.click("#wanted button")
    page.locator("#found", has_text="none").wait_for(timeout=WAIT)


def test_experiments_are_compared(page, look):
    page.click("#tab-experiments")
    page.locator("#curves svg.chart").wait_for(timeout=WAIT)
    assert page.locator("#curves path.line").count() == 4  # two experiments, two seeds
    assert "MAE" in page.inner_text("#tables")
    page.select_option("#curve", "loss, train")
    assert page.locator("#curves svg.chart").get_attribute("aria-label") == "loss, train over the epochs"
    look("experiments")
