"""What a program of a Reprise study needs; copy it beside yours (configs/programs.md)."""
import json
import os
import tempfile

# The task file; empty outside a study, where all of this still works.
TASK = json.load(open(os.environ["REPRISE_TASK"])) if "REPRISE_TASK" in os.environ else {}


def seed(name):
    """A seed below 2**31 of its own for data, evaluation, model, other or search."""
    return TASK.get("seeds", {}).get(name, 0)


def log(step, **metrics):
    """Gives metrics at a step. What was given stays, however the program ends."""
    with open(os.environ.get("REPRISE_METRICS", "/dev/stdout"), "a") as out:
        out.write(json.dumps({"step": step, **metrics}) + "\n")


def finish(**metrics):
    """Gives the result: written whole, then renamed into place."""
    path = os.environ.get("REPRISE_RESULT")
    if path is None:
        return print(json.dumps(metrics))
    with open(path + ".new", "w") as out:
        json.dump(metrics, out)
    os.rename(path + ".new", path)


def save(generation, state):
    """Keeps where the program stands, in anything that JSON can hold."""
    if directory := os.environ.get("REPRISE_CHECKPOINT"):
        with tempfile.NamedTemporaryFile("w", dir=directory, prefix=".", delete=False) as out:
            json.dump(state, out)
        os.rename(out.name, os.path.join(directory, f"{generation:012}"))


def resume():
    """Where an earlier attempt stood, or None."""
    path = os.environ.get("REPRISE_RESUME")
    return json.load(open(path)) if path else None
