"""Tasks a second of a general task system on this machine, on tasks that do nothing.

Starts Ray or Dask with local workers, gives it all tasks at once and waits for all
results, then one task at a time for the time from submission to result. Prints one
JSON line. What the coordinator is compared with.
"""

import argparse
import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

WARM_UP_TASKS = 100
SINGLE_TASKS = 20

RunTasks = Callable[[int], None]


def noop(_: int) -> None:
    """The task."""


@contextmanager
def ray_system(workers: int) -> Iterator[RunTasks]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    task = ray.remote(noop)
    try:
        yield lambda number: ray.get([task.remote(index) for index in range(number)])
    finally:
        ray.shutdown()


@contextmanager
def dask_system(workers: int) -> Iterator[RunTasks]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        # Not pure: else tasks of the same argument would run once.
        yield lambda number: client.gather(client.map(noop, range(number), pure=False))


# Each system with the packages whose versions count.
SYSTEMS = {
    "ray": (ray_system, ["ray"]),
    "dask": (dask_system, ["dask", "distributed"]),
}


def seconds_of(run_tasks: RunTasks, number: int) -> float:
    start = time.perf_counter()
    run_tasks(number)
    return time.perf_counter() - start


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--tasks", type=positive, required=True)
    parser.add_argument("--workers", type=positive, required=True)
    arguments = parser.parse_args()
    start_system, packages = SYSTEMS[arguments.system]
    with start_system(arguments.workers) as run_tasks:
        run_tasks(WARM_UP_TASKS)
        seconds = seconds_of(run_tasks, arguments.tasks)
        singles = [seconds_of(run_tasks, 1) for _ in range(SINGLE_TASKS)]
    answer = {
        "system": arguments.system,
        "versions": {package: version(package) for package in packages},
        "tasks": arguments.tasks,
        "workers": arguments.workers,
        "seconds": seconds,
        "per_second": arguments.tasks / seconds,
        "first_ms": 1000 * statistics.median(singles),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
