"""Who else is writing into a file, by its locks. Nothing here ever holds a lock: that would make the sender wait."""

import fcntl
import struct

_F_OFD_GETLK = 36
_FLOCK = "@hhqqi4x"
"""struct flock on 64-bit Linux: type, whence, start, length, pid."""


def is_being_written(descriptor: int) -> bool:
    """Whether another process holds a write lock on the open file, as vsftpd does during an upload.

    Source: vsftpd.conf(5) `lock_upload_files`; fcntl(2) "Open file description locks". Works across PID namespaces.

    Raises:
        OSError: the file system knows no locks.
    """
    question = struct.pack(_FLOCK, fcntl.F_RDLCK, 0, 0, 0, 0)
    answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, _F_OFD_GETLK, question))
    return bool(answer[0] != fcntl.F_UNLCK)
