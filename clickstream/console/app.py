"""A tree of commands whose help names values as manual pages do: FILE, [AGENT]..., --date DAY."""

from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

NAMES = {
    "--as": "NAME",
    "--at": "TIME",
    "--before": "DAY",
    "--config": "FILE",
    "--date": "DAY",
    "--every": "DURATION",
    "--export": "FILE",
    "--from": "DAY",
    "--home": "DIR",
    "--last": "DAYS",
    "--out": "DIR",
    "--reason": "REASON",
    "--server": "NAME",
    "--to": "DAY",
    "--window": "DURATION",
}
"""An option of one name takes the same kind of value in every command."""


class Command(TyperCommand):
    """A command. Typer writes {file} and <path> where a manual page has FILE and PATH."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _name(self.params)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Where the options stand, then each argument."""
        return [self.options_metavar or "", *map(_usage, self._arguments())]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments and the options, each with its help."""
        options = [each for each in self.get_params(ctx) if isinstance(each, TyperOption)]
        for title, params in (("Arguments", self._arguments()), ("Options", options)):
            records = [_record(each, ctx) for each in params]
            shown = [record for record in records if record]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)

    def _arguments(self) -> list[TyperArgument]:
        return [each for each in self.params if isinstance(each, TyperArgument)]


class Group(TyperGroup):
    """A group of commands; it takes no arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _name(self.params)


class App(typer.Typer):
    """A group of commands, or the whole tree; alone it prints its help."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=Group, no_args_is_help=True, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[..., Any]:
        """As Typer's, with our help."""
        return super().command(name, cls=Command, **options)


def _name(params: Sequence[Any]) -> None:
    """Give each value a name, where the command gives it none."""
    for param in params:
        if param.metavar is None and isinstance(param, TyperArgument):
            param.metavar = str(param.name).upper()
        elif param.metavar is None and isinstance(param, TyperOption) and not param.is_flag:
            names = [NAMES[option] for option in param.opts if option in NAMES]
            param.metavar = names[0] if names else _kind(param)


def _kind(option: TyperOption) -> str:
    annotation = option.type_descriptor.annotation
    choices = option.type_descriptor.choices
    if choices:
        return f"[{'|'.join(map(str, choices))}]"
    return "N" if annotation in (int, float) else "TEXT"


def _usage(argument: TyperArgument) -> str:
    name = argument.metavar if argument.required else f"[{argument.metavar}]"
    return f"{name}..." if argument.nargs != 1 else str(name)


def _record(param: Any, ctx: Any) -> tuple[str, str] | None:
    record: tuple[str, str] | None = param.get_help_record(ctx)
    if record and isinstance(param, TyperArgument):
        return str(param.metavar), record[1]
    return record
