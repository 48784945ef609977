"""The status as text: one screen."""

from clickstream.console.escape import printable
from clickstream.console.program import spoken
from clickstream.status.collector import Found, Status


def text(status: Status) -> str:
    """A line for each part, then what is wrong and what is due; no character obeys a log."""
    titles = {name: name.replace("_", " ") for name in status.parts}
    width = max(map(len, titles.values()))
    lines = [f"{status.home}  as of {status.at}"]
    lines += [f"{titles[name]:<{width}}  {part.summary}" for name, part in status.parts.items()]
    lines += _listed("wrong", status.wrong)
    lines += _listed("due", [found for found in status.problems if not found.problem.wrong])
    return "".join(f"{printable(line)}\n" for line in lines)


def _listed(title: str, problems: list[Found]) -> list[str]:
    lines = []
    for found in problems:
        hint = f": {spoken(found.problem.hint)}" if found.problem.hint else ""
        lines.append(f"  {found.problem.text}{hint}")
    return [f"{title}:", *dict.fromkeys(lines)] if lines else []
