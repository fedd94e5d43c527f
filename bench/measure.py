#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# Measures ipcns beside its peers and prints Markdown. bench/run and bench/startup build what it needs and
# start it; docs/performance.md tells the method. Needs root, as the peers do. Everything it makes (processes,
# a named namespace) is gone when it ends, also when it is interrupted.
import argparse
import contextlib
import datetime
import json
import math
import os
import pathlib
import platform
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from chart import charts

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/bench"
TOOLS = BUILD / "bench"
IPCNS = str(BUILD / "bin/ipcns")
TRUE = "/bin/true"
MIB = 1024 * 1024
PATIENCE = 60  # seconds that a comparison may wait for a quiet machine; --patience


def die(what, why, hint=None):
    print(f"ipcns: {what}: {why}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.exit(1)


def say(text):
    print(text, file=sys.stderr, flush=True)


def write(path, text):
    """For the person who called, also when that was through sudo."""
    pathlib.Path(path).write_text(text)
    if "SUDO_UID" in os.environ:
        os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))


def tool(name):
    return str(TOOLS / name)


def shown(command):
    """The command as a reader would type it: without where this tree and its folders for a moment lie."""
    text = shlex.join(command).replace(f"{TOOLS}/", "").replace(f"{BUILD}/bin/", "").replace(f"{BUILD}/", "")
    return re.sub(rf"(?:{re.escape(tempfile.gettempdir())}/)?ipcns-bench-[a-z0-9_]{{8}}/", "", text)


# --- Statistics ---

def interval(values):
    """The median, and the bounds that hold it with 95 % certainty, whatever the shape of the noise."""
    values = sorted(values)
    count = len(values)
    half = 0.98 * math.sqrt(count)
    low = values[max(0, math.floor(count / 2 - half))]
    high = values[min(count - 1, math.ceil(count / 2 + half))]
    return statistics.median(values), low, high


