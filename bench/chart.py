# SPDX-License-Identifier: Apache-2.0
"""The charts of the benchmark page: an SVG for each group of rows, ours beside the peer's as a ratio on a logarithmic scale."""
import html
import math

# Group: its file's name, its heading, and the row's label.
GROUPS = [
    ("start", "Starting a program", {
        "floor": "run --ipc-only : the floor",
        "unshare": "run --ipc-only : unshare --ipc",
        "bwrap": "run, all six kinds : bwrap",
        "exec": "exec NAME : nsenter"}),
    ("look", "Looking", {
        "list": "list, 5,000 namespaces : lsns",
        "show-ipcs": "show, 4,096 segments : ipcs -m",
        "show-lsipc": "the same : lsipc -m",
        "show-all": "show --all, 1,000 namespaces : nsenter and ipcs",
        "show-holders": "show --holders : grep /proc/*/maps"}),
    ("state", "Saving and restoring 1 GiB", {
        "save-tmpfs": "save to memory : cp",
        "save-disk": "save to a disk : cp and sync",
        "restore": "restore : cp"}),
]

WIDTH, LABELS, RIGHT = 760, 330, 70  # px: all, for the labels, for the numbers
ROW, TOP, BOTTOM = 30, 44, 34

STYLE = """
    text { font: 13px sans-serif; fill: #24292f }
    .title { font-weight: bold; font-size: 15px }
    .small { font-size: 11px; fill: #6e7781 }
    .grid { stroke: #d0d7de } .one { stroke: #57606a }
    .bar { fill: #0969da } .over { fill: #cf222e } .free { fill: #8c959f }
    .range { stroke: #24292f; stroke-width: 1.5 } .target { stroke: #1a7f37; stroke-width: 3 }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3 } .small { fill: #8d96a0 }
        .grid { stroke: #30363d } .one { stroke: #8d96a0 } .range { stroke: #e6edf3 }
        .bar { fill: #4493f8 } .over { fill: #f85149 } .target { stroke: #3fb950 }
    }
"""


def number(value):
    return f"{value:.3g}"


def chart(title, rows):
    """@p rows: (label, result of a comparison)."""
    values = [edge for _, r in rows for edge in (r["ratio_low"], r["ratio_high"], r["target"]) if edge]
    low = 10 ** math.floor(math.log10(min(values + [0.5])))
    high = max(2, max(values) * 1.1)
    height = TOP + ROW * len(rows) + BOTTOM
    foot = height - BOTTOM

    def x(value):
        return LABELS + (WIDTH - LABELS - RIGHT) * math.log(value / low) / math.log(high / low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           f'role="img" aria-label="{html.escape(title)}">', f"<style>{STYLE}</style>",
           f'<text class="title" x="8" y="22">{html.escape(title)}: time of ipcns, where the other tool takes 1</text>']
    for tick in (t * 10 ** e for e in range(-4, 2) for t in (1, 2, 5)):
        if not low <= tick <= high or (tick != 1 and low < 0.05 and f"{tick:e}"[0] != "1"):
            continue
        kind = "one" if tick == 1 else "grid"
        out.append(f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 8}" y2="{foot}"/>')
        out.append(f'<text class="small" x="{x(tick):.1f}" y="{foot + 14}" text-anchor="middle">{number(tick)}</text>')
    for i, (label, r) in enumerate(rows):
        y = TOP + ROW * i
        kind = "free" if r["target"] is None else "bar" if r["met"] else "over"
        out.append(f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{html.escape(label)}</text>')
        out.append(f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{max(1, x(r["ratio"]) - LABELS):.1f}" height="18" rx="2"/>')
        out.append(f'<line class="range" x1="{x(r["ratio_low"]):.1f}" x2="{x(r["ratio_high"]):.1f}" y1="{y + 9}" y2="{y + 9}"/>')
        if r["target"]:
            out.append(f'<line class="target" x1="{x(r["target"]):.1f}" x2="{x(r["target"]):.1f}" y1="{y - 4}" y2="{y + 22}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 10}" y="{y + 14}">{number(r["ratio"])}</text>')
    out.append(f'<text class="small" x="8" y="{height - 6}">blue: at most what is to reach (green line); red: more; '
               'grey: nothing set; thin line: 95 % of what the median may be; logarithmic</text>')
    return "\n".join(out) + "\n</svg>\n"


def charts(results):
    """{file name: SVG} for the groups of which there are results."""
    found = {}
    for name, title, labels in GROUPS:
        rows = [(label, results[row]) for row, label in labels.items() if row in results]
        if rows:
            found[f"{name}.svg"] = chart(title, rows)
    return found
