"""Commands that are killed at instants drawn from a seed, and then given again.

``python -m tests.kills --kills 200 --seed 0`` from the repository's root. Each command that writes
(`scenarios`) runs once undisturbed. Then it is killed by SIGKILL, at a fraction of its time or just
before one of the files that it opens, renames or removes (`zygote` starts it and counts). No worker
may outlive it by more than five seconds, a reader that asks its catalog all the time may never fail
(`reader`), and when it is given again the folder must be the undisturbed one, byte for byte
(`trees`).
"""
