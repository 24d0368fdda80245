"""Who else is writing into a file, by its locks. Nothing here ever holds a lock: that would make the sender wait."""

import errno
import fcntl
import struct

_F_OFD_GETLK = 36
_NO_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_FLOCK = "@hhqqi4x"
"""struct flock on 64-bit Linux: type, whence, start, length, pid."""


def is_being_written(descriptor: int) -> bool | None:
    """Whether another process holds a write lock on the open file, as vsftpd does during an upload.

    None where the file system knows no locks.

    Source: vsftpd.conf(5) `lock_upload_files`; fcntl(2) "Open file description locks". Works across PID namespaces.

    Raises:
        OSError: the descriptor is none.
    """
    question = struct.pack(_FLOCK, fcntl.F_RDLCK, 0, 0, 0, 0)
    try:
        answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, _F_OFD_GETLK, question))
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return bool(answer[0] != fcntl.F_UNLCK)
