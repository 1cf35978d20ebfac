"""The four losses of MISA in PyTorch, from the outputs of its network, as its authors' code computes them."""

from collections.abc import Mapping
from itertools import combinations

import torch

ORDER = ("text", "vision", "audio")


def discrepancy(first: torch.Tensor, second: torch.Tensor, moments: int = 5) -> torch.Tensor:
    """Central moment discrepancy of [B, h] and [B, h]."""
    total = (first.mean(0) - second.mean(0)).pow(2).sum().sqrt()
    for k in range(2, moments + 1):
        one, other = ((x - x.mean(0)).pow(k).mean(0) for x in (first, second))
        total = total + (one - other).pow(2).sum().sqrt()
    return total


def difference(first: torch.Tensor, second: torch.Tensor, reduce: str = "mean") -> torch.Tensor:
    """Mean or sum of the squares of A^T B; no gradient flows through the lengths of the rows."""
    one, other = (x - x.mean(0) for x in (first, second))
    one, other = (x / (x.norm(dim=1, keepdim=True).detach() + 1e-6) for x in (one, other))
    squares = (one.T @ other).pow(2)
    return squares.mean() if reduce == "mean" else squares.sum()


def misa_losses(outputs: Mapping[str, torch.Tensor], label: torch.Tensor, reduce: str) -> dict[str, torch.Tensor]:
    """Task, similarity, difference and reconstruction of a batch of three modalities, scalars."""
    private, shared, rebuilt, original = (
        [outputs[f"{kind}_{name}"] for name in ORDER] for kind in ("private", "shared", "rebuilt", "original")
    )
    apart = [*zip(private, shared, strict=True), *combinations(private, 2)]
    errors = [(one - other).pow(2).mean() for one, other in zip(rebuilt, original, strict=True)]
    return {
        "multimodal": (outputs["prediction"] - label).pow(2).mean(),
        "similarity": sum(discrepancy(*pair) for pair in combinations(shared, 2)) / 3,
        "difference": sum(difference(*pair, reduce) for pair in apart),
        "reconstruction": sum(errors) / 3,
    }
