"""OME-TIFF of others: times as far as they are said, and nothing made up where they are not."""

import numpy as np
import pytest
import tifffile

from rtreg.errors import FrameError
from rtreg.io.images import open_stack
from rtreg.io.ome import facts_of

SPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
DATE = "<AcquisitionDate>2026-03-01T21:30:00</AcquisitionDate>"
T0 = int(np.datetime64("2026-03-01T21:30:00", "ns").astype(np.int64))


def xml(*planes, date=DATE):
    return f"<OME {SPACE}><Image>{date}<Pixels>{''.join(planes)}</Pixels></Image></OME>"


def plane(t, delta, c=0, z=0):
    return f'<Plane TheT="{t}" TheC="{c}" TheZ="{z}" {delta}/>'


@pytest.mark.parametrize(
    ("delta", "after"),
    [
        ('DeltaT="1.5"', 1_500_000_000),
        ('DeltaT="0.1" DeltaTUnit="s"', 100_000_000),
        ('DeltaT="2.5" DeltaTUnit="ms"', 2_500_000),
        ('DeltaT="7" DeltaTUnit="µs"', 7000),
        ('DeltaT="123456789012345678" DeltaTUnit="ns"', 123456789012345678),
        ('DeltaT="x"', None),
        ('DeltaT="nan"', None),
        ('DeltaT="1" DeltaTUnit="fortnight"', None),
        ("", None),
    ],
)
def test_units(delta, after):
    expected = {} if after is None else {"t_ns": T0 + after}
    assert facts_of(xml(plane(0, 'DeltaT="0"'), plane(1, delta)), 2) == [{"t_ns": T0}, expected]


@pytest.mark.parametrize(
    "text",
    [
        xml(plane(0, 'DeltaT="0"'), plane(1, 'DeltaT="1"'), date=""),
        xml(plane(0, 'DeltaT="0"')),
        xml(plane(1, 'DeltaT="0"'), plane(0, 'DeltaT="1"')),
        xml(plane(0, 'DeltaT="0"'), plane(0, 'DeltaT="1"', c=1)),
    ],
    ids=["no date", "other number of planes", "other order", "channels"],
)
def test_no_times_are_made_up(text):
    assert facts_of(text, 2) == [{}, {}]


def test_xml_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="OME-XML"):
        facts_of("<OME", 1)
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((2, 5, 6), np.uint8), photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.is_ome
    bad = f"<OME {SPACE}><!-- --><StructuredAnnotations><CommentAnnotation Namespace='rtreg.frames'><Value>[1, 2]"
    bad += "</Value></CommentAnnotation></StructuredAnnotations></OME>"
    assert facts_of(bad, 2) == [1, 2]
    tifffile.tiffcomment(tmp_path / "a.ome.tif", bad.encode())
    try:
        stack = open_stack(tmp_path / "a.ome.tif")
    except FrameError:
        return
    with stack, pytest.raises(FrameError, match="the time of image 0"):
        stack.about(0)
