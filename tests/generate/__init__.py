"""Invented user files: near-valid ones with every defect, plain garbage, and large ones for measuring."""

from tests.generate.big import Planted, big_file
from tests.generate.formats import every_kind, users
from tests.generate.messy import garbage, messy_file
from tests.generate.strategies import user_files

__all__ = ["Planted", "big_file", "every_kind", "garbage", "messy_file", "user_files", "users"]
