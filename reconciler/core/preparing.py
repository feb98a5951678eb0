"""What is run to its end before a service starts: Compose's `pre_start`. Pure; called by `plan` and `making`.

Each step is a container of its own, in the same networks and with the same mounts as the service. All of them are there
only between the moment in which an instance of the service could be made and that in which it is; so they are run once
for each revision, again when one failed, and not when the service is merely started again. Their end is seen on the
host like that of any container, whoever watched it.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core import instances, making
from reconciler.core.model import Container, Exited, State
from reconciler.core.reasons import Code, Reason
from reconciler.core.scene import Scene


def wanted(scene: Scene, step: Container) -> bool:
    """Whether an instance of the service is still to be made, so that what was run for it counts."""
    return any(_missing(scene, main) for main in _services(scene, step))


def due(scene: Scene, step: Container, now: float) -> bool:
    """Whether it is its turn: no step before it, and nothing but steps, keeps an instance from being made."""
    return not unprepared(scene, step)[0] and any(
        _missing(scene, main) and not making.not_ready(scene, main, image) and not making.asks_first(main, image, now)
        for main in _services(scene, step)
        for image in [instances.replica(scene, main).image]
    )


def unprepared(scene: Scene, container: Container) -> tuple[Reason | None, bool]:
    """Which of its steps has not succeeded and why, None for none; and whether that will end by itself."""
    for name, _ in container.steps:
        step = scene.desired.containers.get(name)
        seen = instances.replica(scene, step).current if step else None
        if step is None or (seen is not None and _succeeded(seen.state)):
            continue
        why = _why_not(seen.state) if seen else ""
        code: Code = "pre-start-failed" if why else "pre-start-running"
        return Reason(code, f"waits for {name}, which is run before it, to succeed{why}"), not why
    return None, False


def _succeeded(state: State) -> bool:
    return isinstance(state, Exited) and state.code == 0 and not state.stopped


def _why_not(state: State) -> str:
    if not isinstance(state, Exited) or state.stopped:
        return ""
    last = f': "{state.said}"' if state.said else ""
    return f"; it {'was out of memory' if state.oom else f'exited with code {state.code}'}{last}"


def _missing(scene: Scene, main: Container) -> bool:
    found = instances.replica(scene, main)
    return found.current is None and found.bad is None


def _services(scene: Scene, step: Container) -> Iterator[Container]:
    """The containers before which it is run."""
    for main in scene.desired.containers.values():
        if main.app == step.app and main.service == step.prepares and any(name == step.name for name, _ in main.steps):
            yield main
