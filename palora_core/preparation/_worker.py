"""Makes shards; ``python -m palora_core.preparation._worker`` is one of several processes.

Input: a pickle of (folder, parts, tasks) from the process that started it. It reports [[part, shard], record] for every
shard, or the sentences about its bad items in the record's place.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from palora_core.children import ChildError, messages_of, report
from palora_core.errors import UserError
from palora_core.preparation._shards import Part, make_shard

Task = tuple[int, int, str]  # part, shard, fingerprint
Made = tuple[tuple[int, int], Any]


def make_shards(folder: Path, parts: Sequence[Part], tasks: Sequence[Task]) -> Iterator[Made]:
    """((part, shard), its record or its problems), one after the other, in this process."""
    for part, shard, fingerprint in tasks:
        yield (part, shard), make_shard(folder, parts[part], shard, fingerprint)


def make_in_processes(folder: Path, parts: Sequence[Part], tasks: Sequence[Task], workers: int) -> Iterator[Made]:
    """The same from ``workers`` child processes, as they are finished.

    Raises:
        UserError: a child ended before its work was done.
    """
    about = Path(folder).resolve(), list(parts)
    jobs = [pickle.dumps((*about, tasks[number::workers])) for number in range(workers)]
    try:
        for place, record in messages_of("palora_core.preparation._worker", jobs):
            yield tuple(place), record
    except ChildError as error:
        raise UserError(
            f"A worker for {folder} ended before its time ({error}); what is finished is kept: run the command again, "
            "with fewer --workers if memory is short."
        ) from None


if __name__ == "__main__":
    # Our own parent wrote it; nothing from elsewhere is ever unpickled.
    sys.exit(report(make_shards(*pickle.load(sys.stdin.buffer))))
