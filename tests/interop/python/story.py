"""What the programs of this directory have in common: the records they write, and what they say of a group.

Every program prints the same lines for the same facts, so one expectation serves all libraries and both brokers.
"""

import time

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
RECORDS = 40
PARTITIONS = 7
EACH = 10
PATIENCE_S = 60
# Recent, or retention takes what was just written.
T0 = int(time.time() * 1000) - 3_600_000


def record(n):
    """Key, value, headers and timestamp of record number n."""
    return f"key {n}".encode(), f"value {n} ".encode() * (1 + n % 9), [("n", str(n).encode())], T0 + n


def spread(assignments):
    """The partitions of each member, members by their smallest partition."""
    numbers = sorted(sorted(partition.partition for partition in assignment) for assignment in assignments)
    return "".join(str(member).replace(" ", "") for member in numbers)


def is_spread(assignments):
    """Whether each partition belongs to one member, and no member has too many."""
    sizes = [len(assignment) for assignment in assignments]
    everything = {partition for assignment in assignments for partition in assignment}
    return len(everything) == sum(sizes) == PARTITIONS and max(sizes) - min(sizes) <= 1


class Patience:
    """Says how long something may still take; far more than it needs."""

    def __init__(self):
        self.until = time.monotonic() + PATIENCE_S

    def lasts(self):
        assert time.monotonic() < self.until, "waited in vain"
        return True
