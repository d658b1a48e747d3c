from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.sbatch import SubmitOptions, resources
from goldcrest.sbatch.resources import UNLIMITED_MINUTES, array_elements, gpu_count, mebibytes, minutes

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90", 90),
        ("90:00", 90),
        ("90:01", 91),
        ("1:30:00", 90),
        ("1-0", 1440),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("1-12:30:01", 2191),
        ("0:59", 1),
        # sbatch(1): "A time limit of zero requests that no time limit be imposed."
        ("0", UNLIMITED_MINUTES),
        ("00:00", UNLIMITED_MINUTES),
        ("0-0", UNLIMITED_MINUTES),
        ("UNLIMITED", UNLIMITED_MINUTES),
        ("infinite", UNLIMITED_MINUTES),
        ("-1", UNLIMITED_MINUTES),
        ("99999999999", UNLIMITED_MINUTES),
        ("", None),
        ("soon", None),
        ("1:2:3:4", None),
        ("1-2:3:4:5", None),
        ("1:", None),
        ("1-", None),
        ("-5", None),
        ("1 ", None),
        ("\u0661", None),
    ],
)
def test_time_limits(text: str, value: int | None) -> None:
    """All forms of --time in minutes, rounded up; zero is no limit."""
    assert minutes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("4000", 4000), ("4000M", 4000), ("4G", 4096), ("4gb", 4096), ("1T", 1024**2), ("1025K", 2), ("1k", 1)),
        *(("0", None), ("0G", None), ("4.5G", None), ("", None), ("4P", None), ("-4", None)),
    ],
)
def test_memory(text: str, value: int | None) -> None:
    """MiB unless a unit says else; 0 means all memory of the node, which is not known."""
    assert mebibytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("7", 1), ("0-15", 16), ("0-15:4", 4), ("1-3,7,9-10%2", 6), ("0-4000000000", 4_000_000_001)),
        *(("5-1", None), ("0-9:0", None), ("a", None), ("", None), ("1,,2", None), ("1-2-3", None)),
    ],
)
def test_arrays(text: str, value: int | None) -> None:
    """How many elements; how many run at once does not matter."""
    assert array_elements(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", 4), ("a100:4", 4), ("a100:2,v100:1", 3), ("0", 0), ("1k", 1024), ("a100", None), ("", None), ("x=2", None)],
)
def test_gpus(text: str, value: int | None) -> None:
    """Of one type or of several."""
    assert gpu_count(text) == value


def of(**options: Any) -> dict[str, int]:
    return resources(SubmitOptions.load(options))


def test_slurms_own_defaults() -> None:
    """A job that says nothing is one task with one CPU on one node; its memory and time are the site's."""
    assert of() == {"nodes": 1, "tasks": 1, "cpus": 1, "gpus": 0, "arrayTasks": 1}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"nodes": "2-4"}, {"nodes": 4, "tasks": 4, "cpus": 4}),
        ({"nodes": "4-2"}, {"nodes": 4}),
        ({"nodes": "1k"}, {"nodes": 1024}),
        ({"nodes": "4", "tasks": 1}, {"tasks": 1, "cpus": 4}),  # each node gives at least one CPU
        ({"nodes": "2", "tasksPerNode": 8, "cpusPerTask": 2}, {"tasks": 16, "cpus": 32}),
        ({"tasks": 128}, {"nodes": 128, "cpus": 128}),
        ({"nodes": "2", "minCpus": 64}, {"cpus": 128}),
        ({"nodes": "2", "memory": "4G"}, {"memoryMiB": 8192}),
        ({"tasks": 4, "cpusPerTask": 2, "memoryPerCpu": "1000"}, {"memoryMiB": 8000}),
        ({"gpus": "a100:8"}, {"gpus": 8, "nodes": 8}),
        ({"gpus": "8", "tasksPerGpu": 2, "cpusPerGpu": 16, "memoryPerGpu": "1G"},
         {"tasks": 16, "cpus": 128, "memoryMiB": 8192}),
        ({"nodes": "2", "gpusPerNode": "4"}, {"gpus": 8}),
        ({"tasks": 4, "gpusPerTask": "h100:2"}, {"gpus": 8}),
        ({"nodes": "2", "gres": "gpu:a100:4(S:0-1),shard:2"}, {"gpus": 8}),
        ({"nodes": "2", "gres": "gpu"}, {"gpus": 2}),
        ({"nodes": "2", "gres": "gres/gpu:3"}, {"gpus": 6}),
        ({"gres": "gpu:1g.5gb:3"}, {"gpus": 3}),
        ({"gres": "gpu:1g.5gb"}, {"gpus": 1}),
        ({"gres": "craynetwork:4"}, {"gpus": 0}),
        ({"exclusive": "user"}, {"cpus": 1, "gpus": 0}),
        ({"timeLimit": "1-0", "array": "0-9"}, {"minutes": 1440, "arrayTasks": 10}),
    ],
)  # fmt: skip
def test_what_a_job_asks_for(options: dict[str, Any], found: dict[str, int]) -> None:
    """In whatever way it says it."""
    assert {name: value for name, value in of(**options).items() if name in found} == found


@pytest.mark.parametrize(
    ("options", "unknown"),
    [
        ({"nodelist": "n[1-9]"}, {"nodes", "tasks", "cpus"}),
        ({"nodes": "1,3-5"}, {"nodes", "tasks", "cpus"}),
        ({"nodes": "1", "exclusive": "true"}, {"cpus", "gpus"}),
        ({"nodes": "1", "exclusive": "topo"}, {"cpus", "gpus"}),
        ({"nodes": "1", "coreSpec": 0}, {"cpus", "gpus"}),
        ({"nodes": "1", "tresPerTask": "gres/gpu:8"}, {"cpus", "gpus"}),
        ({"nodes": "1", "gpusPerSocket": "4"}, {"gpus"}),
        ({"nodes": "1", "gpus": "many"}, {"gpus"}),
        ({"nodes": "1", "gres": "gpu:a:b:c"}, {"gpus"}),
        ({"nodes": "1", "memory": "0"}, {"memoryMiB"}),
        ({"exclusive": "true", "memoryPerCpu": "1G"}, {"memoryMiB"}),
        ({"timeLimit": "soon"}, {"minutes"}),
        ({"array": "x"}, {"arrayTasks"}),
        ({"tasksPerGpu": 2}, {"tasks", "cpus"}),
    ],
)
def test_what_cannot_be_known(options: dict[str, Any], unknown: set[str]) -> None:
    """Is left out, so that a limit on it refuses."""
    assert unknown.isdisjoint(of(**options))


@given(text=st.text(alphabet="0123456789-:,%kKmMgGtTbB/()=.gpu", max_size=24))
def test_whatever_is_written(text: str) -> None:
    """It is a number that JSON keeps exactly, or not known; nothing else happens."""
    if not text:
        return
    options = {"nodes": text, "memory": text, "gpus": text, "gres": text, "timeLimit": text, "array": text}
    assert all(0 <= value < 2**53 for value in of(**options).values())
