"""The ``frostbert`` command line: the same program as the binary."""

from __future__ import annotations

import signal
import sys

from ._native import command_line


def main() -> None:
    """Runs the command line with this process's arguments."""
    # Python would only note Ctrl-C until the command ends; the command is to end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(command_line(["frostbert", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
