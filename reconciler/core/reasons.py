"""Why something is not as it should be: a closed list of codes, and for each what it means and what a person can do.

The codes are part of the interface: scripts and monitoring depend on them, so none ever changes its meaning. Whoever
makes a `Wait` names one; `core.why` finds those of tasks and of their failures. README has this list as a table, and a
test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Code = Literal[
    "specs-unreadable",
    "spec-invalid",
    "spec-gone",
    "removal-held",
    "tombstones-unreadable",
    "tombstone-void",
    "lock-incomplete",
    "image-missing",
    "image-not-pulled",
    "image-asked",
    "image-uncertain",
    "network-missing",
    "network-undeclared",
    "namespace-missing",
    "no-address",
    "resolver-missing",
    "ruleset-missing",
    "port-taken",
    "volume-missing",
    "volume-external",
    "volume-in-use",
    "dependency-not-started",
    "dependency-not-healthy",
    "dependency-unhealthy",
    "dependency-unchecked",
    "dependency-not-completed",
    "dependency-failed",
    "dependents-running",
    "pre-start-running",
    "pre-start-failed",
    "run-before",
    "update-turn",
    "update-delay",
    "update-not-ready",
    "update-moving",
    "update-watched",
    "update-draining",
    "quarantined",
    "stopping",
    "crash-loop",
    "tries-exhausted",
    "health-starting",
    "unhealthy",
    "pulling",
    "preparing",
    "starting",
    "running-hooks",
    "ending",
    "removing",
    "repairing",
    "noting",
    "tidying",
    "pull-denied",
    "pull-absent",
    "pull-unreachable",
    "pull-distrusted",
    "pull-failed",
    "disk-full",
    "hook-failed",
    "step-failed",
    "undone",
    "firewall-foreign",
    "mirror-failed",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something cannot be done now: the code for programs, the sentence for people."""

    code: Code
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Since:
    """Since when, in seconds since the epoch: by key and code what is not well, and by app what is."""

    ill: Mapping[tuple[str, Code], float] = field(default_factory=dict)
    well: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means, and one sentence on what a person can do."""

    meaning: str
    advice: str


_SOON = "Nothing: it goes on by itself."
_LOG = "Read its last lines with `reconciler show APP@REVISION`, and change the spec or the image."

EXPLAINED: Mapping[Code, Explanation] = {
    # specs
    "specs-unreadable": Explanation(
        "the directory of specs cannot be read, so nothing is removed",
        "Make the directory readable, or give the right one with `specs` in the settings.",
    ),
    "spec-invalid": Explanation(
        "the spec cannot be used, so the app stays as it runs",
        "Mend the file at the line that is named; `reconciler check` tells whether it is well.",
    ),
    "spec-gone": Explanation(
        "the spec is gone, and the app goes too unless it comes back at once",
        "Put the file back if that was not meant.",
    ),
    "removal-held": Explanation(
        "so many apps have left the specs at once that they stay until somebody says that it was meant",
        "Put the files back, or name the apps in the file of tombstones beside the specs.",
    ),
    "tombstones-unreadable": Explanation("the file of tombstones cannot be read", "Mend the file."),
    "tombstone-void": Explanation(
        "the app has a tombstone, and a spec that declares it", "Take its line out of the file of tombstones."
    ),
    "lock-incomplete": Explanation(
        "the lock file cannot be used, or has no digest for a tag",
        "Write it anew with `reconciler lock`.",
    ),
    # images
    "image-missing": Explanation("the image is not here yet", "See what keeps the image: it has a line of its own."),
    "image-not-pulled": Explanation(
        "the image is not here, and its pull_policy is never",
        "Put the image on this host, or change `pull_policy`.",
    ),
    "image-asked": Explanation("the registry is asked what the tag is now", _SOON),
    "image-uncertain": Explanation("unused images are thrown away, and nobody wanted this one before", _SOON),
    # networks, names, ports
    "network-missing": Explanation(
        "a network is not there yet", "See what keeps the network: it has a line of its own."
    ),
    "network-undeclared": Explanation(
        "no spec declares the network", "Declare the network in a spec, or take it out of this one."
    ),
    "namespace-missing": Explanation(
        "the container whose network it uses does not run", "See why that container does not run."
    ),
    "no-address": Explanation(
        "there is no address or subnet to give", "Choose a larger or another subnet, or another address."
    ),
    "resolver-missing": Explanation("nobody answers for names in its networks yet", _SOON),
    "ruleset-missing": Explanation("the firewall does not know yet where it may connect to", _SOON),
    "port-taken": Explanation(
        "another program listens on a host port that it publishes", "Stop that program, or publish another port."
    ),
    # volumes
    "volume-missing": Explanation("a volume is not there yet", "See what keeps the volume: it has a line of its own."),
    "volume-external": Explanation(
        "a volume is external and does not exist", "Make the volume, or declare it without `external`."
    ),
    "volume-in-use": Explanation(
        "an exclusive volume is in use by another container", "Nothing, or stop that container in its spec."
    ),
    # order
    "dependency-not-started": Explanation("what it depends on has not started", "See why that service does not run."),
    "dependency-not-healthy": Explanation("what it depends on is not healthy yet", _SOON),
    "dependency-unhealthy": Explanation("what it depends on is unhealthy", "See why that service is unhealthy."),
    "dependency-unchecked": Explanation(
        "what it depends on has to be healthy, and nobody asks whether it is",
        "Write a `healthcheck` for that service, or use another condition.",
    ),
    "dependency-not-completed": Explanation("what it depends on has not completed", _SOON),
    "dependency-failed": Explanation(
        "what it depends on ended with an error", "See why that service failed, and change its spec or image."
    ),
    "dependents-running": Explanation("it is stopped only after what depends on it", _SOON),
    "pre-start-running": Explanation("what is run before it has not ended yet", _SOON),
    "pre-start-failed": Explanation(
        "what is run before it failed, and is tried again", "See why it failed, and change its command or image."
    ),
    "run-before": Explanation("the run before of the job has not ended, and the next one waits for that", _SOON),
    # updates
    "update-turn": Explanation("another replica is replaced first", _SOON),
    "update-delay": Explanation("there is a delay between two replicas", _SOON),
    "update-not-ready": Explanation("the new container runs and is not ready yet", _SOON),
    "update-moving": Explanation("ports and names move to the new container, or to the other replicas", _SOON),
    "update-watched": Explanation("the new container serves and is watched for a while", _SOON),
    "update-draining": Explanation("connections to the old container have time to end", _SOON),
    "quarantined": Explanation(
        "the revision failed, is not tried again, and the last good one is in force, if there is one",
        "Change the spec or the image; `reconciler show APP@REVISION` has its last lines.",
    ),
    # running
    "stopping": Explanation("it was told to stop and has time for that", _SOON),
    "crash-loop": Explanation("it ended soon after its start, again and again, and is started after a pause", _LOG),
    "tries-exhausted": Explanation("it failed as often as its restart policy allows", _LOG),
    "health-starting": Explanation("it runs, and its health test has not said yet that it is well", _SOON),
    "unhealthy": Explanation("its health test fails", _LOG),
    # being done
    "pulling": Explanation("the image is fetched, or its tag asked for", _SOON),
    "preparing": Explanation("a network or a volume is made", _SOON),
    "starting": Explanation("it is made or started", _SOON),
    "running-hooks": Explanation("commands of the spec run in it", _SOON),
    "ending": Explanation("it is stopped", _SOON),
    "removing": Explanation("it is taken off the host", _SOON),
    "repairing": Explanation("what somebody changed by hand is put right", _SOON),
    "noting": Explanation("something about revisions is written down", _SOON),
    "tidying": Explanation("rules, names, logs or what was left behind are brought up to date", _SOON),
    # failed, and tried again
    "pull-denied": Explanation(
        "the registry refuses the image to this login, or to nobody", "Log in as root, or name the right image."
    ),
    "pull-absent": Explanation("the registry has no such image", "Mend the name or the tag, or push the image."),
    "pull-unreachable": Explanation(
        "the registry gives no proper answer", "Nothing if it comes back; else look at network, names and registry."
    ),
    "pull-distrusted": Explanation(
        "the settings do not trust the image", "Sign it, name its digest, or change `[trust]` in the settings."
    ),
    "pull-failed": Explanation("the image cannot be fetched or used", "Do what the error says."),
    "disk-full": Explanation("the disk is full", "Make room on the disk with the state directory."),
    "hook-failed": Explanation("a command of `post_start` or `pre_stop` fails", "Mend the command in the spec."),
    "step-failed": Explanation("the host did not do what it was told", "Do what the error says."),
    "undone": Explanation(
        "somebody keeps undoing what is put right", "Find out who does it: another program manages the same thing."
    ),
    # of others
    "firewall-foreign": Explanation(
        "a firewall of somebody else drops what containers send or get", "Run the command that is named."
    ),
    "mirror-failed": Explanation("a mirror is passed over", "Look at the mirror, or take it out of the settings."),
}
