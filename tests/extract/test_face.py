"""Faces against what mediapipe finds, and the parts that need no model."""

import numpy as np
import pytest

from msa_jax.extract.face import FaceLandmarker, Square, _merged, cut_out
from msa_jax.extract.face_points import BLENDSHAPE_POINTS, FACE_NAMES, LANDMARK_NAMES, axes, own_points, pose
from msa_jax.extract.media import read_frames
from tests.extract.material import BAD, CLIPS, TALKING, face_model, picture


@pytest.fixture(scope="module")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker(face_model())


def mesh() -> np.ndarray:
    with np.load(CLIPS / "mediapipe.npz") as known:
        return known["mesh"].astype(np.float64)


def test_landmarks_and_blendshapes_are_those_of_mediapipe(landmarker):
    (face,) = landmarker.detect(picture())
    found, presence = landmarker.landmarks(picture(), face)
    distance = np.linalg.norm((found - mesh())[:, :2], axis=1)
    assert distance.mean() < 0.1  # pixels of 320
    assert distance.max() < 0.3
    with np.load(CLIPS / "mediapipe.npz") as known:
        np.testing.assert_allclose(landmarker.blendshapes(found), known["blendshapes"], atol=0.02)
    assert presence > 0.99


def test_a_clip_has_a_face_in_every_frame_that_is_followed(landmarker):
    track = landmarker.follow(read_frames(TALKING, rate=5, most_seconds=1), rate=5, points=True)
    assert track.features.shape == (5, 194)
    assert track.features.dtype == np.float32
    assert (track.without_face, track.most) == (0, 1)
    values = dict(zip(LANDMARK_NAMES, track.features.mean(0), strict=True))
    assert values["mouthSmileLeft"] > 0.7
    assert values["centre_x"] == pytest.approx(0.49, abs=0.05)
    again = landmarker.follow(read_frames(TALKING, rate=5, most_seconds=1), rate=5, points=False)
    np.testing.assert_array_equal(again.features, track.features[:, :58])


def test_of_two_faces_the_larger_one_is_taken(landmarker):
    track = landmarker.follow(read_frames(BAD / "two.mp4", rate=5, most_seconds=60), rate=5, points=False)
    assert track.most == 2
    assert track.without_face == 0


def test_without_a_face_frames_are_zeros_and_keep_their_time(landmarker):
    track = landmarker.follow(read_frames(BAD / "noface.mp4", rate=5, most_seconds=60), rate=5, points=False)
    assert track.without_face == len(track.features) == 5
    assert not track.features.any()


@pytest.mark.parametrize("size", [53, 32])
def test_small_faces_are_found_in_parts_of_the_picture(landmarker, size):
    large = np.full((480, 854, 3), 90, np.uint8)
    small = cut_out(picture(), Square(x=160, y=160, size=320), 3 * size).astype(np.uint8)
    large[60 : 60 + len(small), 500 : 500 + len(small)] = small
    assert landmarker.detect(large) == []
    (face,) = landmarker.detect(large, tiles=True)
    assert landmarker.landmarks(large, face) is not None
    assert face.x == pytest.approx(500 + 157 * len(small) / 320, abs=8)


def test_a_cut_at_the_pixels_is_the_picture_itself():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    found = cut_out(image, Square(x=30, y=20, size=16), 16)
    np.testing.assert_array_equal(found, image[12:28, 22:38])
    turned = cut_out(image, Square(x=30, y=20, size=16, angle=np.pi / 2), 16)
    # Its columns run down the picture, its rows to the left.
    np.testing.assert_allclose(turned, image[12:28, 38:22:-1].transpose(1, 0, 2), atol=1e-3)


def test_outside_of_a_picture_its_border_goes_on_or_there_is_nothing():
    image = np.full((10, 10, 3), 200, np.uint8)
    far = Square(x=-40, y=5, size=8)
    assert (cut_out(image, far, 4) == 200).all()
    assert (cut_out(image, far, 4, zeros=True) == 0).all()


def test_boxes_of_one_face_become_one():
    face = [0.9, 50, 50, 20, 20, 45, 48, 55, 48]
    other = [0.8, 90, 50, 20, 20, 85, 48, 95, 48]
    near = [0.6, 52, 50, 20, 20, 47, 48, 57, 48]
    first, second = _merged(np.array([other, near, face]))
    assert first[1] == pytest.approx((0.9 * 50 + 0.6 * 52) / 1.5)
    assert second[1] == 90


def test_pose_of_a_turned_face():
    points, size = mesh(), (320, 320)
    before = pose(points, size)
    np.testing.assert_allclose(axes(points) @ axes(points).T, np.eye(3), atol=1e-9)
    angle = 0.3
    cosine, sine = np.cos(angle), np.sin(angle)
    around = points - points.mean(0)
    rolled = around @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    assert pose(rolled, size)[2] - before[2] == pytest.approx(angle, abs=1e-6)
    yawed = around @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    assert pose(yawed, size)[0] - before[0] == pytest.approx(angle, abs=0.02)
    # In its own frame a face does not move.
    np.testing.assert_allclose(own_points(rolled * 2 + 7), own_points(points), atol=1e-9)


def test_names_say_what_the_columns_are():
    assert (len(FACE_NAMES), len(LANDMARK_NAMES), len(BLENDSHAPE_POINTS)) == (58, 194, 146)
    assert len(set(LANDMARK_NAMES)) == 194
