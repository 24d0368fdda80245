"""What the transfers of one name, taken together, say of a file. Pure.

vsftpd tells the bytes of each transfer alone. A resumed one (REST, APPE) brings what the earlier ones have left, so
that the file is as long as the last ones of its name together; one in ASCII mode stores other bytes than it brings. A
FAIL of no bytes is a refusal that touched no file, unless the file is empty.
"""

from collections.abc import Sequence
from itertools import accumulate

from watcher.uploads.model import ServerVerdict, Transfer

MOST_KEPT = 16
"""The number of a name's transfers that are kept; a file that was resumed more often cannot be compared."""

Transfers = tuple[Transfer, ...]
"""The transfers of one name, the last one last."""


def verdict_on(earlier: Transfers, new: Transfers, size: int, *, must_agree: bool = False) -> ServerVerdict | None:
    """The verdict on a file of a size by its name's transfers; None where the new ones say nothing of it.

    A transfer from before our time counts only where the sizes agree, as another file may have the name by now.

    Args:
        earlier: the transfers that were made use of before.
        new: those that were not.
        size: the file's size now.
        must_agree: whether the sizes must agree in any case, as another file may be logged by the same name.
    """
    telling = _telling(new, size)
    if not telling:
        return None
    last = telling[-1]
    is_of_now = last.is_live and not must_agree
    agrees = last.size is not None and size in _possible_sizes((*_telling(earlier, size), *telling))
    match last.verdict:
        case ServerVerdict.FAILED if agrees:
            return ServerVerdict.FAILED
        case ServerVerdict.OK if agrees or is_of_now:
            return ServerVerdict.OK
        case _:
            return ServerVerdict.UNCLEAR if is_of_now else None


def kept(transfers: Transfers) -> Transfers:
    """The transfers of a name that are kept, which are its last ones."""
    return transfers[-MOST_KEPT:]


def _telling(transfers: Transfers, size: int) -> Transfers:
    return tuple(each for each in transfers if not (_is_refusal(each) and size > 0))


def _is_refusal(transfer: Transfer) -> bool:
    return transfer.verdict is not ServerVerdict.OK and transfer.size == 0


def _possible_sizes(transfers: Sequence[Transfer]) -> set[int]:
    """The sizes of a file that the last of some transfers has ended, whichever of them began it anew."""
    return {*accumulate(each.size or 0 for each in reversed(transfers))}
