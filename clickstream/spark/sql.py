"""The SQL of Spark's jobs: a file for each query, beside the job that asks it."""

from importlib.resources import files
from string import Template


def query(package: str, name: str, **ours: str | int) -> str:
    """The text of `name.sql` in a package, with `ours` in the place of each `$name` in it.

    They are constants, names and expressions of this program; nothing that a user or a log says is
    ever among them: that is bound (`:name`) where the query is run. Raises KeyError where one is
    missing, ValueError where the file has no place for one.
    """
    template = Template((files(package) / f"{name}.sql").read_text("utf-8"))
    if unknown := ours.keys() - set(template.get_identifiers()):
        raise ValueError(f"{name}.sql has no place for {', '.join(sorted(unknown))}")
    return template.substitute(ours)
