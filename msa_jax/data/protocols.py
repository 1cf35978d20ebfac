"""What is taken from samples to see what a method makes of the rest: the protocols, by name.

docs/missing_modalities.md says which publication does what.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from msa_jax.errors import InputError
from msa_jax.modalities import LETTER, MODALITIES, MODALITY

RATES = tuple(tenth / 10 for tenth in range(11))

Kind = Literal["absent", "silent", "steps", "blocks", "noise", "words"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way to take something from samples.

    name, about: for people. kind: what is done, as in `data.missing` and `data.masking`.
    kept: the letters of the modalities that stay, "TV", where it is always the same ones; the others are taken from the
      samples that a rate chooses. fixed: there are no rates; each set of modalities is taken from every sample in turn.
    """

    name: str
    about: str
    kind: Kind
    kept: str = ""
    fixed: bool = False


_SETS = ("T", "A", "V", "TA", "TV", "AV")
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="steps", kind="steps", about="each frame zero, each token [UNK] at the rate; TFR-Net, EMT-DLFR, LNLN"
        ),
        Protocol(
            name="blocks",
            kind="blocks",
            about="one block of neighbouring steps of each modality, so much of its length",
        ),
        Protocol(name="modalities", kind="absent", about="each modality of a sample absent at the rate, never all"),
        Protocol(name="silence", kind="silent", about="the same, but frames of zeros and [UNK] tokens are left"),
        Protocol(
            name="subsets", kind="absent", fixed=True, about="each set of modalities absent from all samples in turn"
        ),
        Protocol(name="silent_subsets", kind="silent", fixed=True, about="the same, but zeros are left; MMIN's test"),
        *(
            Protocol(name=kept, kind="absent", kept=kept, about=f"all but {kept} absent from samples at the rate")
            for kept in _SETS
        ),
        Protocol(
            name="noise", kind="noise", about="Gaussian noise in audio and vision, the rate its share of the power"
        ),
        Protocol(
            name="words", kind="words", about="words dropped, swapped or replaced at the rate, as a recogniser errs"
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """The protocol of this name. Raises InputError if there is none."""
    found = PROTOCOLS.get(name) or PROTOCOLS.get(name.lower()) or PROTOCOLS.get(name.upper())
    if found is None:
        raise InputError(f"protocol {name!r} is unknown; there are {', '.join(PROTOCOLS)}")
    return found


def letters(modalities: Sequence[str]) -> str:
    """("text", "vision") -> "TV"."""
    return "".join(LETTER[name].upper() for name in MODALITIES if name in modalities)


def lost_of(kept: str, modalities: Sequence[str]) -> tuple[str, ...]:
    """The modalities, of those there are, that are lost where these letters are kept.

    Raises:
      InputError: nothing would be lost, or nothing would be left.
    """
    stays = {MODALITY[letter.lower()] for letter in kept}
    lost = tuple(name for name in modalities if name not in stays)
    if not lost or len(lost) == len(modalities):
        raise InputError(
            f"protocol {kept} keeps {' and '.join(name for name in MODALITIES if name in stays)}; this experiment has "
            f"{' and '.join(modalities)}, so {'nothing would be missing' if not lost else 'nothing would be left'}"
        )
    return lost


def subsets(modalities: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """What is kept in turn: all, then each set of fewer, single ones first."""
    fewer = (kept for count in range(1, len(modalities)) for kept in itertools.combinations(modalities, count))
    return (tuple(modalities), *fewer)
