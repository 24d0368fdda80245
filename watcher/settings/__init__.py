"""The one room that reads the environment: variables become settings, and settings name the format.

It knows no upload and no task; everybody else receives plain values. The doors are `variables` (the settings and what
they mean), `client_settings` (a client's own), `naming` (what variables are called), `configuration` (settings with
their format), `check_settings` (those of `userdrop check`) and `privacy` (what the service keeps for itself).
"""
