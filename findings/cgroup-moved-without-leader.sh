#!/bin/bash
# Guess:     a process whose first thread has ended while others run is moved by writing its PID to
#            cgroup.procs like any other. Then the PID is in cgroup.procs of the new cgroup and in no other,
#            and /proc/PID/cgroup says the same.
# Behaviour: the running threads move, and the PID stays behind. cgroup.procs of the new cgroup is empty,
#            though it is populated. cgroup.procs of the old one has the PID, though it is not populated. The
#            old cgroup can be removed all the same, and /proc/PID/cgroup names it from then on, with
#            "(deleted)". Only cgroup.threads and /proc/PID/task/TID/cgroup are right.
# Versions:  Linux 6.18. Needs root, python3, and two cgroups below a cgroup2 mount, which it makes and
#            removes.
# Seen:      old: procs 1, threads 1, populated 1; new: procs 0, threads 0, populated 0
#            moved
#            old: procs 1, threads 0, populated 0; new: procs 0, threads 1, populated 1
#            old removed; /proc/PID/cgroup: old (deleted); /proc/PID/task/TID/cgroup: new
set -euo pipefail
work=$(mktemp -d)
top=$(findmnt -nfo TARGET -t cgroup2)/moved-without-leader-$$
trap 'rmdir "$top"/* "$top" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$top" "$top/old" "$top/new"
python3 - "$top" <<'END' | tee "$work/seen"
import ctypes, os, signal, sys, threading, time

top = sys.argv[1]
pid = os.fork()
if not pid:
    with open(f"{top}/old/cgroup.procs", "w") as procs:
        procs.write("0")
    threading.Thread(target=signal.pause).start()
    ctypes.CDLL(None).pthread_exit(None)

def text(path):
    with open(path) as file:
        return file.read()

def state():
    groups = []
    for name in "old", "new":
        procs, threads = (len(text(f"{top}/{name}/cgroup.{kind}").split()) for kind in ("procs", "threads"))
        populated = text(f"{top}/{name}/cgroup.events").split()[1]
        groups.append(f"{name}: procs {procs}, threads {threads}, populated {populated}")
    print("; ".join(groups))

def group(path):
    line = next(line for line in text(path).splitlines() if line.startswith("0:"))
    return line.rpartition("/")[2]

try:
    while text(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.1)
    state()
    with open(f"{top}/new/cgroup.procs", "w") as procs:
        procs.write(str(pid))
    print("moved")
    state()
    os.rmdir(f"{top}/old")
    tid = next(name for name in os.listdir(f"/proc/{pid}/task") if name != str(pid))
    print(f"old removed; /proc/PID/cgroup: {group(f'/proc/{pid}/cgroup')};",
          f"/proc/PID/task/TID/cgroup: {group(f'/proc/{pid}/task/{tid}/cgroup')}")
finally:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
END

diff - "$work/seen" <<'END'
old: procs 1, threads 1, populated 1; new: procs 0, threads 0, populated 0
moved
old: procs 1, threads 0, populated 0; new: procs 0, threads 1, populated 1
old removed; /proc/PID/cgroup: old (deleted); /proc/PID/task/TID/cgroup: new
END
