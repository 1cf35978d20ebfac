"""Which of the 478 landmarks of a face stand for what, and the values that a face is described by."""

import numpy as np

_BLENDSHAPE_POINTS = (
    "0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87 88 91 93 95 "
    "103 105 107 109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159 160 161 162 163 168 172 "
    "173 176 178 181 185 191 195 197 234 246 249 251 263 267 269 270 276 282 283 284 285 288 291 293 295 296 297 "
    "300 308 310 311 312 314 317 318 321 323 324 332 334 336 338 356 361 362 365 373 374 375 377 378 379 380 381 "
    "382 384 385 386 387 388 389 390 397 398 400 402 405 409 415 454 466 468 469 470 471 472 473 474 475 476 477"
)
_BLENDSHAPES = (
    "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft "
    "cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight "
    "eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft "
    "eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft "
    "mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight "
    "mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft "
    "mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft "
    "noseSneerRight"
)
_POINTS_68 = (
    "162 234 93 58 172 136 149 148 152 377 378 365 397 288 323 454 389 71 63 105 66 107 336 296 334 293 301 168 "
    "197 5 4 75 97 2 326 305 33 160 158 133 153 144 362 385 387 263 373 380 61 39 37 0 267 269 291 405 314 17 84 "
    "181 78 82 13 312 308 317 14 87"
)

BLENDSHAPE_POINTS = np.array(_BLENDSHAPE_POINTS.split(), int)  # the landmarks that the blendshape network reads
BLENDSHAPES = tuple(_BLENDSHAPES.split())  # as the network gives them, without the first, _neutral
# The landmarks nearest to the 68 points of iBUG 300-W, in their order: jaw, brows, nose, eyes, outer and inner lips.
POINTS_68 = np.array(_POINTS_68.split(), int)
POSE = ("yaw", "pitch", "roll", "centre_x", "centre_y", "size")
FACE_NAMES = ("presence", *POSE, *BLENDSHAPES)
LANDMARK_NAMES = (*FACE_NAMES, *(f"point_{n}_{axis}" for n in range(68) for axis in "xy"))

_EYE_LEFT_IN_PICTURE, _EYE_RIGHT_IN_PICTURE, _FOREHEAD, _CHIN = 33, 263, 10, 152


def axes(points: np.ndarray) -> np.ndarray:
    """The face's own axes in the picture's (right, down, away): along the eyes, from forehead to chin, into the head.

    Args:
      points: [478, 3] pixels; the third is depth, on the same scale.

    Returns:
      [3, 3], an axis in each row, orthonormal.
    """
    along = _unit(points[_EYE_RIGHT_IN_PICTURE] - points[_EYE_LEFT_IN_PICTURE])
    down = points[_CHIN] - points[_FOREHEAD]
    down = _unit(down - (down @ along) * along)
    return np.stack([along, down, np.cross(along, down)])


def pose(points: np.ndarray, picture: tuple[int, int]) -> np.ndarray:
    """The values of `POSE`: angles in radians, centre as a share of width and height, size as a share of the height.

    Yaw is positive if the face is turned to the left of the picture, pitch if it looks down, roll if its right side in the
    picture is the lower one. They are those of the mesh, so a face that looks straight ahead need not have a pitch of 0.

    Args:
      points: [478, 3] pixels. picture: height and width.
    """
    along, down, into = axes(points)
    yaw = np.arctan2(-along[2], np.hypot(along[0], along[1]))
    pitch, roll = np.arctan2(down[2], into[2]), np.arctan2(along[1], along[0])
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    height, width = picture
    centre = (low + high) / 2 / (width, height)
    return np.array([yaw, pitch, roll, *centre, (high - low).max() / height])


def own_points(points: np.ndarray) -> np.ndarray:
    """The 68 points in the face's own frame: centred, along its axes, in distances between the outer corners of the eyes.

    Args:
      points: [478, 3] pixels.

    Returns:
      [136]: x and y of each point.
    """
    chosen = points[POINTS_68]
    unit = np.linalg.norm(points[_EYE_RIGHT_IN_PICTURE] - points[_EYE_LEFT_IN_PICTURE])
    return ((chosen - chosen.mean(0)) @ axes(points)[:2].T / max(unit, 1e-6)).ravel()


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-9)
