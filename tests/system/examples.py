#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# The commands that a document shows, for the tests that type them: Markdown and the sources of manual pages.
#   examples.py script DOCUMENT [TASK]    prints a script for bash that runs them and prints what a terminal would show
#   examples.py compare DOCUMENT [TASK]   compares standard input, what that script has printed, with the document
#   examples.py marks DOCUMENT...         prints what is not run, and why; fails where that is not said
# TASK is a heading: what stands below it alone.
#
# A block of commands is ```console in Markdown, and in the EXAMPLES of a manual page every block. What stands behind a $ is
# typed, and > goes on with it; the rest is what comes of it. A line before a block, <!-- MARK --> in Markdown and ; MARK in a
# manual page, says what else there is to know:
#   file: NAME            it is no commands but what a file holds, that the commands find
#   not run: WHY          it is not run
#   tested by: FILE       it is not run here; that test does
#   root                  root's run alone has it
#   before: COMMAND       first this is run, unseen
#   after: COMMAND        last this is run, unseen
#   process N: COMMAND    first this becomes process N
#   number N: COMMAND     N stands for what this prints
#   any order             the lines that are printed may come in any
#   output left out       what is printed is not shown; every command succeeds
import difflib
import os
import pathlib
import re
import shlex
import sys

SEPARATOR = "\x1e"
MARK = {".md": re.compile(r"<!-- (.*) -->$"), ".scd": re.compile(r"; (.*)$")}
KINDS = ("file", "not run", "tested by", "root", "before", "after", "process", "number", "any order", "output left out")


class Block:
    def __init__(self, path, line, marks, language):
        self.path, self.line, self.language, self.text = path, line, language, []
        self.marks = {kind: [value for name, value in marks if name == kind] for kind in KINDS}

    def has(self, kind):
        return bool(self.marks[kind])

    def value(self, kind):
        return self.marks[kind][0]

    def commands(self):
        """Each as (command, what it prints)."""
        found = []
        for line in self.text:
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif line.startswith("> ") and found and not found[-1][1]:
                found[-1][0] += "\n" + line[2:]
            elif found:
                found[-1][1].append(line)
            else:
                raise SystemExit(f"{self.path}:{self.line}: the block begins without a command")
        if not found:
            raise SystemExit(f"{self.path}:{self.line}: the block is empty")
        return found


def kind_of(mark):
    for kind in KINDS:
        if mark == kind or mark.startswith(kind + ": ") or (kind in ("process", "number") and re.match(kind + r" \d+: ", mark)):
            return kind, mark[len(kind):].removeprefix(": ").strip()
    return None


def blocks(path, task=None):
    """All blocks that are commands or files, below the heading TASK or anywhere."""
    path = pathlib.Path(path)
    page = path.suffix == ".scd"
    here = not page and task is None
    marks, block = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if block is not None:
            if line == "```":
                if page or block.language in ("console", "sh") or block.has("file"):
                    yield block
                block = None
            else:
                block.text.append(line)
        elif line.startswith("# ") and page:
            here = line in ("# EXAMPLES", "# EXAMPLE")
        elif re.match(r"##+ ", line) and task is not None:
            here = line.lstrip("# ") == task
        elif line.startswith("```") and here:
            block = Block(path, number, marks, line[3:])
            marks = []
        elif mark := MARK[path.suffix].match(line):
            if here and (kind := kind_of(mark[1])):
                marks.append(kind)
        elif line and marks:
            raise SystemExit(f"{path}:{number}: a mark without a block behind it")


def runs(block):
    return not (block.has("file") or block.has("not run") or block.has("tested by") or
                block.language == "sh" or (block.has("root") and os.geteuid() != 0))


# --- script --------------------------------------------------------------------------------------------------------

def script(path, task):
    print("exec 2>&1 </dev/null")
    for number, block in enumerate(blocks(path, task)):
        if block.has("file"):
            pathlib.Path(block.value("file")).write_text("\n".join(block.text) + "\n")
        if not runs(block):
            continue
        print(f"printf '{SEPARATOR}%s\\n' {number}")
        for command in block.marks["before"]:
            unseen(command, "before it")
        for process in block.marks["process"]:
            pid, command = process.split(": ", 1)
            print(f"process {pid} {shlex.quote(command)}")
        numbers = [text.split(": ", 1) for text in block.marks["number"]]
        for figure, command in numbers:
            print(f"number_{figure}=$({command})")
        succeed = block.has("output left out")
        if succeed:
            print("set -o pipefail")
        for command, _ in block.commands():
            shown = command.replace("\n", "\n> ")
            for figure, _ in numbers:
                command = command.replace(figure, f"${{number_{figure}}}")
            print(f"printf '$ %s\\n' {shlex.quote(shown)}\n{command}")
            if succeed:
                print("status=$?; [ $status = 0 ] || echo \"exit status $status\"")
        if succeed:
            print("set +o pipefail")
        for command in block.marks["after"]:
            unseen(command, "after it")


