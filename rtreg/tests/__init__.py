"""Images with known shifts, under the name that ports import them by; they live in `rtreg.simulate.seed_images`."""

from rtreg.simulate.seed_images import edge_weight, make_extended, make_offset_extended, make_offset_images

__all__ = ["edge_weight", "make_extended", "make_offset_extended", "make_offset_images"]
