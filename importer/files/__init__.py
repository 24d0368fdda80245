"""The one room that moves the files that clients drop: it claims, copies, gives back, archives and sets them aside.

It knows nothing of what is in a file, and no database. The doors are `claiming`, `archiving` and `reimporting`;
`attempts` (how often a claim was tried), for whoever looks at a client's directory `anchoring` (paths that no link
leads astray) and `writers` (who writes into a file), `renaming` (a rename that never overwrites), `mending` (modes and
groups of the service's own directories) and `faults` (what failed, and where).
"""
