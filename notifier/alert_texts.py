"""What each kind of alert means, what is not done meanwhile and what to do: every such sentence in one place."""

from collections.abc import Mapping
from dataclasses import replace
from shlex import quote

from importer.model import Detail
from notifier.model import AlertCause, AlertKind, AlertText, Severity

ALERT_TEXTS: dict[AlertKind, AlertText] = {
    AlertKind.DATABASE: AlertText(
        severity=Severity.CRITICAL,
        title="the database cannot be used",
        means="The database does not answer, is locked, full or damaged.",
        meanwhile="No file is imported. Dropped files stay where they are and none is lost.",
        cure="Check that the database is running and can be reached and written to with the configured settings.",
        command="userdrop doctor",
    ),
    AlertKind.SMTP: AlertText(
        severity=Severity.CRITICAL,
        title="mail cannot be sent",
        means="The mail server cannot be reached, or it refuses our settings (certificate, login or sender).",
        meanwhile="Files are imported as usual. All mails wait in the queue, for five days at least.",
        cure="Check the mail server and the USERDROP_SMTP_* settings; the detail above is the server's last word.",
        resolves="It ends when the mail server takes a mail again; this mail is the proof.",
        command="userdrop doctor",
    ),
    AlertKind.SMTP_REFUSES: AlertText(
        severity=Severity.CRITICAL,
        title="the mail server refuses mails",
        means="The mail server takes our login and refuses mails: for their sender, for want of the right to relay to"
        " their recipients, for a quota, or for a reason that its answer leaves open.",
        meanwhile="Files are imported as usual. The refused mails, and those that are like them, wait in the queue for"
        " five days at least, and are tried again and again. Other mails go out.",
        cure="Do what the server's answer in the detail asks for: let this login send as the address of"
        " USERDROP_REPLY_TO_ADMIN_EMAIL (or the client's own) and relay to other domains, or wait until the quota is"
        " free again. A recipient that alone is refused ends its mail, and you are told of that.",
        resolves="It ends when the server takes such a mail; then all that wait are sent at once.",
        command="userdrop mail list",
    ),
    AlertKind.WATCH: AlertText(
        severity=Severity.ERROR,
        title="a directory cannot be watched",
        means="The kernel does not tell us about new files in the directory.",
        meanwhile="New files are found by looking into the directory every few seconds; nothing is lost. A new watch is"
        " tried again and again.",
        cure="Check what the detail names; if the kernel's limit is reached, raise fs.inotify.max_user_watches,"
        " fs.inotify.max_user_instances or fs.inotify.max_queued_events with sysctl.",
        command="userdrop doctor",
    ),
    AlertKind.UNREADABLE_FILE: AlertText(
        severity=Severity.ERROR,
        title="an uploaded file cannot be read",
        means="The FTP server writes files that the service may not read.",
        meanwhile="These files are not imported. They stay where they are.",
        cure="vsftpd's default is local_umask=077, which keeps everybody else out. Set local_umask=027 (for anonymous"
        " or virtual users anon_umask=027) in vsftpd.conf, restart vsftpd, make the service a member of the FTP group,"
        " and run chmod g+r on the files that are there already.",
        command="userdrop doctor",
    ),
    AlertKind.UPLOAD_DIRECTORY: AlertText(
        severity=Severity.ERROR,
        title="an upload directory cannot be used",
        means="The directory is missing, is not a directory, or the service may not read it or not write to it.",
        meanwhile="Nothing of this client is imported; other clients are not affected.",
        cure="Restore the directory: its owner is the service's user, its group is the FTP users' group, its mode is"
        " 3770 (setgid and sticky). The service's user must be a member of the FTP users' group. A link to such a"
        " directory is no fault. Of several clients each has a folder that `userdrop client add NAME` makes or puts"
        " right.",
        command="userdrop doctor",
    ),
    AlertKind.ARCHIVE: AlertText(
        severity=Severity.ERROR,
        title="files cannot be moved to bak",
        means="Files cannot be made or renamed in the folder bak; the detail says what failed.",
        meanwhile="Files are imported and mails are sent; the imported files wait in the work directory to be moved.",
        cure="Mend what the detail names; the files are moved by themselves then. Leave .importing alone, where they"
        " lie meanwhile.",
        command="userdrop doctor",
    ),
    AlertKind.DISK_FULL: AlertText(
        severity=Severity.CRITICAL,
        title="there is no room on a disk",
        means="Bytes, inodes or a quota are used up where files are imported; the detail says which, and where.",
        meanwhile="Imports pause and nothing is lost. The FTP server may refuse uploads by itself.",
        cure="Make room; the import goes on by itself. Leave .importing and files that wait for their import alone.",
        command="df -h",
    ),
    AlertKind.DISK: AlertText(
        severity=Severity.CRITICAL,
        title="a disk or a directory cannot be used",
        means="Files cannot be made, renamed or read where they are imported; the detail says what failed.",
        meanwhile="Imports pause and nothing is lost. Other clients are affected only if theirs is the same disk.",
        cure="Mend what the detail names; the import goes on by itself. Leave .importing and files that wait for their"
        " import alone.",
        command="userdrop doctor",
    ),
    AlertKind.ODD_FILE: AlertText(
        severity=Severity.WARNING,
        title="something in an upload directory is not an import file",
        means="It does not end in .csv, .txt or .csv.gz, lies in a folder, or is not a plain file with one name.",
        meanwhile="It is left alone: neither imported nor moved nor deleted.",
        cure="Ask the sender whether it should have been a CSV, and to drop it again as one. A file with a second name"
        " (a hard link) is imported once the other name, as in a snapshot or a copy by cp -l, is gone.",
        resolves="It ends when nothing of that kind lies there any more.",
        repeated=False,
    ),
    AlertKind.CLIENT_FOLDERS: AlertText(
        severity=Severity.WARNING,
        title="folders of clients and their settings do not fit together",
        means="A folder cannot be a client, or settings of a client cannot be told to belong to one folder.",
        meanwhile="What cannot be a client is not served. A client whose settings are in doubt has the common ones, so"
        " its mails go to the common addresses.",
        cure="Rename the folder or the variable: its key is the folder's name in capitals, with everything but letters"
        " and digits as _. A setting may also be there before its folder.",
        resolves="It ends when nothing is in doubt any more.",
        command="userdrop settings",
        repeated=False,
    ),
    AlertKind.CLIENT_WORK: AlertText(
        severity=Severity.ERROR,
        title="a client has too much in work",
        means="What the client's files take on disk while they are imported, with what outages have left of them,"
        " leaves too little of USERDROP_CLIENT_MAX_MB for more.",
        meanwhile="Further files of the client wait where they are and none is lost; other clients are not affected.",
        cure="End what keeps files in work, as another alert tells, like a bak that cannot be written; or raise"
        " USERDROP_CLIENT_MAX_MB, if the disk has room.",
        resolves="It ends when none of the client's files waits for room any more.",
        command="userdrop status",
    ),
    AlertKind.STUCK_FILES: AlertText(
        severity=Severity.WARNING,
        title="files wait, and nothing will be done with them",
        means="They have lain unchanged for more than an hour: the upload was cut off, or did not end as far as is"
        " known, or the file still has a name under which clients write.",
        meanwhile="They stay where they are, and are not imported. Who sent an upload that was cut off has a mail.",
        cure="Ask the sender to drop the file again, or to rename it where it is known to be whole; `userdrop why FILE`"
        " tells what is known of one.",
        resolves="It ends when none of them is left as it was.",
        command="userdrop status",
        repeated=False,
    ),
    AlertKind.SERVER_LOG: AlertText(
        severity=Severity.WARNING,
        title="vsftpd's log does not tell of the uploads",
        means="The log cannot be read, tells of no upload, or tells of uploads under paths that do not lead into the"
        " directory, though the files lie there.",
        meanwhile="Uploads wait the long quiet time, and one that was cut off is not known to be.",
        cure="Let the service read the log, also after it is rotated; set xferlog_enable=YES and dual_log_enable=YES in"
        " vsftpd.conf, or xferlog_std_format=NO; set USERDROP_VSFTPD_LOG_ROOT to the directory that sessions of the FTP"
        " server see as /, and restart the service.",
        resolves="It ends with the first upload that the log tells of under a path into the directory.",
        command="userdrop doctor",
        repeated=False,
    ),
    AlertKind.WORKER: AlertText(
        severity=Severity.CRITICAL,
        title="the importing process keeps ending",
        means="The process that reads files ended unexpectedly several times, perhaps for lack of memory.",
        meanwhile="A file that ends it three times is set aside; the others are imported more slowly.",
        cure="Look into the log for worker events; check the memory of the machine and the limits of the unit.",
        resolves="It ends after the next import that succeeds.",
    ),
    AlertKind.LOW_DISK: AlertText(
        severity=Severity.WARNING,
        title="a disk is getting full",
        means="There is little room, or there are few inodes, left where files are imported, archived or stored; the"
        " detail says where.",
        meanwhile="Everything works as yet. When the disk is full, imports pause and the FTP server refuses uploads.",
        cure="Make room, or lower USERDROP_MIN_FREE_MB if that much room is enough. Of inodes, which `df -i` shows,"
        " each file takes one: find the directory with very many files (du --inodes) and move some to another disk.",
        resolves="It ends when there is room again, a tenth more than the limit.",
        command="df -h",
    ),
    AlertKind.REPORT: AlertText(
        severity=Severity.ERROR,
        title="mails wait for a report that cannot be read",
        means="The report that a mail is to bring cannot be read, and nothing proves that it is gone: its directory is"
        " out.",
        meanwhile="These mails wait, for a day at most; then they go out, say so, and name the report in bak.",
        cure="Mount or mend the directory that the detail names; the service must be able to read it.",
        resolves="It ends when no mail waits for a report any more.",
        command="userdrop mail list",
    ),
    AlertKind.TEMPLATE: AlertText(
        severity=Severity.WARNING,
        title="a template of the site's own cannot be used",
        means="A template in USERDROP_TEMPLATE_DIR fails; the detail names it.",
        meanwhile="Letters are written with the built-in template instead.",
        cure="Mend the template, or take it out of that directory.",
        resolves="It ends when a letter has been written with it.",
        command="userdrop settings",
    ),
}

