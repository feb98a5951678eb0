"""The command line: verbs and their arguments, told to somebody who sees them for the first time.

Only argparse; no verb is imported here, so that `status` starts fast.
"""

from __future__ import annotations

import argparse

from reconciler import __version__
from reconciler.cli.settings import FILE, OPTIONS, PREFIX

_DESCRIPTION = """\
Keeps this host the way a directory of Compose files says: put a file in, and its
containers run; change it, and they follow; take it out, and they go.

There is no command that changes a container. `run` is the daemon; everything else
only looks, except `down`, which takes all of it off the host again.
"""

_EPILOGUE = f"""\
exit status: 0 well, 1 failed, 2 wrong usage, 3 invalid specs,
             4 not converged or something to do, 5 no daemon answers

Everything under "settings" can also stand in {FILE}
(specs = "/srv/specs") or in the environment ({PREFIX}SPECS=/srv/specs).
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of everything. Its result has `verb` and what the verb takes; settings that nobody gave are None."""
    parser = argparse.ArgumentParser(
        prog="reconciler",
        description=_DESCRIPTION,
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"reconciler {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    settings = _settings()

    def verb(name: str, help: str, description: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name, help=help, description=description, epilog=_EPILOGUE, parents=[settings], allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip

    _run(verb("run", "the daemon: make the host so, and keep it so", _RUN))
    _plan(verb("plan", "what the daemon would do now, step by step, and why", _PLAN))
    _check(verb("check", "whether specs are valid; needs neither root nor a daemon", _CHECK))
    _lock(verb("lock", "write down which digest each tag of the specs stands for", _LOCK))
    _status(verb("status", "what runs, what does not, and why", _STATUS))
    _why(verb("why", "why an app is not as its spec says, and what to do", _WHY))
    _history(verb("history", "what was done, why, and how it ended", _HISTORY))
    _show(verb("show", "what was in force at a revision of an app, and what came of it", _SHOW))
    _json(verb("images", "what the image store holds, and who uses what", _IMAGES))
    _json(verb("verify", "whether the image store is what was pulled; reads all of it", _VERIFY))
    _json(verb("doctor", "whether this host is fit, and what to do about it", _DOCTOR))
    verb("down", "take everything off the host again", _DOWN)
    return parser


_RUN = """\
Read the specs, make the host the way they say, and keep it so until stopped.
Stopping the daemon stops no container; starting it again finds them as they are.
"""
_PLAN = """\
Print every step that would be taken now, with its cause, and what has to wait.
Changes nothing. Exit status 0: nothing to do; 4: something; 3: a spec is invalid.
"""
_CHECK = """\
Read specs as the daemon would and print every mistake as file:line:column.
"""
_LOCK = """\
Ask the registries what the tags of the specs mean, print what is new, and write it to
reconciler.lock beside the specs. While that file exists it decides what runs. What is
locked already stays, but for --update. Exit status 4: --dry-run, and there is something.
"""
_STATUS = """\
Ask the daemon what runs. Exit status 0: everything is as the specs say;
4: not yet, and the table says why; 5: no daemon answers.
"""
_WHY = """\
Ask the daemon why an app, or one service of it, is not as its spec says: what it waits
for, what failed, since when, when it is tried again, and what you can do.
Exit status 0: it is as it says; 1: there is no such app; 4: it is not; 5: no daemon answers.
"""
_HISTORY = """\
List what the flight recorder has: revisions of apps, containers made, replaced, ended,
put in quarantine and removed. Asks the daemon; without one root reads the records.
"""
_SHOW = """\
Show a revision of an app: what its spec said (values that may be secret are not kept),
what differs from the one before, each container that was made for it with the plan that
was executed, its exit status and its last lines. The beginning of a revision is enough.
"""
_IMAGES = """\
List the images on this host with their sizes and the containers made from them.
Changes nothing; needs root.
"""
_VERIFY = """\
Read every layer and document of the image store again and compare it with what was
pulled. What is damaged is set aside, and the daemon fetches it again; containers that
run from it keep running. Exit status 0: all is whole; 1: something was not.
"""
_DOCTOR = """\
Look at tools, kernel, cgroups, firewall, addresses and disk space, and say what is
missing or known to be unsafe. Changes nothing. Exit status 0: fit; 1: not.
"""
_DOWN = """\
Stop and remove all containers, networks and firewall rules of this instance. Only
while no daemon runs. Volumes and images are data, and stay.
"""


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the directory of specs, as --specs")
    parser.add_argument("--once", action="store_true", help="stop when converged (0), or when stuck (4)")


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the directory of specs, as --specs")
    _json(parser)


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a spec, TOML or YAML, or a directory of them")


def _lock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", nargs="?", metavar="DIR", help="the directory of specs, as --specs")
    parser.add_argument("--update", nargs="*", metavar="APP", help="ask again for the tags of these apps, or of all")
    parser.add_argument("--dry-run", action="store_true", help="print the difference and write nothing")


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="show it again whenever something happens")
    _json(parser)


def _why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="APP[/SERVICE]", help="the app, or a service of it")
    _json(parser)


def _history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", nargs="?", default="", metavar="APP", help="this app only")
    _json(parser)


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="APP@REVISION", help="as `history` prints it")
    _json(parser)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text for people")


def _settings() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help=f"the file of settings (default: {FILE})")
    for option in OPTIONS:
        group.add_argument(option.flag, dest=option.key, metavar=option.metavar, help=option.help)
    return parent
