"""Video clips and transcripts become features and a dataset: `extract`, and the recipes that travel with what it makes."""

from msa_jax.extract.dataset import Extraction, extract
from msa_jax.extract.recipe import AUDIO_SETS, VISION_SETS, Features, Recipe

__all__ = ["AUDIO_SETS", "VISION_SETS", "Extraction", "Features", "Recipe", "extract"]
