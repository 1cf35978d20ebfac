"""The vision recipes `face-v1` and `face-landmarks-v1`: a face in each picture, by Google's face landmarker run by LiteRT.

A detector (BlazeFace; Bazarevsky et al., 2019) finds faces in the first picture. From then on the landmarks of one picture say
where to look in the next, until they are lost. A third network turns landmarks into 51 blendshapes (Grishchenko et al., 2023).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msa_jax.errors import InputError, install
from msa_jax.extract.face_model import read_networks
from msa_jax.extract.face_points import BLENDSHAPE_POINTS, FACE_NAMES, LANDMARK_NAMES, own_points, pose

LEAST_SCORE = 0.5  # of a detection, and of a face that is followed
LEAST_SCORE_OF_SMALL = 0.75  # of a detection in a part of a picture, where a cup or a spoon reaches 0.6
_DETECTOR, _MESH = 128, 256  # pixels
_OVERLAP = 0.3  # intersection over union from which two boxes are one face
_MARGIN = 1.5  # of the square that the landmark network sees, in sizes of the face
_EYES_IN_MESH = (33, 263)
_TILES = (2, 3)  # to the height: a second look for small faces


@dataclass(frozen=True, kw_only=True)
class Square:
    """A turned square in a picture. x, y: its centre in pixels. size: in pixels. angle: in radians, clockwise as it is seen."""

    x: float
    y: float
    size: float
    angle: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceTrack:
    """What was seen. features: [V, d] f32, zeros where there is no face.

    without_face: frames. most: faces in one picture, of those in which they were looked for.
    """

    features: np.ndarray
    without_face: int
    most: int


class FaceLandmarker:
    """The three networks, each on one thread, so that results are the same everywhere.

    Raises:
      InputError: LiteRT is not installed, or the model file is another one.
    """

    def __init__(self, model: Path):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise InputError(f"face features need LiteRT: {install('extract')}") from None
        networks = [Interpreter(model_content=content, num_threads=1) for content in read_networks(model).values()]
        self._detector, self._mesh, self._blendshapes = networks
        for network in networks:
            network.allocate_tensors()
        self._anchors = _anchors()

    def follow(self, pictures: Iterable[tuple[np.ndarray, int]], *, rate: int, points: bool) -> FaceTrack:
        """The largest face of the first picture with one, followed until it is lost.

        Args:
          pictures: [H, W, 3] uint8, and for how many frames each is seen.
          rate: frames a second. While no face is there, small ones are looked for once a second.
          points: `face-landmarks-v1`, not `face-v1`.
        """
        rows: list[np.ndarray] = []
        width = len(LANDMARK_NAMES if points else FACE_NAMES)
        square, most, missed, without = None, 0, 0, 0
        for picture, seen in pictures:
            found = None if square is None else self.landmarks(picture, square)
            if found is None:
                faces = self.detect(picture, tiles=missed % rate == 0)
                most = max(most, len(faces))
                found = self.landmarks(picture, max(faces, key=lambda one: one.size)) if faces else None
            if found is None:
                square, row = None, np.zeros(width, np.float32)
                missed, without = missed + seen, without + seen
            else:
                mesh, presence = found
                square, missed = _around(mesh), 0
                values = [[presence], pose(mesh, picture.shape[:2]), self.blendshapes(mesh)]
                row = np.concatenate([*values, own_points(mesh)] if points else values).astype(np.float32)
            rows += [row] * seen
        return FaceTrack(features=np.stack(rows), without_face=without, most=most)

    def detect(self, picture: np.ndarray, *, tiles: bool = False) -> list[Square]:
        """The faces in a picture, as the squares that the landmark network wants to see.

        Args:
          picture: [H, W, 3] uint8.
          tiles: if there is none in the whole, look at overlapping parts of it, where small faces are larger.
        """
        height, width = picture.shape[:2]
        found = self._detections(picture, [Square(x=width / 2, y=height / 2, size=max(height, width))])
        if not len(found) and tiles:
            found = self._detections(picture, _tiles(height, width), least=LEAST_SCORE_OF_SMALL)
        return [_face(box) for box in _merged(found)]

    def _detections(self, picture: np.ndarray, views: Iterable[Square], *, least: float = LEAST_SCORE) -> np.ndarray:
        """[n, 9] in pixels of the picture: score, box (x, y of the centre, width, height), and both eyes."""
        found = []
        for view in views:
            pixels = cut_out(picture, view, _DETECTOR, zeros=True) / 127.5 - 1
            boxes, scores = _run(self._detector, pixels[None])
            boxes, scores = (boxes, scores) if boxes.shape[-1] == 16 else (scores, boxes)
            score = 1 / (1 + np.exp(-np.clip(scores[0, :, 0].astype(np.float64), -100, 100)))
            likely = score >= least
            values = boxes[0, likely, :8].astype(np.float64).reshape(-1, 4, 2) / _DETECTOR
            values[:, [0, 2, 3]] += self._anchors[likely, None]  # centre and eyes; the second pair is a size
            values *= view.size
            values[:, [0, 2, 3]] += (view.x - view.size / 2, view.y - view.size / 2)
            found.append(np.column_stack([score[likely], values.reshape(-1, 8)]))
        return np.concatenate(found)

    def landmarks(self, picture: np.ndarray, square: Square) -> tuple[np.ndarray, float] | None:
        """[478, 3] pixels of the picture, and how sure a face is there in [0, 1]; None if it is not.

        Args:
          picture: [H, W, 3] uint8. square: where to look.
        """
        outputs = _run(self._mesh, cut_out(picture, square, _MESH)[None] / np.float32(255))
        mesh = next(one for one in outputs if one.size == 478 * 3).reshape(478, 3).astype(np.float64)
        logit = next(one for one in outputs if one.shape == (1, 1, 1, 1)).item()
        presence = 1 / (1 + np.exp(-np.clip(logit, -100, 100)))
        if presence < LEAST_SCORE:
            return None
        x, y = ((mesh[:, :2] / _MESH - 0.5) * square.size).T
        cosine, sine = np.cos(square.angle), np.sin(square.angle)
        depth = mesh[:, 2] / _MESH * square.size
        return np.stack([square.x + cosine * x - sine * y, square.y + sine * x + cosine * y, depth], 1), presence

    def blendshapes(self, mesh: np.ndarray) -> np.ndarray:
        """The values of `BLENDSHAPES` in [0, 1].  # [51]. mesh: [478, 3] pixels."""
        (values,) = _run(self._blendshapes, mesh[None, BLENDSHAPE_POINTS, :2].astype(np.float32))
        return values.ravel()[1:]


