"""Which experiments does one params file describe? Under `grid` it has lists of values; each combination is a run."""

import re
from itertools import product
from pathlib import Path
from typing import Any

from anytime_lib.config import RunConfig, read_yaml
from anytime_lib.errors import ConfigError


def runs_of(params: str | Path) -> list[dict[str, Any]]:
    """The settings of each run of a params file: of a grid in a folder of its own within the grid's; else of one.

    Values of `tasks` and `methods` may be single names; a task keeps what the file has for it. A value that is a
    mapping with the parameter's own name in it sets several: `model: [{model: gpt-4o, base_url: ...}]`. ConfigError
    where a run makes no sense, or two would have one folder.
    """
    settings = read_yaml(params)
    if (axes := settings.pop("grid", None)) is None:
        return [settings]
    if not (isinstance(axes, dict) and axes and all(isinstance(values, list) and values for values in axes.values())):
        raise ConfigError(f"grid must have a list of values for each parameter, as `seed: [1, 2]`, not {axes!r:.80}")
    run = RunConfig(**{name: settings.pop(name) for name in ("run", "outputs") if name in settings}).run
    folder, tasks = run if len(Path(run).parts) > 1 else f"outputs/{run}", settings.get("tasks")
    found: dict[str, dict[str, Any]] = {}
    for values in product(*axes.values()):
        words, point = list[str](), dict(settings)
        for axis, value in zip(axes, values, strict=True):
            point |= value if isinstance(value, dict) and axis in value else {axis: value}
            word = re.sub(r"[^\w.]+", "-", str(point[axis])).strip("-")
            words.append(word if word[:1].isalpha() else f"{axis}-{word}")
        point |= {name: [point[name]] for name in ("tasks", "methods") if isinstance(point.get(name), str)}
        if isinstance(tasks, dict) and isinstance(point["tasks"], list):
            point["tasks"] = {task: tasks.get(task) for task in point["tasks"]}
        name = f"{folder}/{'_'.join(words)[:200]}"
        if name in found:
            raise ConfigError(f"grid: two runs would be named {name!r}; their values must differ in letters or digits")
        found[name] = {**point, "run": name}
        RunConfig(**found[name])
    return [*found.values()]
