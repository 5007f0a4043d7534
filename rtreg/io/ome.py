"""OME-TIFF: a stack of pages, and XML in the first that says when each was taken.

Times of frames are DeltaT from AcquisitionDate, a whole second, in ns; the whole header of each frame is in a comment
of ours. What others wrote is read as far as times: AcquisitionDate and DeltaT in any unit of time.
See https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html.
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtreg.version import __version__

__all__ = ["OmeWriter", "facts_of"]

_SPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_OURS = "rtreg.frames"  # namespace of the comment with the headers
_TYPES = {"float32": "float", "float64": "double"}  # the others have the same name
_NS = {"s": 10**9, "ms": 10**6, "µs": 10**3, "μs": 10**3, "ns": 1, "min": 60 * 10**9, "h": 3600 * 10**9}
_CLASSIC = 1 << 31  # bytes: from here on, BigTIFF

Facts = dict[str, Any]


class OmeWriter:
    """Writes frames of one shape and dtype to a new OME-TIFF, a page each.

    Parameters
    ----------
    path : str or Path
    shape : (ny, nx)
    dtype : dtype
    count : int
        How many frames there will be at most; a large file is laid out in another way from the start.
    """

    def __init__(self, path: str | Path, shape: tuple[int, int], dtype: npt.DTypeLike, count: int) -> None:
        import tifffile

        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        large = count * (math.prod(shape) * self._dtype.itemsize + 512) > _CLASSIC
        self._file: Any = tifffile.TiffWriter(path, bigtiff=large, byteorder="<")
        self._times: list[tuple[int | None, int]] = []
        self._headers: list[str] = []

    def write(self, pixels: npt.NDArray[Any], t_ns: int | None, exp_ns: int, header: str) -> None:
        """Append a frame: its mid-exposure UTC ns, its exposure in ns, its header as JSON."""
        room = None if self._times else "OME"  # a description for the XML to take the place of
        self._file.write(pixels, photometric="minisblack", metadata=None, description=room)
        self._times.append((t_ns, exp_ns))
        self._headers.append(header)

    def close(self) -> None:
        """Write the XML, and close; twice does no harm."""
        import tifffile

        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._times:
            tifffile.tiffcomment(self._path, self._xml())

    def _xml(self) -> bytes:
        ny, nx = self._shape
        begin = next((t_ns // 10**9 for t_ns, _ in self._times if t_ns is not None), None)
        ome = ET.Element("OME", {"xmlns": _SPACE, "Creator": f"rtreg {__version__}"})
        image = ET.SubElement(ome, "Image", ID="Image:0", Name=Path(self._path).name)
        if begin is not None:
            ET.SubElement(image, "AcquisitionDate").text = str(np.datetime64(begin, "s"))
        size = {"SizeX": nx, "SizeY": ny, "SizeC": 1, "SizeZ": 1, "SizeT": len(self._times)}
        kind = {"Type": _TYPES.get(self._dtype.name, self._dtype.name), "BigEndian": "false", "DimensionOrder": "XYCZT"}
        about = {"ID": "Pixels:0", **kind, **{key: str(value) for key, value in size.items()}}
        pixels = ET.SubElement(image, "Pixels", about)
        ET.SubElement(pixels, "Channel", ID="Channel:0:0", SamplesPerPixel="1")
        ET.SubElement(pixels, "TiffData", IFD="0", PlaneCount=str(len(self._times)))
        for index, (t_ns, exp_ns) in enumerate(self._times):
            plane = ET.SubElement(pixels, "Plane", TheZ="0", TheC="0", TheT=str(index))
            if t_ns is not None and begin is not None:
                plane.attrib |= {"DeltaT": str(t_ns - begin * 10**9), "DeltaTUnit": "ns"}
            if exp_ns:
                plane.attrib |= {"ExposureTime": str(exp_ns), "ExposureTimeUnit": "ns"}
        ET.SubElement(image, "AnnotationRef", ID="Annotation:0")
        notes = ET.SubElement(ome, "StructuredAnnotations")
        comment = ET.SubElement(notes, "CommentAnnotation", ID="Annotation:0", Namespace=_OURS)
        ET.SubElement(comment, "Value").text = f"[{','.join(self._headers)}]"
        return bytes(ET.tostring(ome, encoding="utf-8", xml_declaration=True))


def facts_of(xml: str, count: int) -> Sequence[Facts]:
    """What the XML of an OME-TIFF says of each of its `count` images; nothing where it is not about as many.

    Raises
    ------
    ValueError
        It is no XML.
    """
    try:
        ome = ET.fromstring(xml.encode("utf-8"))
    except ET.ParseError as error:
        raise ValueError(f"its OME-XML cannot be read: {error}") from None
    comment = ome.find(f".//{{*}}CommentAnnotation[@Namespace='{_OURS}']/{{*}}Value")
    if comment is not None and comment.text:
        found: list[Facts] = json.loads(comment.text)
        return found if len(found) == count else [{}] * count
    planes = ome.findall(".//{*}Plane")
    date = ome.findtext(".//{*}AcquisitionDate")
    if len(planes) != count or not date or not all(_in_order(planes)):
        return [{}] * count
    start = int(np.datetime64(date.strip().removesuffix("Z"), "ns").astype(np.int64))
    return [{} if (after := _after(plane)) is None else {"t_ns": start + after} for plane in planes]


def _in_order(planes: Sequence[ET.Element]) -> list[bool]:
    """Whether planes are listed as the pages lie: with several channels or slices that is not known here."""
    return [
        plane.get("TheT") == str(index) and plane.get("TheC") == plane.get("TheZ") == "0"
        for index, plane in enumerate(planes)
    ]


def _after(plane: ET.Element) -> int | None:
    """DeltaT in ns."""
    unit = _NS.get(plane.get("DeltaTUnit", "s"))
    try:
        return None if unit is None else round(Decimal(plane.get("DeltaT", "")) * unit)
    except (InvalidOperation, OverflowError, ValueError):
        return None
