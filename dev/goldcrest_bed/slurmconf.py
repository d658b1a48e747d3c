"""Slurm's configuration files and accounting commands, from the ``[system]`` table. Pure text."""

from __future__ import annotations

from typing import Any

Table = dict[str, Any]
FIRST_SLURMD_PORT = 6900


def slurm_conf(system: Table) -> str:
    """slurm.conf for a controller and several slurmd on one host.

    Quick where a test would wait, else Slurm's defaults: nothing here changes what a command says, but ``system.slurm``.
    """
    return _conf(system, cluster=system["name"], system=system, port=6817, slurmd_port=FIRST_SLURMD_PORT)


def other_conf(system: Table, cluster: str) -> str:
    """slurm.conf of a further cluster of the same database (``system.clusters``), on the same host."""
    position = list(system["clusters"]).index(cluster) + 1
    plain = {**system, "slurm": {}, "backup_controllers": {}}
    ports = {"port": 6817 + 10 * position, "slurmd_port": FIRST_SLURMD_PORT + 100 * position}
    return _conf(system["clusters"][cluster], cluster=cluster, system=plain, **ports)


def controller_folder(system: Table, cluster: str) -> str:
    """Where a controller keeps its state."""
    return "/var/lib/slurm/slurmctld" + ("" if cluster == system["name"] else f"-{cluster}")


def _conf(table: Table, *, cluster: str, system: Table, port: int, slurmd_port: int) -> str:
    host = system["name"]
    suffix = "" if cluster == host else f"-{cluster}"
    lines = [
        f"ClusterName={cluster}",
        f"SlurmctldHost={host}(127.0.0.1)",
        *(f"SlurmctldHost={name}({address})" for name, address in system.get("backup_controllers", {}).items()),
        f"SlurmctldPort={port}",
        "SlurmUser=slurm",
        "AuthType=auth/munge",
        f"StateSaveLocation={controller_folder(system, cluster)}",
        "SlurmdSpoolDir=/var/lib/slurm/slurmd/%n",
        f"SlurmctldPidFile=/run/slurm/slurmctld{suffix}.pid",
        "SlurmdPidFile=/run/slurm/slurmd-%n.pid",
        f"SlurmctldLogFile=/var/log/slurm/slurmctld{suffix}.log",
        "SlurmdLogFile=/var/log/slurm/slurmd-%n.log",
        "SlurmdParameters=config_overrides",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "MailProg=/bin/true",
        "PropagateResourceLimits=NONE",  # a container may not raise them
        "EnforcePartLimits=ALL",  # refuse at submission, as sites do, instead of a job that waits for ever
        "ReturnToService=2",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=100",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=10000",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=10",
        "KillWait=2",
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        "AccountingStorageEnforce=associations,limits,qos",
        "AccountingStoreFlags=job_comment,job_script,job_env",
    ]
    lines = _changed(lines, system.get("slurm", {}))
    for position, (name, node) in enumerate(table["nodes"].items()):
        lines.append(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={slurmd_port + position}"
            f" CPUs={node['cpus']} RealMemory={node['memory']} State=UNKNOWN"
        )
    lines += [_partition(name, partition) for name, partition in table["partitions"].items()]
    return "\n".join(lines) + "\n"


def _changed(lines: list[str], over: Table) -> list[str]:
    """These lines with the site's own keys in their place; an empty value removes a line."""
    left = [line for line in lines if line.partition("=")[0] not in over]
    return left + [f"{key}={value}" for key, value in over.items() if value != ""]


def _partition(name: str, partition: Table) -> str:
    words = [f"PartitionName={name}", f"Nodes={','.join(partition['nodes'])}"]
    if partition.get("default"):
        words.append("Default=YES")
    words.append(f"MaxTime={partition.get('max_time', 'INFINITE')}")
    if "default_time" in partition:
        words.append(f"DefaultTime={partition['default_time']}")
    if "allow_accounts" in partition:
        words.append(f"AllowAccounts={','.join(partition['allow_accounts'])}")
    words.append("State=UP")
    return " ".join(words)


def slurmdbd_conf(system: Table) -> str:
    """slurmdbd.conf; the database lets the user ``slurm`` in by its Unix socket, so there is no password."""
    lines = [
        f"DbdHost={system['name']}",
        "DbdAddr=127.0.0.1",
        "SlurmUser=slurm",
        "AuthType=auth/munge",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=slurm",
        "StorageLoc=slurm_acct_db",
        "PidFile=/run/slurm/slurmdbd.pid",
        "LogFile=/var/log/slurm/slurmdbd.log",
    ]
    return "\n".join(_changed(lines, system.get("slurmdbd", {}))) + "\n"


def accounting(system: Table) -> list[list[str]]:
    """Arguments of ``sacctmgr -i`` calls that bring cluster, accounts, QOS and associations about, in order."""
    calls: list[list[str]] = []
    for name, qos in system["qos"].items():
        calls.append(["add", "qos", name])
        limits = [f"{_QOS_KEYS[key]}={value}" for key, value in qos.items()]
        if limits:
            calls.append(["modify", "qos", "where", f"name={name}", "set", *limits])
    for cluster in (system["name"], *system.get("clusters", {})):
        calls += _associations(system, cluster)
    return calls


def _associations(system: Table, cluster: str) -> list[list[str]]:
    calls = [["add", "cluster", cluster]]
    for name, account in system["accounts"].items():
        words = [
            f"Cluster={cluster}",
            f"Description={account.get('description', name)}",
            f"Organization={system['name']}",
        ]
        calls.append(["add", "account", name, *words])
    for name, user in system["users"].items():
        if accounts := user.get("accounts", []):
            places = [f"Account={','.join(accounts)}", f"DefaultAccount={accounts[0]}", f"Cluster={cluster}"]
            calls.append(["add", "user", name, *places])
            if qos := user.get("qos", []):
                given = [f"QOS={','.join(qos)}", f"DefaultQOS={qos[0]}"]
                calls.append(["modify", "user", "where", f"name={name}", f"cluster={cluster}", "set", *given])
            if level := user.get("admin_level"):
                calls.append(["modify", "user", "where", f"name={name}", "set", f"AdminLevel={level}"])
    return calls


_QOS_KEYS = {
    "priority": "Priority",
    "max_wall": "MaxWall",
    "max_submit_jobs_per_user": "MaxSubmitJobsPerUser",
    "max_jobs_per_user": "MaxJobsPerUser",
    "max_tres_per_user": "MaxTRESPerUser",
}
