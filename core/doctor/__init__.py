"""Checks of this machine: is everything here that the work needs, and does it work when tried?"""

from core.doctor.check import Check
from core.doctor.examine import examine

__all__ = ["Check", "examine"]
