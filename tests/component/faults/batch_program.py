#!/usr/bin/python3 -IS
"""sbatch, squeue, scontrol, sacct and scancel of a small Slurm whose jobs are files, under the name that it is called by.

A job that was released runs for a while by the clock. What goes wrong is in the folder `faults`, a file for each program.
"""

import fcntl
import json
import os
import sys
import time

FOLDER = "/opt/batch"
ME = os.path.basename(sys.argv[0])
SEPARATOR = "\x1f"
CONTACT = "Unable to contact slurm controller (connect failure)"


def load(name, default):
    try:
        with open(os.path.join(FOLDER, name)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return default


def now():
    return time.time() + load("skew", 0)


def jobs():
    found = []
    for name in os.listdir(FOLDER + "/jobs"):
        if name.endswith(".json"):
            job = load("jobs/" + name, None)
            if job:
                found.append(job)
    return sorted(found, key=lambda job: job["id"])


def store(job):
    path = "%s/jobs/%d.json" % (FOLDER, job["id"])
    with open(path + ".new", "w") as file:
        json.dump(job, file)
    os.chmod(path + ".new", 0o666)
    os.rename(path + ".new", path)


def state(job):
    if job["cancelled"]:
        return "CANCELLED"
    if job["start"] is None:
        return "PENDING"
    return "COMPLETED" if now() >= job["start"] + job["seconds"] else "RUNNING"


def end(job):
    if job["cancelled"]:
        return job["cancelled"]
    return job["start"] + job["seconds"] if state(job) == "COMPLETED" else None


def remembered(job):
    return end(job) is None or now() - end(job) < load("min_job_age", 300)


def epoch(value):
    return str(int(value)) if value is not None else "N/A"


def fault():
    """The fault of this program, if there is one left: it is used up."""
    path = "%s/faults/%s" % (FOLDER, ME)
    if not os.path.exists(path):
        return None
    with open(path, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        what = json.load(file)
        if not what["kinds"]:
            return None
        kind = what["kinds"][0]
        if not what["forEver"]:
            del what["kinds"][0]
            file.seek(0)
            file.truncate()
            json.dump(what, file)
    return {"kind": kind, "seconds": what["seconds"]}


def user():
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def option(name, default=""):
    found = [word[len(name) + 1 :] for word in sys.argv if word.startswith(name + "=")]
    return found[0] if found else default


def submit():
    number = 100
    with open(FOLDER + "/next", "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        number = int(file.read() or 100) + 1
        file.seek(0)
        file.write(str(number))
    held = "--hold" in sys.argv
    at = now()
    token = option("--comment")
    job = {"id": number, "user": user(), "uid": os.getuid(), "token": token, "held": held, "submit": at}
    job.update(start=None if held else at, seconds=load("seconds", 1), cancelled=None, directory=option("--chdir"))
    store(job)
    return number


def sbatch(what):
    kind = what and what["kind"]
    if kind == "refused-later":
        fail("sbatch: error: Batch job submission failed: " + CONTACT)
    if kind == "standby":  # the other controller takes over
        fail("sbatch: error: Batch job submission failed: Slurm backup controller in standby mode")
    if kind == "late":  # the controller takes it when sbatch has long been given up
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(what["seconds"])
                submit()
            os._exit(0)
        time.sleep(3600)
    number = submit()
    if kind == "lost":
        os.kill(os.getppid(), 9)  # the filter: nobody hears of it
        time.sleep(5)
    if kind == "killed":
        os.kill(os.getpid(), 9)
    if kind == "empty":
        return
    if kind == "garbage":
        sys.stdout.buffer.write(b"\x00\xff\xfe%d%d\r\n\x1b[31m9;;9\n" % (number, number))
        return
    if kind == "slow":
        time.sleep(what["seconds"])
    print(number)


def scancel(what):
    for job in jobs():
        if str(job["id"]) == sys.argv[-1] and state(job) in ("PENDING", "RUNNING"):
            job["cancelled"] = now()
            store(job)


def line(job):
    reason = "None" if state(job) != "PENDING" else "JobHeldUser" if job["held"] else "Priority"
    number = str(job["id"])
    times = [epoch(job["start"]), epoch(end(job)), epoch(job["submit"])]
    words = [number, number, "N/A", number, job["user"], state(job), reason]
    return SEPARATOR.join(words + times + ["0:01", "1", "n1", "normal", "physics", "normal", job["token"]])


def squeue(what):
    own = option("--user")
    for job in jobs():
        if remembered(job) and own in ("", job["user"]):
            print(line(job))


def scontrol(what):
    if "release" in sys.argv or "hold" in sys.argv:
        for job in jobs():
            if str(job["id"]) in sys.argv[-1].split(",") and state(job) == "PENDING":
                job["held"] = "hold" in sys.argv
                if not job["held"]:
                    job["start"] = now()
                store(job)
        return
    for job in jobs():
        if str(job["id"]) == sys.argv[-1] and remembered(job):
            print(
                "JobId=%d JobName=job.sh UserId=%s(%d) GroupId=%s(%d) MCS_label=N/A Priority=1 Account=physics QOS=normal "
                "JobState=%s Reason=None Restarts=0 ExitCode=0:0 RunTime=00:00:01 TimeLimit=00:10:00 Partition=normal "
                "NodeList=n1 NumNodes=1 Command=/x/job.sh WorkDir=%s Comment=%s  StdErr=/x/slurm-%d.out StdIn=/dev/null "
                "StdOut=/x/slurm-%d.out Power="
                % (
                    *(job["id"], job["user"], job["uid"], job["user"], job["uid"], state(job)),
                    *(job["directory"], job["token"], job["id"], job["id"]),
                )
            )
            return
    fail("slurm_load_jobs error: Invalid job id specified")


def sacct(what):
    own, ids = option("--user"), [word for word in option("--jobs").split(",") if word]
    usage = any("MaxRSS" in word for word in sys.argv)
    for job in jobs():
        if (own and job["user"] != own) or (ids and str(job["id"]) not in ids):
            continue
        number, ended = str(job["id"]), epoch(end(job)) if end(job) is not None else "Unknown"
        if usage:
            print(SEPARATOR.join([number, job["user"], state(job), ended, "1", "00:01.500", ""]))
            print(SEPARATOR.join([number + ".batch", "", state(job), ended, "1", "00:01.500", "2048K"]))
            continue
        times = [epoch(job["submit"]), epoch(job["start"]), epoch(end(job))]
        words = [number, number, job["user"], state(job), "0:0"] + times
        words += ["1", "1", "n1", "normal", "physics", "normal", job["token"], "sbatch"]
        print(SEPARATOR.join(words))


def fail(words):
    sys.stderr.write(words + "\n")
    sys.exit(1)


def main():
    with open(FOLDER + "/calls", "a") as file:
        file.write(ME + "\n")
    what = fault()
    if what and ME != "sbatch":
        kind = what["kind"]
        if kind == "down":
            fail("slurm_load_jobs error: " + CONTACT)
        if kind == "dbd":
            fail("sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection")
        if kind == "garbage":
            sys.stdout.buffer.write(b"\x00\xff\x1f\x1f|101|\xfe\x1b[2J\n" * 50)
            return
        if kind == "empty":
            return
        if kind == "slow":
            time.sleep(what["seconds"])
        if kind == "half":  # of the first line, and then it dies
            sys.stdout.write("101" + SEPARATOR + "101" + SEPARATOR)
            sys.stdout.flush()
            os.kill(os.getpid(), 9)
    globals()[ME](what)


main()
