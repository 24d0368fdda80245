"""Verdicts become users, an entry of the ledger and notices, in one transaction.

It reads no file of a client and moves none; in bak it looks only whether a name is free. It knows no order of the work:
each module offers verbs within a transaction to who conducts an import (`importer.importing` and what stands beside
it). The doors are `staging` (rows wait in temporary tables, as they are taken out of the judging, which goes on
meanwhile), `conflicting`, `merging`, `adding` (users of a client who has none yet), `recording` (what became of a
file), `ledger` (what is known of a claim), `hashing` (what a feed gave for a user), `repeats` (rows that give the same
again), `runs` (files that can be merged as one), `store` and `turns`.
"""
