"""표준 입력을 읽으면서 곁에 적어 둔다. 소리와 자막은 비디오를 다 키운 뒤에 거기서 꺼낸다."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from realesrgan.util.files import remove_abandoned, scratch_beside
from realesrgan.video.workspace import write_errors

# y4m에는 화면밖에 없다. 압축하지 않아 크므로 적어 두지 않는다.
IMAGES_ONLY = b"YUV4MPEG2"
CHUNK = 1 << 20


class InputCopy(io.RawIOBase):
    """한 번만 읽을 수 있는 입력. 읽은 것을 임시 파일에 남긴다. 되감기는 내보이지 않는다.

    Args:
        source: 원래의 입력.
        folder: 임시 파일을 둘 폴더. None이면 적어 두지 않는다.

    Attributes:
        failure: 읽다가 난 예외. 비디오 라이브러리의 부름 속에서 난 예외는 다른 것으로 바뀌므로 따로 둔다.
    """

    def __init__(self, source: BinaryIO, folder: Path | None) -> None:
        super().__init__()
        self._source = source
        self._folder = folder
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._started = folder is None
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        """읽을 수 있다."""
        return True

    def read(self, size: int = -1) -> bytes:
        """최대 `size`바이트를 읽는다. 빈 바이트열이면 끝이다.

        Raises:
            VideoWriteError: 읽은 것을 적어 둘 수 없을 때.
        """
        if self.failure is not None:
            # 라이브러리가 실패한 뒤에도 다시 읽으려 하면, 막힌 입력에서 또 기다리지 않게 끝이라고 한다.
            return b""
        reader = getattr(self._source, "read1", self._source.read)
        try:
            data: bytes = reader(CHUNK if size is None or size < 0 else size)
            if data:
                self._append(data)
        except BaseException as error:
            self.failure = error
            raise
        return data

    def _append(self, data: bytes) -> None:
        with write_errors(f"표준 입력의 소리를 담아 둘 수 없습니다: {self._folder}"):
            if not self._started and self._folder is not None and not data.startswith(IMAGES_ONLY):
                self._folder.mkdir(parents=True, exist_ok=True)
                remove_abandoned(self._folder)
                path = scratch_beside(self._folder / "stdin", ".part")
                self._file, self._path = path.open("xb"), path
            self._started = True
            if self._file is not None:
                self._file.write(data)

    def copied(self, *, to_the_end: bool) -> Path | None:
        """적어 둔 파일. 이미지뿐인 입력이면 None.

        Args:
            to_the_end: 남은 입력까지 마저 읽을지. 마지막 프레임 뒤에도 소리가 남아 있을 수 있다.
        """
        while to_the_end and self.read(CHUNK):
            continue
        if self._file is not None:
            self._file.flush()
        return self._path

    def discard(self) -> None:
        """적어 둔 것을 지운다."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
            self._path = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
