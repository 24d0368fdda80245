"""The bytes of a user file become blocks of rows, and every record and line is accounted for.

It knows no rule about a value, no table and no claim. The first door is `user_file` (`open_user_file`, `UserFile`,
`Block`, `Reject`, `Limits`). Who needs a part of it only comes in by `dialect` (how a file is written), `transcoding`
(its encoding and compression), `parsing` (blocks), `utf8` (arrays of bytes) or `grammar`; `guarding` and
`whole_records` are for those who read or write a report record by record, and `self_test` for those who are about to
trust an interpreter with files.
"""
