"""A problem of 16 classes in four groups from what every Debian machine has: short descriptions of packages, their sections as labels.

python3 benches/debian_sections.py > sections.csv     (after apt-get update; 200 packages a section, drawn by a fixed seed)

Columns: text, label (the section), path (group/section). Packages that come of one source package share their words, so one of each is taken.
"""

import csv
import random
import subprocess
import sys

GROUPS = {
    "media": ["sound", "video", "graphics", "fonts"],
    "network": ["mail", "web", "net", "admin"],
    "knowledge": ["science", "math", "electronics", "hamradio"],
    "pastime": ["games", "editors", "database", "text"],
}
EACH = 200


def main() -> None:
    groups = {section: group for group, sections in GROUPS.items() for section in sections}
    found = {section: {} for section in groups}
    dump = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    for block in dump.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " ")
        section, text = fields.get("Section"), fields.get("Description")
        if section in found and text and len(text.split()) > 2:
            found[section].setdefault(fields.get("Source", fields["Package"]).split(" ")[0], text)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["text", "label", "path"])
    for section, packages in found.items():
        names = sorted(packages)
        random.Random(section).shuffle(names)
        for name in names[:EACH]:
            out.writerow([packages[name], section, f"{groups[section]}/{section}"])


main()
