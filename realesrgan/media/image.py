"""이미지를 읽고 쓰는 공개 이름을 한곳에 모은다."""

from realesrgan.media.formats import DEFAULT_MAX_OUTPUT_PIXELS
from realesrgan.media.picture import Frame, ImageInfo, Metadata, Picture, fill_transparent_colour, still
from realesrgan.media.reader import looks_like_picture, probe_image, read_image
from realesrgan.media.writer import write_image

__all__ = [
    "DEFAULT_MAX_OUTPUT_PIXELS",
    "Frame",
    "ImageInfo",
    "Metadata",
    "Picture",
    "fill_transparent_colour",
    "looks_like_picture",
    "probe_image",
    "read_image",
    "still",
    "write_image",
]
