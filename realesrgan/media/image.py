"""그림을 읽고 쓰는 공개 이름을 한곳에 모은다."""

from realesrgan.media.bleed import bleed_colour
from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS
from realesrgan.media.image_reader import probe_image, read_image
from realesrgan.media.image_writer import write_image
from realesrgan.media.picture import Frame, ImageInfo, Metadata, Picture, still

__all__ = [
    "DEFAULT_MAX_OUTPUT_PIXELS",
    "Frame",
    "ImageInfo",
    "Metadata",
    "Picture",
    "bleed_colour",
    "probe_image",
    "read_image",
    "still",
    "write_image",
]
