#!/usr/bin/env python3
"""Writes the pictures of this folder anew, with libheif's and ffmpeg's own programs.

Needs ffmpeg, heif-enc (Debian: libheif-examples, 1.15) and PyPI's pillow-heif 1.8 (libheif 1.23),
which writes the property `irot`, as phones do; heif-enc 1.15 leaves the Exif tag alone.

photo.jpg    96 x 64, Exif orientation 6 (shown as 64 x 96), 4.2 mm, 26 mm on full frame
tagged.heic  the same; turned by the Exif tag alone
tagged.avif  the same
turned.heic  the same; `irot` and the Exif tag both say how it is turned, once
second.heic  two pictures, gray and then photo.jpg, which is the main one
"""

import struct
import subprocess
import sys

import PIL.Image
import pillow_heif

SHORT, LONG, RATIONAL = 3, 4, 5


def field(tag, kind, value):
    return struct.pack(">HHI", tag, kind, 1) + value


def exif(orientation):
    """A directory with the orientation and one with the lens."""
    lens_at, millimetres_at = 8 + 2 + 2 * 12 + 4, 8 + 2 * (2 + 2 * 12 + 4)
    main = field(0x0112, SHORT, struct.pack(">HH", orientation, 0))
    main += field(0x8769, LONG, struct.pack(">I", lens_at))
    lens = field(0x920A, RATIONAL, struct.pack(">I", millimetres_at))
    lens += field(0xA405, SHORT, struct.pack(">HH", 26, 0))
    directories = [struct.pack(">H", 2) + each + struct.pack(">I", 0) for each in (main, lens)]
    head = b"MM\0*" + struct.pack(">I", 8)
    return b"Exif\0\0" + head + b"".join(directories) + struct.pack(">II", 42, 10)


def main():
    print(pillow_heif.__version__, pillow_heif.libheif_info()["libheif"], file=sys.stderr)
    source = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=1:duration=1", "-frames:v", "1"]
    command = ["ffmpeg", "-v", "error", *source, "-q:v", "2", "-f", "mjpeg", "pipe:1"]
    plain = subprocess.run(command, check=True, capture_output=True).stdout
    block = exif(6)
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    with open("photo.jpg", "wb") as file:
        file.write(plain[:2] + segment + plain[2:])
    for name in ("tagged.heic", "tagged.avif"):
        subprocess.run(["heif-enc", "-q", "90", "photo.jpg", "-o", name], check=True)
    pillow_heif.register_heif_opener()
    photo = PIL.Image.open("photo.jpg")
    photo.save("turned.heic", quality=90, exif=photo.info["exif"])
    gray = PIL.Image.new("RGB", (48, 48), (128, 128, 128))
    gray.save(
        "second.heic",
        quality=90,
        save_all=True,
        append_images=[photo],
        primary_index=1,
        exif=photo.info["exif"],
    )


main()
