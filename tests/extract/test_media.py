"""Sound and pictures of media files: what is read, and what is said of files that cannot be."""

import numpy as np
import pytest

pytest.importorskip("av")

from msa_jax.errors import InputError
from msa_jax.extract.media import probe, read_frames, read_sound
from tests.extract.material import BAD, TALKING, picture, write_clip


def grey(level: int, height: int = 64, width: int = 96) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def seen(path, rate=15, most_seconds=60.0):
    return [
        (int(image.mean()), image.shape, ticks)
        for image, ticks in read_frames(path, rate=rate, most_seconds=most_seconds)
    ]


def test_sound_is_cut_at_the_length_that_the_stream_states():
    # 57,344 samples at 22,050 Hz with the padding of the last AAC frame, 56,874 without.
    assert len(read_sound(TALKING, most_seconds=60)) == pytest.approx(56_874 / 22_050 * 16_000, abs=1)


def test_sound_of_another_rate_keeps_its_pitch(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    sound = read_sound(write_clip(tmp_path / "a.wav", sound=tone, sound_rate=44_100), most_seconds=60)
    assert abs(len(sound) - 16_000) <= 1
    assert np.abs(np.fft.rfft(sound)).argmax() == pytest.approx(440, abs=1)
    assert len(read_sound(tmp_path / "a.wav", most_seconds=0.25)) == pytest.approx(4_000, abs=20)


def test_pictures_are_sampled_by_their_times(tmp_path):
    # A variable frame rate: 1500 ms and one more frame are 24 ticks of a fifteenth of a second.
    times = [0, 30, 500, 560, 1000, 1030, 1500]
    clip = write_clip(tmp_path / "a.mkv", pictures=[grey(30 * k) for k in range(7)], times=times)
    found = seen(clip)
    ticks = [level for level, _, count in found for _ in range(count)]
    assert len(ticks) in (23, 24)
    for tick, level in enumerate(ticks):
        expected = max(k for k, at in enumerate(times) if at <= 1000 * tick / 15)
        assert abs(level - 30 * expected) <= 3, tick


def test_a_clip_is_not_read_beyond_its_most_seconds(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", pictures=[grey(k) for k in range(50)])
    assert sum(count for _, _, count in seen(clip, most_seconds=1.0)) == 15


def test_a_turned_picture_is_turned_back(tmp_path):
    image = grey(20)
    image[:, :48] = 220  # bright on the left
    clip = write_clip(tmp_path / "a.mp4", pictures=[image] * 3)
    content = bytearray(clip.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of the track header, version 0
    unit = (1 << 16).to_bytes(4, "big")
    minus, zero = (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big"), bytes(4)
    content[at : at + 36] = zero + unit + zero + minus + zero + zero + zero + zero + (1 << 30).to_bytes(4, "big")
    clip.write_bytes(content)  # shown turned by 90 degrees, clockwise
    turned, _ = next(iter(read_frames(clip, rate=15, most_seconds=1)))
    assert turned.shape == (96, 64, 3)
    assert turned[:40].mean() > 200  # the left side is on top now
    assert turned[-40:].mean() < 40


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cut.mp4", "no media file, damaged or cut off"),
        ("empty.mp4", "the file is empty"),
        ("text.mp4", "no media file, damaged or cut off"),
        ("nothing.mp4", "cannot be read"),
    ],
)
def test_what_is_no_clip_is_an_input_error(name, said):
    with pytest.raises(InputError, match=said):
        probe(BAD / name)


def test_a_file_that_ends_before_its_time_is_cut_off(tmp_path):
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (64, 96, 3)).astype(np.uint8) for _ in range(50)]
    clip = write_clip(tmp_path / "a.mp4", pictures=pictures, sound=random.normal(0, 0.1, 32_000))
    content = clip.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # so that half of it can still be opened
    clip.write_bytes(content[: len(content) // 2])
    assert probe(clip).seconds == pytest.approx(2, abs=0.1)
    for read in (lambda: read_sound(clip, most_seconds=60), lambda: list(read_frames(clip, rate=15, most_seconds=60))):
        with pytest.raises(InputError, match="cut off"):
            read()


def test_a_playlist_does_not_read_other_files(tmp_path):
    write_clip(tmp_path / "a.wav", sound=np.zeros(16_000))
    for text in ("#EXTM3U\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile a.wav\n"):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(InputError, match="no media file"):
            probe(tmp_path / "list.mp4")


def test_names_may_be_of_any_language(tmp_path):
    clip = write_clip(tmp_path / "\u89c6\u9891 \u00e9.mkv", pictures=[grey(9)] * 3, sound=np.zeros(8_000))
    assert probe(clip).has_sound
    assert probe(clip).has_picture
    assert seen(clip)[0][1] == (64, 96, 3)


def test_a_damaged_byte_is_an_error_or_no_matter(tmp_path):
    content, random, said = TALKING.read_bytes(), np.random.default_rng(0), []
    for _ in range(12):
        damaged = bytearray(content)
        for at in random.integers(0, len(content), 30):
            damaged[at] = random.integers(256)
        (tmp_path / "a.mp4").write_bytes(damaged)
        try:
            if probe(tmp_path / "a.mp4").has_sound:
                assert np.isfinite(read_sound(tmp_path / "a.mp4", most_seconds=60)).all()
            for _ in read_frames(tmp_path / "a.mp4", rate=5, most_seconds=60):
                pass
        except InputError as error:
            said.append(str(error))
    assert said
    assert not any("\n" in one for one in said)


def test_a_format_that_nobody_knows_is_an_input_error(tmp_path):
    content = TALKING.read_bytes()
    for known in (b"mp4a", b"esds", b"avc1", b"avcC"):
        content = content.replace(known, b"zzzz")
    (tmp_path / "a.mp4").write_bytes(content)
    for read in (
        lambda: read_sound(tmp_path / "a.mp4", most_seconds=60),
        lambda: list(read_frames(tmp_path / "a.mp4", rate=15, most_seconds=60)),
    ):
        with pytest.raises(InputError, match="in a format that FFmpeg does not know"):
            read()


def test_the_first_picture_is_the_one_that_is_known():
    assert picture().shape == (320, 320, 3)
