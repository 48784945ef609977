"""What the layout promises: who imports whom, and that every command explains itself."""

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import clickstream
from clickstream.cli import app

PACKAGE = Path(clickstream.__file__).parent
AREAS = {"stack", "ingest", "speed", "batch", "serve"}
SPANNING = {"audit", "demo", "explain", "status", "dashboard", "doctor", "prune"}
"""What may import every area, and one another; of the rest only `cli` imports it."""
HEAVY = {
    "pyspark",
    "cassandra",
    "sqlalchemy",
    "confluent_kafka",
    "hdfs",
    "pydantic",
    "psutil",
    "starlette",
    "uvicorn",
    "prometheus_client",
}
OWNERS = {
    "hdfs": {"clickstream/clients/hdfs.py"},
    "confluent_kafka": {"clickstream/clients/kafka"},
    "cassandra": {"clickstream/views/", "clickstream/stack/cassandra"},
    "starlette": {"clickstream/dashboard/"},
    "uvicorn": {"clickstream/dashboard/run.py"},
    "prometheus_client": {"clickstream/dashboard/metrics.py"},
    "cryptography": {"clickstream/stack/authority.py"},
    "pymysql": {"clickstream/stack/mariadb.py", "clickstream/views/batch"},
}
JOINING = (".joinpath", ".with_name")
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever it does so, by its full name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def area(module: str) -> str:
    """`clickstream.ingest.spool.chunks` -> `ingest`; a plain module -> its own name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "clickstream" else ""


def ours(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_areas_never_import_one_another(path):
    own = area(ours(path))
    used = {area(name) for name in imports(path)}
    if own in AREAS or own == "views":
        assert not used & (AREAS | SPANNING) - {own}
    elif own not in SPANNING | {"cli"}:
        assert not used & (AREAS | SPANNING | {"views"})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_client_is_used_in_one_place(path):
    here = str(path.relative_to(PACKAGE.parent))
    for module in imports(path):
        places = OWNERS.get(module.split(".")[0])
        assert places is None or here.startswith(tuple(places)), f"{here} imports {module}"


def test_there_is_one_display():
    users = [ours(path) for path in FILES if any(n.startswith("rich.live") for n in imports(path))]
    assert users == ["clickstream.console.live"]


def paths_made(path: Path) -> Iterator[tuple[str, str]]:
    """Each name that a file puts below a path, in plain text: (the path's expression, the name)."""
    for node in ast.walk(ast.parse(path.read_text())):
        base, added = None, []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            base, added = node.left, [node.right]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(JOINING):
            base, added = node.func.value, node.args
        for each in added:
            yield ast.unparse(base), str(each.value) if isinstance(each, ast.Constant) else ""


def names_of_a_home() -> set[str]:
    """The names that home.py gives to files and folders of a home, wherever they stand there."""
    file = PACKAGE / "home.py"
    body = ast.parse(file.read_text()).body
    constants = [node.value for node in body if isinstance(node, ast.Assign)]
    named = {str(each.value) for each in constants if isinstance(each, ast.Constant)}
    return (named | {name for _, name in paths_made(file)}) - {""}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_path_of_a_home_is_made_elsewhere(path):
    names = names_of_a_home()
    assert {"ledger.db", "ports.json", "run", "logs", "channels", "stack.lock"} <= names
    if path == PACKAGE / "home.py":
        return
    for base, name in paths_made(path):
        below = base.endswith((".home", ".root")) or ".files." in base
        own = base == "self.directory" and path.parent.name == "stack"  # a service's own layout
        assert not below, f"{base} / {name!r}: give it a name in home.Home"
        assert own or name not in names, f"{base} / {name!r}: home.Home has a name for it"


def imported_at_the_top(path: Path) -> set[str]:
    """Our modules that must be there before this one is: not those of types, nor of functions."""
    own = ast.parse(path.read_text())
    top = ast.Module([node for node in own.body if not isinstance(node, ast.If)], [])
    for node in ast.walk(top):
        if isinstance(node, ast.FunctionDef):
            node.body = []
    names = {name for node in ast.walk(top) for name in from_clickstream(node)}
    return {module for name in names for module in (module_of(name),) if module != ours(path)}


def from_clickstream(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("clickstream"):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str:
    """The module that an imported name is, or is in."""
    place = PACKAGE.parent.joinpath(*name.split("."))
    is_module = place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
    return name if is_module else name.rpartition(".")[0]


def test_no_module_is_in_a_cycle():
    graph = {ours(path).removesuffix(".__init__"): imported_at_the_top(path) for path in FILES}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_can_be_read_in_one_go(path):
    assert len(path.read_text().splitlines()) <= 400


def test_functions_are_short():
    kinds = ast.FunctionDef, ast.AsyncFunctionDef
    found = (node for path in FILES for node in ast.walk(ast.parse(path.read_text())))
    lengths = [node.end_lineno - node.lineno + 1 for node in found if isinstance(node, kinds)]
    assert median(lengths) <= 9


def undocumented(node: ast.AST, inside: str = "") -> Iterator[str]:
    """Public classes, functions and methods that do not say what they are for."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, (ast.FunctionDef, ast.ClassDef)) and each.name[0] != "_":
            if not ast.get_docstring(each):
                yield inside + each.name
            if isinstance(each, ast.ClassDef):
                yield from undocumented(each, f"{inside}{each.name}.")


def test_what_is_undocumented_is_found():
    tree = ast.parse("def a(): ...\ndef _b(): ...\nclass C:\n  'c'\n  def d(self): ...")
    assert list(undocumented(tree)) == ["a", "C.d"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_public_name_is_documented(path):
    module = ast.parse(path.read_text())
    assert ast.get_docstring(module)
    assert list(undocumented(module)) == []


def test_every_file_is_read():
    assert len(FILES) > 30


def commands(node, path=()):
    yield path, node
    for name, child in getattr(node, "commands", {}).items():
        yield from commands(child, (*path, name))


def every_command():
    from typer.main import get_command

    return list(commands(get_command(app)))


@pytest.mark.parametrize(("path", "node"), every_command(), ids=lambda value: str(value)[:40])
def test_every_command_has_help_with_an_example(path, node):
    text = node.help or ""
    example = text.partition("Example: clickstream ")[2]
    assert not path or " ".join(path) in example, f"clickstream {' '.join(path)}: {text!r}"
    for parameter in node.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", "") or parameter.name, path


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv=['clickstream','--help']\n"
        "from clickstream.cli import main\n"
        "main(); print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("MODULES", 1)[1].split())
    assert "clickstream.cli" in loaded
    assert not loaded & HEAVY


def test_the_contract_of_names():
    known = {" ".join(path) for path, _ in every_command()}
    wanted = """demo, stack up, stack down, stack status, stack logs, stack clean, weblog generate,
    weblog put, weblog list, weblog check, ingest render, ingest start, ingest stop, ingest status,
    ingest replay, ingest follow, ingest rejects, ingest ledger rebuild, ingest ledger publish,
    speed run, speed status, speed stop, speed reset, speed rebuild, batch run, batch status,
    report popularity, report ddos, report health, report visitors, report responses,
    report distribution, report hourly, report categories, report traffic, config show, audit,
    report all, alert list, alert show, status, explain line,
    prove, prune, doctor"""
    assert {" ".join(name.split()) for name in wanted.split(",")} <= known


def test_the_wheel_renders_an_agent(tmp_path):
    root = PACKAGE.parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("not a checkout")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    common = ["--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *common, "-w", tmp_path, root], check=True)
    (wheel,) = tmp_path.glob(f"clickstream-{clickstream.__version__}-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    about = f"clickstream-{clickstream.__version__}.dist-info"
    assert {"clickstream/py.typed", f"{about}/licenses/LICENSE"} <= packed
    queries = {str(path.relative_to(root)) for path in PACKAGE.rglob("*.sql")}
    assert queries
    assert queries <= packed
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", *common, "--target", target, wheel], check=True)
    code = (
        "import clickstream, pathlib\n"
        f"assert pathlib.Path(clickstream.__file__).is_relative_to({str(target)!r})\n"
        "from clickstream import cli\n"
        f"raise SystemExit(cli.main(['--home', {str(tmp_path / 'home')!r}, 'ingest', 'render',"
        f" 'agent1', '--out', {str(tmp_path / 'conf')!r}]))"
    )
    env = {
        "PYTHONPATH": str(target),
        "PATH": "/usr/bin:/bin",
        "CLICKSTREAM_HDFS__URL": "hdfs://h:1",
    }
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=env)
    assert "agent1.sources = spool" in (tmp_path / "conf" / "agent1" / "flume.conf").read_text()