CAUSES: Mapping[str, AlertCause] = {
    "ENOSPC": AlertCause(
        title="the disk is full",
        means="No byte is left for the service on the file system of the directory that the detail names.",
        cure="Make room there, or move what is old in bak to another disk; USERDROP_BAK_DAYS has the service clear it."
        " Leave .importing and files that wait for their import alone.",
        command="df -h",
    ),
    "no_inodes": AlertCause(
        title="the disk has no inodes left",
        means="The file system of the directory that the detail names can hold no more files, though it may have"
        " bytes to spare.",
        cure="Find the directory with very many files (du --inodes), and move some to another disk, as what is old in"
        " bak. Leave .importing and files that wait for their import alone.",
        command="df -i",
    ),
    "EDQUOT": AlertCause(
        title="a disk quota is used up",
        means="The quota of the service's user or of the FTP users' group is used up on the file system of the"
        " directory that the detail names; the disk may have room.",
        cure="Have the quota raised (`repquota -s` shows all of a file system), or move what is old in bak to another"
        " disk. Leave .importing and files that wait for their import alone.",
        command="findmnt --target",
    ),
    "EROFS": AlertCause(
        title="a directory is read-only",
        means="The service may read the directory that the detail names, and write nothing there: its file system is"
        " mounted read-only, or the unit's ProtectSystem= does not let the service write there.",
        cure="Where root can make a file there, it is the unit: let `deploy/install --upload-dir` write the"
        " directory to ReadWritePaths= in a drop-in, which starts the service anew. Where root cannot, look into"
        " dmesg for faults of the disk, and mount it read-write again: mount -o remount,rw.",
        command="findmnt --target",
    ),
    "EACCES": AlertCause(
        title="the service has no right to a directory",
        means="The owner, the mode or an access control list of the directory that the detail names, or of one on the"
        " way to it, keeps the service out.",
        cure="Let the service's user in; the doctor says by which command. Where rights are as they should be, a"
        " security module such as AppArmor or SELinux may forbid it: see its log.",
        command="namei -l",
    ),
    "not_ours": AlertCause(
        title="a directory of the service was made by somebody else",
        means="A name that the service needs for itself (bak, .importing or .quarantine) is a link or a file, belongs"
        " to another user, or has in it what the service has not put there.",
        cure="Do not delete it, as files of a client may lie in it. Where its owner was changed by mistake, as by"
        " chown -R, give it back with all that is in it: chown -R to the service's user. Else rename it with mv; the"
        " service makes its own, and files that lie in the old one can be dropped again.",
        command="ls -la",
    ),
    "ENOTDIR": AlertCause(
        title="something else is in the place of a directory",
        means="On the way to the directory that the detail names something is a file or a link that leads nowhere.",
        cure="Rename what is in the way with mv, as it may be a file of a client, and put the directory back; or set"
        " USERDROP_UPLOAD_DIR to where the FTP server writes.",
        command="namei -l",
    ),
    "ENOENT": AlertCause(
        title="a directory is missing",
        means="The directory that the detail names, or something in it that the service has put there, is not there.",
        cure="Mount what should be mounted there, or restore it. A directory for uploads is made by deploy/install,"
        " of several clients by deploy/client.",
        command="namei -l",
    ),
    "EIO": AlertCause(
        title="a disk fails",
        means="The disk, or the file server, of the directory that the detail names has failed to read or to write.",
        cure="Look into dmesg for what has failed; mount the file system again, or replace the disk and restore the"
        " backup.",
        command="findmnt --target",
    ),
}
"""Code of a detail → what the administrator reads where an alert has that detail."""

