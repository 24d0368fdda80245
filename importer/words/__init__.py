"""Every sentence about a file, a row or what is in the way of the service, and the languages that it is told in.

It knows codes and facts only: no file, no table, nobody's address. The doors are `reasons` (codes and facts of files
and rows become sentences), `details` (those of alerts and of failed mails), `outages` (those of a database that cannot
be used) and `translating` (a language's catalogue); the catalogues are locale/*.po.
"""
