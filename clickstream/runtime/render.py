"""Templates and values to files: rendering touches no disk, `write` does."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clickstream.errors import ClickstreamError
from clickstream.home import write_atomic

if TYPE_CHECKING:
    from jinja2 import Environment


class File(NamedTuple):
    """A file to be: its name (may hold folders) and its text."""

    name: str
    content: str


def configs() -> Path:
    """The folder of templates: inside an installed package, or at the root of a checkout."""
    package = Path(__file__).parent.parent
    for directory in (package / "configs", package.parent / "configs"):
        if directory.is_dir():
            return directory
    raise ClickstreamError(f"there is no configs folder beside {package}", "install it again")


def render(template: str, **values: Any) -> str:
    """The text of a template under `configs/`; a value that is missing is a ClickstreamError.

    Values in templates named `*.xml` are escaped for XML.
    """
    from jinja2 import TemplateError

    try:
        return _environment().get_template(template).render(**values)
    except TemplateError as error:
        raise ClickstreamError(f"template {template}: {error}") from error


def write(files: Iterable[File], directory: Path) -> list[Path]:
    """Write each file below the directory, readable by its owner alone; returns the paths."""
    return [_write(directory / file.name, file.content) for file in files]


def _write(path: Path, content: str) -> Path:
    write_atomic(path, content, private=True)
    return path


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader(configs()),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("xml",)),
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
