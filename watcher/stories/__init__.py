"""The story of one file, for whoever asks for it by a command or on the page.

It knows what the log, the ledger, the queue of mails and the directories say of a file, changes nothing, and does not
know who asks. The doors are `story` (what happened and how things are, as sentences; pure), `whereabouts` (where the
file lies) and `past` (what is stored of it).
"""
