"""Where the program starts, and the only place where it ends itself: verb in, exit status out.

Each verb is imported when it is asked for, so that `status` does not pay for the daemon. What went wrong is one
sentence on standard error; a traceback is for who asks for it (RECONCILER_DEBUG=1).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from reconciler.cli import codes
from reconciler.cli.parser import build_parser
from reconciler.cli.settings import SettingsError, read_settings
from reconciler.errors import ReconcilerError, SpecError


def main(argv: Sequence[str] | None = None) -> int:
    """Do what `argv` says; the result is the exit status. Raises SystemExit only where argparse does."""
    arguments = build_parser().parse_args(argv)
    try:
        return _do(arguments)
    except ReconcilerError as error:
        sys.stderr.write(f"{error}\n")
        return _code(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our output is gone; Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return codes.FAILURE
    except Exception as error:
        if os.environ.get("RECONCILER_DEBUG"):
            raise
        sys.stderr.write(
            f"cannot finish {arguments.verb}: {type(error).__name__}: {error}; this is a mistake in reconciler, "
            "and RECONCILER_DEBUG=1 shows where\n"
        )
        return codes.FAILURE


def _do(arguments: argparse.Namespace) -> int:
    given = vars(arguments)
    if given.get("directory") is not None:
        given = {**given, "specs": given["directory"]}
    settings = read_settings(given, os.environ)
    verb = import_module(f"reconciler.cli.{arguments.verb}")
    code = getattr(verb, arguments.verb)(settings, arguments)
    sys.stdout.flush()
    return int(code)


def _code(error: ReconcilerError) -> int:
    match error:
        case SettingsError():
            return codes.USAGE
        case SpecError():
            return codes.INVALID
        case _:
            return codes.FAILURE


if __name__ == "__main__":
    sys.exit(main())
