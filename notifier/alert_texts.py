"""What each kind of alert means, what is not done meanwhile and what to do: every such sentence in one place."""

from notifier.model import AlertKind, AlertText, Severity

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
        names_files=True,
    ),
    AlertKind.UPLOAD_DIRECTORY: AlertText(
        severity=Severity.ERROR,
        title="an upload directory cannot be used",
        means="The directory is missing, is not a directory, or the service may not read it or not write to it.",
        meanwhile="Nothing of this client is imported; other clients are not affected.",
        cure="Restore the directory: its owner is the service's user, its group is the FTP users' group, its mode is"
        " 3770 (setgid and sticky). The service's user must be a member of the FTP users' group. A link to such a"
        " directory is no fault.",
        command="userdrop doctor",
    ),
    AlertKind.ARCHIVE: AlertText(
        severity=Severity.ERROR,
        title="files cannot be moved to bak",
        means="The folder bak is full, read-only, a link, or was made by somebody else.",
        meanwhile="Files are imported and mails are sent; the imported files wait in the work directory to be moved.",
        cure="Make room, or remove or rename a bak that is not owned by the service; the service makes its own.",
        command="userdrop doctor",
    ),
    AlertKind.DISK_FULL: AlertText(
        severity=Severity.CRITICAL,
        title="the disk is full, or cannot be written",
        means="There is no room to work, or files cannot be made, renamed or read; the detail says what failed.",
        meanwhile="Imports pause and nothing is lost. The FTP server may refuse uploads by itself.",
        cure="Make room, or mend what the detail names; the import goes on by itself.",
        command="df -h",
    ),
    AlertKind.ODD_FILE: AlertText(
        severity=Severity.WARNING,
        title="something in an upload directory is not an import file",
        means="It does not end in .csv, .txt or .csv.gz, or it is not a plain file.",
        meanwhile="It is left alone: neither imported nor moved nor deleted.",
        cure="Ask the sender whether it should have been a CSV, or remove it.",
        resolves="It ends when it is gone.",
        names_files=True,
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
    AlertKind.SERVER_LOG: AlertText(
        severity=Severity.WARNING,
        title="vsftpd's log does not fit an upload directory",
        means="The log tells of uploads under paths that do not lead into the directory, though the files lie there.",
        meanwhile="Uploads wait the long quiet time, and one that was cut off is not known to be.",
        cure="Set USERDROP_VSFTPD_LOG_ROOT to the directory that sessions of the FTP server see as /, and restart the"
        " service.",
        resolves="It ends with the first upload that the log tells of under a path into the directory.",
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
        means="There is little room left where files are imported, archived or stored; the detail says where.",
        meanwhile="Everything works as yet. When the disk is full, imports pause and the FTP server refuses uploads.",
        cure="Make room, or lower USERDROP_MIN_FREE_MB if that much room is enough.",
        resolves="It ends when there is room again, a tenth more than the limit.",
        command="df -h",
    ),
    AlertKind.TEMPLATE: AlertText(
        severity=Severity.WARNING,
        title="a template of the site's own cannot be used",
        means="A template in USERDROP_TEMPLATE_DIR fails; the detail names it.",
        meanwhile="Letters are written with the built-in template instead.",
        cure="Mend the template, or remove it.",
        resolves="It ends when a letter has been written with it.",
        command="userdrop settings",
    ),
}
