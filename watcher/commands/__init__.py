"""The commands of `userdrop`, and what a terminal shows of them.

Nobody imports a command; they may import everything. The door is `cli`.
"""
