"""Fixtures of the engine's tests."""

from tests.tiny import toy

__all__ = ["toy"]
