"""Threads for work that leaves Python's lock alone: decoding, hashing, LiteRT."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def ordered_map(
    work: Callable[[Unit], Result],
    units: Iterable[Unit],
    *,
    jobs: int | None = None,
    done: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """`work` of each unit, in order, on `jobs` threads (default: all cores); `done` is called as results arrive.

    At most two units per thread are in flight, so memory does not grow with their number. The first error ends it.
    """
    jobs = jobs or os.cpu_count() or 1
    results: dict[int, Result] = {}
    running: dict[Future[Result], int] = {}
    numbered = enumerate(units)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while True:
                while len(running) < 2 * jobs and (item := next(numbered, None)) is not None:
                    running[pool.submit(work, item[1])] = item[0]
                if not running:
                    return [results[index] for index in sorted(results)]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(future)
                    results[index] = future.result()
                    done(results[index])
        finally:
            for future in running:
                future.cancel()