def cut_out(picture: np.ndarray, square: Square, size: int, *, zeros: bool = False) -> np.ndarray:
    """A turned square of a picture, by linear interpolation between the four nearest pixels.

    Args:
      picture: [H, W, 3] uint8.
      size: of the result, in pixels.
      zeros: black outside of the picture; otherwise its border goes on.

    Returns:
      [size, size, 3] float32 in [0, 255].
    """
    height, width = picture.shape[:2]
    across = ((np.arange(size) / size - 0.5) * square.size).astype(np.float64)
    cosine, sine = np.cos(square.angle), np.sin(square.angle)
    x = square.x + cosine * across[None, :] - sine * across[:, None]
    y = square.y + sine * across[None, :] + cosine * across[:, None]
    inside = (x > -1) & (x < width) & (y > -1) & (y < height) if zeros else None
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    along, down = (x - left).astype(np.float32)[..., None], (y - top).astype(np.float32)[..., None]
    pixels = picture.reshape(-1, 3)

    def at(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return pixels.take(row * width + column, 0).astype(np.float32)

    upper, lower = at(top, left), at(below, left)
    upper += (at(top, right) - upper) * along
    lower += (at(below, right) - lower) * along
    upper += (lower - upper) * down
    return upper if inside is None else upper * inside[..., None]


def _run(network, value: np.ndarray) -> list[np.ndarray]:
    network.set_tensor(network.get_input_details()[0]["index"], np.ascontiguousarray(value, np.float32))
    network.invoke()
    return [network.get_tensor(one["index"]) for one in network.get_output_details()]


def _anchors() -> np.ndarray:
    """Centres that the detector's boxes are told from: two in each cell of 16 × 16, six in each of 8 × 8.  # [896, 2]"""
    grids = []
    for cells, each in ((16, 2), (8, 6)):
        y, x = np.mgrid[:cells, :cells]
        grids.append(np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells, each, axis=0))
    return np.concatenate(grids)


def _merged(found: np.ndarray) -> list[np.ndarray]:
    """One detection for each face: the mean of those that overlap the surest, weighted by their scores."""
    found = found[np.argsort(-found[:, 0], kind="stable")]
    merged = []
    while len(found):
        same = _overlap(found[0, 1:5], found[:, 1:5]) > _OVERLAP
        same[0] = True
        group = found[same]
        merged.append(np.append(group[0, 0], (group[:, 1:] * group[:, :1]).sum(0) / group[:, 0].sum()))
        found = found[~same]
    return merged


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    both = np.maximum(high - low, 0).prod(1)
    return both / np.maximum(box[2:].prod() + others[:, 2:].prod(1) - both, 1e-9)


def _face(detection: np.ndarray) -> Square:
    _, x, y, width, height, *eyes = detection
    angle = float(np.arctan2(eyes[3] - eyes[1], eyes[2] - eyes[0]))
    return Square(x=float(x), y=float(y), size=float(max(width, height)) * _MARGIN, angle=angle)


def _around(mesh: np.ndarray) -> Square:
    """The square in which the landmarks are looked for in the next picture."""
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    left, right = mesh[list(_EYES_IN_MESH), :2]
    x, y = (low + high) / 2
    angle = float(np.arctan2(right[1] - left[1], right[0] - left[0]))
    return Square(x=float(x), y=float(y), size=float((high - low).max()) * _MARGIN, angle=angle)


def _tiles(height: int, width: int) -> list[Square]:
    """Squares of a half and of a third of the height, each half over the next."""
    tiles = []
    for share in _TILES:
        size = min(height, width) / share
        columns, rows = (max(int(np.ceil(2 * length / size)) - 1, 1) for length in (width, height))
        for y in np.linspace(size / 2, height - size / 2, rows):
            tiles += [Square(x=x, y=y, size=size) for x in np.linspace(size / 2, width - size / 2, columns)]
    return tiles