def pair(rounds, *commands, inside=()):
    """Runs the commands in turn, one by one, and returns for each its samples and means; below the command
    `inside`, which makes what they are to look at."""
    words = [*inside, tool("pair"), "-n", str(rounds), "-w", str(min(5, max(1, rounds // 4))),
             "-q", str(PATIENCE), "--json"]
    for i, command in enumerate(commands):
        words += (["::"] if i else []) + list(command)
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        die("bench", f"'{shown(words)}' failed", "see above")
    return json.loads(done.stdout)["commands"]


def compare(rounds, ours, peer, inside=()):
    a, b = pair(rounds, ours, peer, inside=inside)
    ratio, low, high = interval([x / y for x, y in zip(a["wall_us"], b["wall_us"])])
    return {
        "ours": shown(ours), "peer": shown(peer), "rounds": rounds,
        "ours_us": statistics.median(a["wall_us"]), "peer_us": statistics.median(b["wall_us"]),
        "ours_faults": a["faults"], "peer_faults": b["faults"],
        "ratio": ratio, "ratio_low": low, "ratio_high": high, "disturbed": disturbed(a, b),
    }


def disturbed(*results):
    """The part of the samples that took more than twice their median: a busy machine shows here."""
    samples = [sample > 2 * statistics.median(r["wall_us"]) for r in results for sample in r["wall_us"]]
    return sum(samples) / len(samples)


def hyperfine(rounds, ours, peer, inside=()):
    """The same by another tool: batches in turn, the median of the batches' ratios."""
    batches, runs = 6, max(5, rounds // 12)
    ratios = []
    for batch in range(batches):
        commands = [ours, peer] if batch % 2 == 0 else [peer, ours]
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            words = [*inside, "hyperfine", "-N", "--style", "none", "--warmup", "2", "--runs", str(runs),
                     "--export-json", file.name, *map(shlex.join, commands)]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            results = [result["median"] for result in json.load(file)["results"]]
        ratios.append(results[0] / results[1] if batch % 2 == 0 else results[1] / results[0])
    return statistics.median(ratios)


# --- The rows ---

def against(options, ours, peer, target, rounds=None, cross_check=True, inside=()):
    """A row. Without a target it is shown for information."""
    rounds = rounds or options.runs
    result = compare(rounds, ours, peer, inside)
    result["target"] = target
    result["met"] = None if target is None else result["ratio"] <= target
    if cross_check:
        result["hyperfine"] = hyperfine(rounds, ours, peer, inside)
    return result


RUN_IPC = [IPCNS, "run", "--ipc-only", "--", TRUE]
RUN = [IPCNS, "run", "--", TRUE]
BWRAP = ["bwrap", "--dev-bind", "/", "/", "--unshare-ipc", "--tmpfs", "/dev/shm", TRUE]


def row_floor(options):
    return against(options, RUN_IPC, [tool("run"), TRUE], 1.10)


def row_unshare(options):
    return against(options, RUN_IPC, ["unshare", "--ipc", TRUE], 0.85)


def row_bwrap(options):
    return against(options, RUN, BWRAP, 0.60)


@contextlib.contextmanager
def named_namespace():
    name = f"bench-{os.getpid()}"
    subprocess.run([IPCNS, "create", name], check=True)
    try:
        yield name
    finally:
        subprocess.run([IPCNS, "delete", name], check=False)


def row_exec(options):
    with named_namespace() as name:
        peer = ["nsenter", f"--ipc=/run/ipcns/{name}/ipc", TRUE]
        return against(options, [IPCNS, "exec", name, "--", TRUE], peer, 0.90)


@contextlib.contextmanager
def crowd(count, objects=0):
    """That many processes, each in an IPC namespace of its own with so many objects."""
    def limit(path):
        return int(pathlib.Path(path).read_text())
    processes = sum(1 for entry in os.listdir("/proc") if entry.isdigit())
    for path, needed in (("/proc/sys/user/max_ipc_namespaces", count + 100),
                         ("/proc/sys/kernel/pid_max", count + processes + 1000),
                         ("/proc/sys/kernel/threads-max", count + processes + 1000)):
        if limit(path) < needed:
            die("bench", f"{path} is {limit(path)}: {needed} are needed", f"echo {needed} > {path}")
    pipe = subprocess.PIPE
    with subprocess.Popen([tool("many"), str(count), str(objects)], stdin=pipe, stdout=pipe) as helper:
        try:
            if helper.stdout.readline() != b"ready\n":
                die("bench", f"cannot make {count} namespaces", "see above")
            yield
        finally:
            helper.stdin.close()
            helper.wait()


def lines(command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.count(b"\n") - 1


def row_list(options):
    ours, peer = [IPCNS, "list"], ["lsns", "-t", "ipc"]
    rounds = 5 if options.quick else 20
    growth = []
    for count in (500, 5000):
        with crowd(count):
            for command in (ours, peer):
                if lines(command) < count:
                    die("bench: row list", f"'{shown(command)}' shows {lines(command)} of {count} namespaces")
            plain = [*ours, "--fds=never"]
            measured = compare(rounds, plain, peer)
            growth.append({"of": "namespaces", "count": count, **measured})
            if count == 5000:
                result = against(options, ours, peer, 0.20, rounds, cross_check=False)
    result["growth"] = growth
    return result


# --- What is in namespaces ---

SHOW = [IPCNS, "show", "self", "shm"]
EVERYTHING = [IPCNS, "show", "--all"]
HOLDERS = [IPCNS, "show", "self", "shm", "--holders"]
LOOP = ["sh", "-c", "for pid in $(lsns -t ipc -n -o PID); do nsenter -t $pid -i ipcs || :; done"]
GREP = ["sh", "-c", "grep -s SYSV /proc/*/maps || :"]  # which fails when a process has gone in between


def segments(count, *holders):
    """The command that makes so many segments in a namespace of its own and becomes the words that follow."""
    return [tool("segments"), ",".join(map(str, (count, *holders)))]


def must_show(row, command, wanted, inside=()):
    """That a command does the work that is measured: prints as many lines as there are things to print."""
    done = subprocess.run([*inside, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        die(f"bench: row {row}", f"'{shown(command)}' ended with status {done.returncode}", done.stderr.strip())
    printed = done.stdout.count("\n")
    if printed < wanted:
        die(f"bench: row {row}", f"'{shown(command)}' prints {printed} lines, less than {wanted}")


def row_show(options, row, peer, target):
    counts = (4096, 32768)
    for count in counts:
        for command in (SHOW, peer) if target else (SHOW,):  # the floor prints nothing
            must_show(row, command, count, segments(count))
    rounds = min(options.runs, 30 if options.quick else 200)
    result = against(options, SHOW, peer, target, rounds, inside=segments(counts[0]))
    rounds = min(rounds, 5 if options.quick else 20)
    result["growth"] = [{"of": "segments", "count": count, **compare(rounds, SHOW, peer, segments(count))}
                        for count in counts]
    return result


def row_show_ipcs(options):
    return row_show(options, "show-ipcs", ["ipcs", "-m"], 0.15)


def row_show_lsipc(options):
    return row_show(options, "show-lsipc", ["lsipc", "-m"], 0.12)


def row_show_floor(options):
    return row_show(options, "show-floor", [tool("shmctl")], None)


def row_show_all(options):
    namespaces, objects = 1000, 10
    with crowd(namespaces, objects):
        must_show("show-all", EVERYTHING, namespaces * objects)
        must_show("show-all", LOOP, namespaces * (objects + 10))  # and its headings
        return against(options, EVERYTHING, LOOP, 0.005, 3 if options.quick else 10, cross_check=False)


def row_show_all_floor(options):
    """What is left when nothing is printed, and no process is asked what it waits for."""
    with crowd(1000, 10):
        return against(options, EVERYTHING, [tool("walk")], None, 10 if options.quick else 50, cross_check=False)


def row_walk(options):
    """How near to the ratio of show-all the least possible comes."""
    with crowd(1000, 10):
        return against(options, [tool("walk")], LOOP, None, 3 if options.quick else 10, cross_check=False)


def row_show_holders(options):
    inside = segments(1000, 100, 2000)
    must_show("show-holders", HOLDERS, 1000, inside)
    must_show("show-holders", GREP, 2000, inside)
    rounds = min(options.runs, 30 if options.quick else 200)
    return against(options, HOLDERS, GREP, None, rounds, inside=inside)


# --- Snapshots ---

def filler(mib, objects):
    """A Python program that fills the namespace it runs in: a segment of that size, or many small objects. Told to, it writes
    to 1 % of the segment's pages five times a second."""
    return f"""
import ctypes, os, random, select, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
piece = os.urandom(1 << 20)
if {mib}:
    address = libc.shmat(libc.shmget(0x11, {mib} << 20, 0o1600), None, 0)
    for i in range({mib}):
        ctypes.memmove(address + (i << 20), piece, 1 << 20)
for i in range({objects} // 4):
    queue = libc.msgget(0x1000 + i, 0o1600)
    libc.msgsnd(queue, b"\\1" + bytes(7) + b"a message", 9, 0)
    libc.semget(0x1000 + i, 2, 0o1600)
    address = libc.shmat(libc.shmget(0x1000 + i, 4096, 0o1600), None, 0)
    ctypes.memmove(address, piece, 100)
    libc.shmdt(ctypes.c_void_p(address))
    with open(f"/dev/shm/object{{i}}", "wb") as file:
        file.write(piece[:100])
print("ready", flush=True)
if {mib} and sys.stdin.readline() == "write\\n":
    while not select.select([sys.stdin], [], [], 0.2)[0]:
        for _ in range({mib} * 256 // 100):
            ctypes.memmove(address + random.randrange({mib} * 256) * 4096, os.urandom(8), 8)
"""


@contextlib.contextmanager
def filled(mib, objects=0, written=False):
    """A named namespace with that in it; as long as it is a large one, a process that has it attached, and may write to it."""
    name = f"bench-{os.getpid()}"
    subprocess.run([IPCNS, "create", name, "--limit", "msgmni=32000", "--limit", "shmmni=32000"], check=True)
    try:
        words = [IPCNS, "exec", name, "--", "/usr/bin/python3", "-c", filler(mib, objects)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
            if helper.stdout.readline() != b"ready\n":
                die("bench", "cannot fill a namespace", "see above")
            if not mib:
                helper.wait()
            if written:
                helper.stdin.write(b"write\n")
                helper.stdin.flush()
            try:
                yield name
            finally:
                helper.stdin.close()
                helper.wait()
    finally:
        subprocess.run([IPCNS, "delete", name], check=False)


@contextlib.contextmanager
def room(mib, on_disk):
    """A folder with the bytes of a file of that size to be copied, on a tmpfs of its own or on the disk."""
    with tempfile.TemporaryDirectory(dir=BUILD if on_disk else None, prefix="ipcns-bench-") as folder:
        if not on_disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={4 * mib}m", "none", folder], check=True)
        with tempfile.TemporaryDirectory(prefix="ipcns-bench-") as memory:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={2 * mib}m", "none", memory], check=True)
            try:
                piece = os.urandom(MIB)
                with open(f"{memory}/bytes", "wb") as file:
                    for _ in range(mib):
                        file.write(piece)
                yield folder, f"{memory}/bytes"
            finally:
                subprocess.run(["umount", memory], check=False)
                if not on_disk:
                    subprocess.run(["umount", folder], check=False)


def script(text):
    return ["sh", "-ec", text]


def snapshot_rounds(options):
    return 5 if options.quick else 15


def row_save(options, on_disk):
    """What lands on a disk is synced, by save and, so that both promise the same, by the peer."""
    mib = 1024
    with filled(mib) as name, room(mib, on_disk) as (folder, source):
        sync = f"sync {folder}/copy; " if on_disk else ""
        ours = script(f"{IPCNS} save {name} {folder}/saved; rm {folder}/saved")
        peer = script(f"cp {source} {folder}/copy; {sync}rm {folder}/copy")
        return against(options, ours, peer, 1.25, snapshot_rounds(options), cross_check=False)


def row_save_tmpfs(options):
    return row_save(options, False)


def row_save_disk(options):
    return row_save(options, True)


def row_restore(options):
    mib = 1024
    with filled(mib) as name, room(mib, False) as (folder, source):
        subprocess.run([IPCNS, "save", name, f"{folder}/saved"], check=True)
        ours = script(f"{IPCNS} restore {folder}/saved {name}-2; {IPCNS} delete {name}-2")
        peer = script(f"cp {source} {folder}/copy; rm {folder}/copy")
        return against(options, ours, peer, 1.25, snapshot_rounds(options), cross_check=False)


def row_snapshot_small(options):
    """10,000 small objects: under a second for each of the two. And how long a process that writes to its 1 GiB stands still."""
    rows = []
    count = 10_000
    with filled(0, count) as name, tempfile.TemporaryDirectory() as folder:
        save = script(f"{IPCNS} save {name} {folder}/saved")
        subprocess.run(save, check=True)
        restore = script(f"{IPCNS} restore {folder}/saved {name}-2; {IPCNS} delete {name}-2")
        for what, result in zip((f"save {count} small objects", f"restore {count} small objects, and delete them"),
                                pair(snapshot_rounds(options), save, restore)):
            seconds = statistics.median(result["wall_us"]) / 1e6
            rows.append({"what": what, "seconds": seconds, "target": 1.0, "met": seconds < 1.0})
    pauses = {(): [], ("--precopy",): []}
    with filled(1024, written=True) as name, room(1024, False) as (folder, _):
        for _ in range(snapshot_rounds(options)):
            for how, seconds in pauses.items():
                subprocess.run([IPCNS, "save", *how, name, f"{folder}/saved"], check=True)
                end = subprocess.run(["tar", "-xOf", f"{folder}/saved", "end.json"], check=True, stdout=subprocess.PIPE)
                seconds.append(json.loads(end.stdout)["pause_ns"] / 1e9)
    for how, seconds in pauses.items():
        rows.append({"what": " ".join(["pause of a process while its 1 GiB is saved", *how]),
                     "seconds": statistics.median(seconds), "target": None, "met": None})
    return {"seconds": rows}


def seconds_report(rows):
    return "Snapshots, in seconds:\n\n" + table(
        ["what", "median", "to reach", "met"],
        [[r["what"], f"{r['seconds']:.3f} s", "" if r["target"] is None else f"{r['target']:g} s", yes(r["met"])]
         for r in rows])


def row_peek(options, row, queue, target):
    """There is no peer: nobody else reads a queue without taking from it."""
    ours, inside = [IPCNS, "peek", "self", queue], [tool("messages"), "1000"]
    must_show(row, ours, 1000, inside)
    rounds = min(options.runs, 30 if options.quick else 200)
    return against(options, ours, [tool("peek")], target, rounds, cross_check=False, inside=inside)


def row_peek_msg(options):
    return row_peek(options, "peek-msg", "msg:0", None)


def row_peek_mq(options):
    return row_peek(options, "peek-mq", "mq:/q", None)


def row_handles(options):
    """The library's handles against the bare calls: Google Benchmark does both in turn and tells the ratio."""
    rows = []
    for program, names in ((tool("sysv"), "send|post|attach"), (tool("posix_handles"), "queue|semaphore|memory")):
        done = subprocess.run([program, f"--benchmark_filter=^({names})", "--benchmark_format=json"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        for row in json.loads(done.stdout)["benchmarks"]:
            rows.append({"what": row["name"].split("/")[0].replace("_", " "), "ours_us": row["real_time"] / 1000,
                         "floor_us": row["floor"] * 1e6, "ratio": row["ratio"],
                         "met": row["ratio"] <= HANDLES_TARGET})
    return {"handles": rows}


HANDLES_TARGET = 1.03


class Memory:
    """Watches MemAvailable and Shmem, now and every few milliseconds."""

    def __init__(self):
        self.file = os.open("/proc/meminfo", os.O_RDONLY | os.O_CLOEXEC)
        self.lowest_available = math.inf
        self.highest_shmem = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def sample(self):
        values = {}
        for line in os.pread(self.file, 4096, 0).decode().splitlines():
            name, rest = line.split(":")
            if name in ("MemAvailable", "Shmem"):
                values[name] = int(rest.split()[0]) * 1024
        self.lowest_available = min(self.lowest_available, values["MemAvailable"])
        self.highest_shmem = max(self.highest_shmem, values["Shmem"])
        return values["MemAvailable"], values["Shmem"]

    def watch(self):
        while not self.stopping.wait(0.003):
            self.sample()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        os.close(self.file)


def settled_memory():
    """Waits until the kernel has freed what earlier runs left, and returns what there is then."""
    with Memory() as memory:
        before = memory.sample()
        for _ in range(100):
            time.sleep(0.2)
            now = memory.sample()
            if abs(now[1] - before[1]) < MIB:
                return now
            before = now
        return before


def leaking(runs, prefix):
    """Runs a program that leaves a segment behind, again and again; what that takes from the machine."""
    command = [*prefix, tool("leak"), "64"]
    for _ in range(3):
        subprocess.run(command, check=True)
    available, shmem = settled_memory()
    after = []  # (MemAvailable, Shmem) as each run returned
    ended = None
    start = time.monotonic()
    with Memory() as memory:
        for done in range(1, runs + 1):
            subprocess.run(command, check=True)
            after.append(memory.sample())
            if after[-1][0] < 2048 * MIB:
                ended = f"stopped after {done} runs: less than 2 GiB of memory left"
                break
        seconds = time.monotonic() - start
    return {"command": shown(command), "runs": done, "ended": ended, "us": seconds / done * 1e6,
            "fall_after": (available - min(values[0] for values in after)) / MIB,
            "fall_ever": (available - memory.lowest_available) / MIB,
            "shmem_usual": (statistics.median(values[1] for values in after) - shmem) / MIB,
            "shmem_after": (max(values[1] for values in after) - shmem) / MIB,
            "shmem_ever": (memory.highest_shmem - shmem) / MIB}


def row_leak(options):
    runs = 50 if options.quick else 500
    ours = leaking(runs, [IPCNS, "run", "--ipc-only", "--"])
    peer = leaking(runs, ["unshare", "--ipc"])
    settled_memory()
    # One run's own 64 MiB are there while it runs. Shmem, since only segments and tmpfs files count in it,
    # which the rest of the machine seldom touches.
    return {"leak": [ours, peer], "met": ours["shmem_ever"] < 96 and ours["shmem_after"] < 32}


ROWS = {
    "floor": row_floor, "unshare": row_unshare, "bwrap": row_bwrap, "exec": row_exec, "list": row_list,
    "show-ipcs": row_show_ipcs, "show-lsipc": row_show_lsipc, "show-floor": row_show_floor,
    "show-all": row_show_all, "show-all-floor": row_show_all_floor, "walk": row_walk, "show-holders": row_show_holders,
    "peek-msg": row_peek_msg, "peek-mq": row_peek_mq, "handles": row_handles,
    "save-tmpfs": row_save_tmpfs, "save-disk": row_save_disk, "restore": row_restore, "snapshot-small": row_snapshot_small,
    "leak": row_leak,
}


def information(options):
    """Not rows to reach, but what the rows stand on."""
    commands = [[TRUE], [tool("bare"), TRUE], [tool("run"), TRUE], RUN_IPC, [tool("mounts"), TRUE], RUN]
    commands = [command for command in commands if os.path.exists(command[0])]
    results = pair(options.runs, *commands)
    return [{"command": shown(command), "us": statistics.median(result["wall_us"]), "faults": result["faults"],
             "user_us": result["user_us"], "system_us": result["system_us"]}
            for command, result in zip(commands, results)]


# --- Where the time of a start goes ---

def startup(options):
    # (step, what it does, command, the step it is compared with)
    steps = [
        ("bare", "a process: spawn, exec, exit, wait; no C library", [tool("bare")], None),
        ("c", "C library, static", [tool("start-c")], "bare"),
        ("c++", "C++ library, static", [tool("start-c++")], "c"),
        ("shared", "C++ library, shared (what the front command avoids)", [tool("start-c++-shared")], "c++"),
        ("options", "`ipcns --version`: the front command, its options", [IPCNS, "--version"], "c++"),
        ("true", "`/bin/true` alone, a shared C program", [TRUE], None),
        ("launch", "static C: clone, exec `/bin/true`, wait", [tool("run-plain"), TRUE], "true"),
        ("ipc", "the same, new IPC namespace (the floor)", [tool("run"), TRUE], "launch"),
        ("mountns", "the same, new mount namespace", [tool("run-mountns"), TRUE], "ipc"),
        ("mounts", "the same, slave, tmpfs and mqueue mounted", [tool("mounts"), TRUE], "mountns"),
        ("run-ipc", "`ipcns run --ipc-only -- /bin/true`", RUN_IPC, "ipc"),
        ("run", "`ipcns run -- /bin/true`", RUN, "mounts"),
    ]
    steps = [step for step in steps if os.path.exists(step[2][0])]
    say(f"startup: {len(steps)} programs, {options.runs} rounds")
    measured = pair(options.runs, *[step[2] for step in steps])
    results = {step[0]: result for step, result in zip(steps, measured)}
    table = []
    for name, text, command, base in steps:
        row = {"step": name, "text": text, "us": statistics.median(results[name]["wall_us"]),
               "faults": results[name]["faults"], "over": base}
        if name != "shared":  # a million instructions, one by one, take too long
            row |= count_instructions(command)
        if base in results:
            differences = [a - b for a, b in zip(results[name]["wall_us"], results[base]["wall_us"])]
            row["adds_us"], row["adds_low"], row["adds_high"] = interval(differences)
        table.append(row)
    return {"steps": table, "cpuid_us": cpuid_cost(), "runs": options.runs}


def cpuid_cost():
    if not os.path.exists(tool("cpuid")):
        return None
    return float(subprocess.run([tool("cpuid")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def count_instructions(command):
    """Instructions, CPUIDs and system calls of the program itself, without the one that it starts."""
    if not os.path.exists(tool("cpuid")):
        return {}
    done = subprocess.run([tool("cpuid"), *command], check=True, stdout=subprocess.PIPE, text=True)
    numbers = [int(word) for word in done.stdout.splitlines()[-1].split()]
    return dict(zip(("instructions", "cpuids", "calls"), numbers))


# --- What is printed ---

def first_value(path, key):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(path).read_text().splitlines():
            name, _, value = line.replace("=", ":", 1).partition(":")
            if name.strip() == key:
                return value.strip().strip('"')
    return "unknown"


def machine():
    memory = int(first_value("/proc/meminfo", "MemTotal").split()[0]) / 1024 / 1024
    flags = first_value("/proc/cpuinfo", "flags")
    virtual = ", virtual machine" if " hypervisor" in flags else ""
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": f"{first_value('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores{virtual}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.release()} ({platform.machine()})",
        "distribution": first_value("/etc/os-release", "PRETTY_NAME"),
        "load": "%.2f, %.2f, %.2f at the start" % os.getloadavg(),
    }


def yes(met):
    return "" if met is None else "yes" if met else "**no**"


def duration(us):
    return f"{us / 1000:.3f} ms" if us < 10000 else f"{us / 1000:.1f} ms"


def ratio(value):
    return f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"


def to_reach(target):
    return "" if target is None else f"{target:.2f}" if target >= 0.1 else f"{target:g}"


def table(headings, rows):
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"
                     for line in lines) + "\n"


def startup_report(result):
    def adds(row):
        if "adds_us" not in row:
            return ""
        return f"{row['adds_us']:+.0f} ({row['adds_low']:+.0f} to {row['adds_high']:+.0f})"

    text = table(
        ["step", "program", "median us", "adds us (95 %)", "to", "faults", "CPUIDs", "calls", "instructions"],
        [[row["step"], row["text"], f"{row['us']:.0f}", adds(row), row["over"] or "", f"{row['faults']:.0f}",
          row.get("cpuids", ""), row.get("calls", ""), row.get("instructions", "")]
         for row in result["steps"]])
    if result["cpuid_us"] is not None:
        text += f"\nOne CPUID instruction takes {result['cpuid_us']:.2f} us on this machine.\n"
    return text


def compared_report(compared):
    text = table(
        ["row", "ours", "median", "peer", "median", "ratio (95 %)", "to reach", "met", "by hyperfine"],
        [[name, f"`{r['ours']}`", duration(r["ours_us"]), f"`{r['peer']}`", duration(r["peer_us"]),
          f"{ratio(r['ratio'])} ({ratio(r['ratio_low'])} to {ratio(r['ratio_high'])})", to_reach(r["target"]),
          yes(r["met"]), ratio(r["hyperfine"]) if "hyperfine" in r else ""]
         for name, r in compared.items()])
    rounds = ", ".join(f"{r['rounds']} ({name})" for name, r in compared.items())
    text += f"\nRounds: {rounds}. The ratio is the median of the ratios within each round.\n"
    noisy = ", ".join(name for name, r in compared.items() if r["disturbed"] > 0.05)
    if noisy:
        text += ("\n**The machine was busy**: in these rows more than 5 % of the runs took over twice the "
                 f"median: {noisy}. Measure again when it is quiet.\n")
    return text


def growth_report(growth):
    return "Cost grows with what there is:\n\n" + table(
        ["what there is", "ours", "median", "for one", "peer", "median", "for one", "ratio"],
        [[f"{g['count']} {g['of']}",
          f"`{g['ours']}`", duration(g["ours_us"]), for_one(g["ours_us"] / g["count"]),
          f"`{g['peer']}`", duration(g["peer_us"]), for_one(g["peer_us"] / g["count"]),
          ratio(g["ratio"])] for g in growth])


def for_one(us):
    return f"{us:.1f} us" if us >= 10 else f"{us:.2f} us"


def leak_report(leak):
    text = ("Row leak: a program that leaves a System V segment of 64 MiB behind, run again and again. What "
            "is still taken when a run has returned, and the most that was taken at any moment, in MiB above "
            "the start:\n\n")
    text += table(
        ["command", "runs", "each", "Shmem: usually after a run", "most after a run", "most at any moment",
         "MemAvailable: most after a run", "most at any moment", ""],
        [[f"`{r['command']}`", r["runs"], duration(r["us"]), f"{r['shmem_usual']:.0f}",
          f"{r['shmem_after']:.0f}", f"{r['shmem_ever']:.0f}", f"{r['fall_after']:.0f}",
          f"{r['fall_ever']:.0f}", r["ended"] or ""]
         for r in leak["leak"]])
    return text + ("\nTo reach: ours never more than one run's worth (below 96 MiB of Shmem at any moment, "
                   f"32 after a run): {yes(leak['met'])}.\n")


def handles_report(handles):
    return ("The library's handles beside the bare calls, processor time of one thread, in turn with each other "
            f"(to reach: {to_reach(HANDLES_TARGET)}):\n\n") + table(
        ["what", "handle", "bare calls", "ratio", "met"],
        [[r["what"], f"{r['ours_us']:.3f} us", f"{r['floor_us']:.3f} us", f"{r['ratio']:.3f}", yes(r["met"])]
         for r in handles])


def information_report(info):
    return "For information, in turn with each other:\n\n" + table(
        ["command", "median", "page faults", "user", "system"],
        [[f"`{r['command']}`", duration(r["us"]), f"{r['faults']:.0f}", duration(r["user_us"]),
          duration(r["system_us"])] for r in info])


def report(about, results, info, drawn):
    parts = [
        "# Results",
        "Written by `bench/run`; what is measured and how: [docs/performance.md](../docs/performance.md).",
        "\n".join(f"- {key}: {value}" for key, value in about.items()),
    ]
    parts += [f"![{name[:-4]}](charts/{name})" for name in drawn]
    compared = {name: result for name, result in results.items() if "target" in result}
    if compared:
        parts.append(compared_report(compared))
    growth = [entry for result in results.values() for entry in result.get("growth", ())]
    if growth:
        parts.append(growth_report(growth))
    if "handles" in results:
        parts.append(handles_report(results["handles"]["handles"]))
    if "snapshot-small" in results:
        parts.append(seconds_report(results["snapshot-small"]["seconds"]))
    if "leak" in results:
        parts.append(leak_report(results["leak"]))
    if info:
        parts.append(information_report(info))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def main():
    global PATIENCE
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures ipcns beside its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer runs: a first impression")
    parser.add_argument("--row", action="append", choices=ROWS, metavar="NAME",
                        help=f"only this row, may be repeated: {', '.join(ROWS)}")
    parser.add_argument("--runs", type=int, metavar="N",
                        help="rounds for commands of milliseconds (default: 1000, quick: 150)")
    parser.add_argument("--patience", type=int, metavar="SECONDS", default=PATIENCE,
                        help="how long a comparison may wait for a quiet machine (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    parser.add_argument("--startup", action="store_true", help=argparse.SUPPRESS)  # bench/startup
    options = parser.parse_args()
    if options.runs is not None and options.runs < 1:
        parser.error("--runs: at least 1")
    options.runs = options.runs or (150 if options.quick else 1000)
    PATIENCE = max(0, options.patience)
    if os.geteuid() != 0:
        die("bench", "needs root, as unshare and nsenter do", "sudo bench/run")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    about = machine()
    if options.startup:
        result = startup(options)
        text = startup_report(result)
        everything = {"machine": about, "startup": result}
    else:
        results = {}
        for name in options.row or ROWS:
            say(f"row {name}")
            results[name] = ROWS[name](options)
        info = [] if options.row else information(options)
        about["load"] += ", %.2f, %.2f, %.2f at the end" % os.getloadavg()
        drawn = {} if options.row else charts(results)
        text = report(about, results, info, drawn)
        if not options.row:
            write(ROOT / "bench/RESULTS.md", text)
            (ROOT / "bench/charts").mkdir(exist_ok=True)
            for name, svg in drawn.items():
                write(ROOT / "bench/charts" / name, svg)
        everything = {"machine": about, "rows": results, "information": info}
    print(text, end="")
    if options.json:
        write(options.json, json.dumps(everything, indent=1) + "\n")


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
except subprocess.CalledProcessError as error:
    die("bench", f"'{shown(error.cmd)}' ended with status {error.returncode}")