def unseen(command, when):
    print(f"{{ {command}\n}} >unseen 2>&1 || {{ echo '({when}:'; cat unseen; }}")


# --- compare -------------------------------------------------------------------------------------------------------

def levelled(lines):
    """What differs from run to run, made equal."""
    user = re.escape(os.environ.get("USER", "root"))
    for line in lines:
        if re.match(r" *\d+ - +\d+ ", line):
            continue  # a namespace that somebody else has mounted
        for pattern, word in (
                (r"^ *\d+ host +\d+ .*", "HOST"),           # who else is in it
                (r"\b40265\d{5}\b", "NS"),
                (r"\b0x[0-9a-f]{5,8}\b", "KEY"),
                (r"\[\d{10}\]", "[NS]"),
                (r"\b\d{4}-\d\d-\d\d(T[0-9:.]+(Z|[+-]\d\d:\d\d))?", "DATE"),
                (r"\b[A-Z][a-z]{2} +\d+ +\d\d:\d\d(:\d\d)?\b", "DATE"),
                (r"\bfor [0-9.]+ (s|ms|us)\b", "for TIME"),
                (r"\b[0-9.]+ ?(s|ms|us)\b", "TIME"),
                (r"\b(1[2-9]|[67]\d)\d\d\b", "PID"),
                (rf"\b(tester|alice|root|{user})\b", "USER"),
                (rf"\b(1000|0|{os.getuid()})( +\d{{3}}\b)", r"UID\2"),  # before permissions
                (r"\b(keeper|mount)\b", "HELD"),
                (r"'", ""),
                (r" +", " "), (r"^ | $", "")):
            line = re.sub(pattern, word, line)
        yield line


def compare(path, task):
    printed = {}
    for part in sys.stdin.read().split(SEPARATOR)[1:]:
        number, _, text = part.partition("\n")
        printed[int(number)] = text.splitlines()
    different = count = 0
    for number, block in enumerate(blocks(path, task)):
        if not runs(block):
            continue
        commands = block.commands()
        count += len(commands)
        wanted, got = list(levelled(block.text)), list(levelled(printed.get(number, ["(it was not reached)"])))
        if block.has("output left out"):
            got = [line for line in got if line.startswith(("$ ", "> ", "exit status", "("))]
        if block.has("any order"):
            wanted, got = sorted(wanted), sorted(got)
        if wanted != got:
            different += 1
            print(f"{path}:{block.line}:", *difflib.unified_diff(wanted, got, "shown", "printed", lineterm="", n=2), sep="\n")
            print("as it was:", *printed.get(number, []), sep="\n")
    if not count and task:
        print(f"{path}: there is nothing to run below {task}")
        different = 1
    sys.exit(different != 0)


# --- marks ---------------------------------------------------------------------------------------------------------

def marks(paths):
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    wrong = False
    for path in paths:
        name = pathlib.Path(path).name
        found = list(blocks(path))
        if path.endswith(".scd") and not found:
            print(f"{name}: has no EXAMPLES")
            wrong = True
        for block in found:
            if block.has("not run"):
                print(f"{name}:{block.line}: {block.value('not run')}")
            elif block.has("tested by"):
                test = block.value("tested by")
                if not (root / test).exists():
                    print(f"{name}:{block.line}: there is no {test}")
                    wrong = True
            elif block.language == "sh" and not block.has("file"):
                print(f"{name}:{block.line}: neither run nor marked")
                wrong = True
            elif not block.has("file"):
                block.commands()
    sys.exit(wrong)


if sys.argv[1] == "script":
    script(sys.argv[2], *(sys.argv[3:4] or [None]))
elif sys.argv[1] == "compare":
    compare(sys.argv[2], *(sys.argv[3:4] or [None]))
else:
    marks(sys.argv[2:])
