"""Scenes with known truth: what a camera would see, moved and measured exactly, with its noise."""

from rtreg.simulate.camera import SimulatedCamera
from rtreg.simulate.detector import Detector
from rtreg.simulate.motion import Motion
from rtreg.simulate.scene import Scene

__all__ = ["Detector", "Motion", "Scene", "SimulatedCamera"]
