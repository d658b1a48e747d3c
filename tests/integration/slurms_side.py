"""What Slurm itself says on the bed, asked on its node, and times as it writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bed import Bed


def local_time(*, days: float = 0, hours: float = 0) -> str:
    """That long from now, as the contract's times and Slurm's are: without a zone."""
    later = datetime.now(UTC).astimezone() + timedelta(days=days, hours=hours)
    return later.replace(microsecond=0, tzinfo=None).isoformat()


def sbatch(bed: Bed, command: str, *, user: str = "alice") -> str:
    """The id of a job that Goldcrest knows nothing of."""
    return bed.node("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", f"--wrap={command}", user=user).strip()


def accounted(bed: Bed, *job_ids: str) -> list[list[str]]:
    """Id, user, account, state and name of jobs."""
    fields = "JobID,User,Account,State,JobName"
    said = bed.node("sacct", "-a", "-X", "-n", "-P", f"--jobs={','.join(job_ids)}", "-o", fields)
    return [line.split("|") for line in said.splitlines()]


def ended(bed: Bed, *job_ids: str) -> None:
    """Wait until accounting knows the end of all these."""
    bed.until(
        lambda: accounted(bed, *job_ids),
        lambda rows: sorted(row[0] for row in rows if row[3] == "COMPLETED") == sorted(job_ids),
    )


def state(bed: Bed, job_id: str) -> str:
    """Of a job that the controller has not forgotten."""
    return bed.node("squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%T").strip()


def scontrol(bed: Bed, kind: str, *names: str) -> list[dict[str, str]]:
    """Slurm's own records."""
    lines = bed.node("scontrol", "-a", "-o", "show", kind, *names).splitlines()
    return [dict(field.partition("=")[::2] for field in line.split()) for line in lines if line]
