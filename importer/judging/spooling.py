"""Frames that wait on disk, so that memory does not grow with the rows of a file; those of small files in memory."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import polars as pl


class Spool:
    """A spool of frames in the order in which they were appended, in one file of Arrow streams.

    Args:
        path: a file that does not exist yet; whoever owns its directory removes it. None keeps the frames in memory.
        compression: lz4 is the faster, zstd the smaller: half as large where short rows have long reasons.
    """

    def __init__(self, path: Path | None, compression: Literal["lz4", "zstd"] = "lz4") -> None:
        self._compression = compression
        self._file: BinaryIO = io.BytesIO() if path is None else path.open("x+b")
        self._sizes: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, frame: pl.DataFrame) -> None:
        """Add a frame at the end of the spool.

        Raises:
            OSError: the disk is full or broken.
        """
        stream = io.BytesIO()
        frame.write_ipc_stream(stream, compression=self._compression)
        self._file.seek(0, io.SEEK_END)
        self._sizes.append(self._file.write(stream.getbuffer()))

    def clear(self) -> None:
        """Remove all frames."""
        self._file.seek(0)
        self._file.truncate()
        self._sizes.clear()

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield every frame, from the first; this may be called again and again."""
        offset = 0
        for size in self._sizes:
            self._file.seek(offset)
            yield pl.read_ipc_stream(io.BytesIO(self._file.read(size)))
            offset += size