_AS = {"EPERM": "EACCES", "ELOOP": "ENOTDIR", "ESTALE": "EIO", "copy_differs": "EIO"}
"""Codes that mean the same to the administrator as others."""
_FULL = {"ENOSPC", "no_inodes", "EDQUOT"}
_OF_DISKS = {AlertKind.DISK, AlertKind.DISK_FULL}
_OF_DIRECTORIES = {*_OF_DISKS, AlertKind.ARCHIVE, AlertKind.UPLOAD_DIRECTORY}


def text_of(kind: AlertKind, detail: Detail | str) -> AlertText:
    """What the administrator reads about an alert: where its detail has a cause of its own, with the words for that."""
    text = ALERT_TEXTS[kind]
    code, where = _fault(detail)
    if kind not in _OF_DIRECTORIES or code not in CAUSES:
        return text
    cause = CAUSES[code]
    return replace(
        text,
        title=cause.title if kind in _OF_DISKS else text.title,
        means=cause.means,
        cure=cause.cure,
        command=f"{cause.command} {quote(where)}" if where else cause.command,
    )


def is_full(detail: Detail | str) -> bool:
    """Whether a detail says that bytes, inodes or a quota are used up."""
    return _fault(detail)[0] in _FULL


def _fault(detail: Detail | str) -> tuple[str, str]:
    """The code of what failed, and the directory in which it did; empty where they are unknown."""
    where, inner = "", detail
    while isinstance(inner, Detail) and (why := dict(inner.facts).get("why")):
        where = str(dict(inner.facts).get("where", where))
        inner = why
    code = inner.code if isinstance(inner, Detail) else ""
    return _AS.get(code, code), where
