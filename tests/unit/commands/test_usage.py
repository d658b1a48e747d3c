"""What accounting says of the use of jobs."""

from __future__ import annotations

import pytest

from goldcrest.commands.usage import UsageRecord, byte_size, cpu_time, parse_usage

pytestmark = pytest.mark.unit


def rows(*lines: tuple[str, ...]) -> str:
    return "".join("\x1f".join(line) + "\n" for line in lines)


def test_a_job_with_steps() -> None:
    """Time is the job's own, memory the most of any step."""
    text = rows(
        ("12", "alice", "COMPLETED", "1795464067", "90", "01:30.500", ""),
        ("12.batch", "", "COMPLETED", "1795464067", "90", "00:30.250", "1204K"),
        ("12.0", "", "COMPLETED", "1795464060", "60", "01:00.250", "3145728K"),
    )
    assert parse_usage(text) == {
        "12": UsageRecord(
            job_id="12", user="alice", ended=True, elapsed=90, cpu_seconds=90, max_rss_bytes=3145728 * 1024
        )
    }


def test_an_array_and_one_that_runs() -> None:
    """Elements are added up; while one of them has no end the whole has none."""
    ended = ("7_1", "bob", "COMPLETED", "1795464067", "10", "00:04.000", "")
    memory = ("7_2.batch", "", "COMPLETED", "1795464067", "20", "00:03.000", "8M")
    last = ("7_2", "bob", "FAILED", "1795464069", "20", "00:03.000", "")
    assert parse_usage(rows(ended, last, memory))["7"] == UsageRecord(
        job_id="7", user="bob", ended=True, elapsed=20, cpu_seconds=7, max_rss_bytes=8 * 2**20
    )
    assert not parse_usage(rows(ended, ("7_[3-9]", "bob", "PENDING", "Unknown", "0", "00:00:00", "")))["7"].ended


def test_what_is_no_row_is_passed_over() -> None:
    """Warnings of sacct, empty answers, rows of another format."""
    assert parse_usage("sacct: warning\n\n12|alice|COMPLETED\n") == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:01.500", 1.5), ("1-02:03:04", 93784.0), ("02:03:04", 7384.0), ("00:00:00", 0.0), ("", None), ("x", None)],
)
def test_cpu_time(text: str, seconds: float | None) -> None:
    """sacct(1), TotalCPU."""
    assert cpu_time(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("12K", 12288), ("1.50M", 1572864), ("2G", 2**31), ("", None)])
def test_byte_size(text: str, size: int | None) -> None:
    """sacct(1), MaxRSS, with and without --noconvert."""
    assert byte_size(text) == size
