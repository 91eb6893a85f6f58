"""The documentation runs: every example of every page, in the order of the page, in an empty folder.

| fence | what happens |
|---|---|
| ```` ```yaml FILE ````, `json FILE`, `jsonl FILE`, `toml FILE` | written to FILE |
| ```` ```python ```` | executed, in one namespace per page; with `>>>`, checked as a doctest |
| ```` ```console ```` | each `$ command` is run; what follows it must be its output; `# exit 1` says its exit code |
| ```` ```sh ````, `text`, and `yaml`, `json`, `toml` without FILE | only read by people; data must parse |

Outputs are compared as doctests are: `...` stands for anything, and white space is all alike.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import inspect
from ruamel.yaml import YAML

import slatewise
from slatewise.core.errors import PolicyError
from slatewise.core.policy import Policy
from slatewise.core.rules import Rule
from slatewise.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "decisions")]
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LIKE_DOCTESTS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FOLDERS = ("cli", "demo", "testing")
"""Parts of the package that the codemap names as a whole."""
LARGEST = 1e9
"""Numbers whose least value is beyond it, below zero, are said to be finite."""
SECONDS = 300
"""For one command; the first one on a machine compiles the kernels."""


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        line: Line of its first row of text, from 1.
        kind: First word of the info string.
        file: Second word; empty if there is none.
        text: What stands between the fences.
    """

    line: int
    kind: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    found: list[Block] = []
    opened: tuple[int, list[str]] | None = None
    rows: list[str] = []
    for number, row in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if opened is None and row.startswith("```"):
            opened, rows = (number + 1, row[3:].split()), []
        elif opened is not None and row == "```":
            line, words = opened
            assert 1 <= len(words) <= 2, f"{page}:{line - 1}: a fence says what it holds, and perhaps its file"
            found.append(Block(line, words[0], "".join(words[1:]), "\n".join(rows) + "\n"))
            opened = None
        else:
            rows.append(row)
    assert opened is None, f"{page}: a fence is not closed"
    return found


def run_page(page: Path) -> None:
    """Run a page's blocks, in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        match block.kind:
            case "yaml" | "json" | "toml" | "jsonl":
                _parse(block)
                if block.file:
                    Path(block.file).write_text(block.text, encoding="utf-8")
            case "python" if ">>>" in block.text:
                _doctest(block, names, where)
            case "python":
                # Blank lines in front, so that a traceback shows the line of the page.
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec", dont_inherit=True), names)
            case "console":
                _console(block, where)
            case "sh" | "text":
                pass
            case other:
                pytest.fail(f"{where}: nobody knows what to do with {other!r}")


def _parse(block: Block) -> None:
    readers: dict[str, Any] = {
        "yaml": YAML(typ="safe", pure=True).load,
        "json": json.loads,
        "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
        "toml": tomllib.loads,
    }
    readers[block.kind](block.text)


def _doctest(block: Block, names: dict[str, Any], where: str) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, names, where, where, block.line - 1)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=LIKE_DOCTESTS).run(test, out=report.append, clear_globs=False)
    assert not report, "".join(report)
    names.update(test.globs)


def _console(block: Block, where: str) -> None:
    commands = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not commands[0].strip(), f"{where}: a console block begins with `$ command`"
    for text in commands[1:]:
        command, *rows = text.splitlines()
        codes = [int(row.removeprefix("# exit ")) for row in rows if re.fullmatch(r"# exit \d+", row)]
        wanted = "\n".join(row for row in rows if not row.startswith("# exit ")).strip()
        code, got = _shell(command)
        assert code == (codes or [0])[0], f"{where}: `{command}` left with {code}\n{got}"
        if wanted:
            checker = doctest.OutputChecker()
            example = doctest.Example(command, wanted + "\n")
            right = checker.check_output(wanted + "\n", got.strip() + "\n", LIKE_DOCTESTS)
            assert right, f"{where}: `{command}`\n" + checker.output_difference(example, got, LIKE_DOCTESTS)


def _shell(command: str) -> tuple[int, str]:
    """Return exit code and output of a command."""
    done = subprocess.run(
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the scripts of this environment, a terminal of fixed width, and no colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    return tmp_path


@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_examples_of_a_page_run(page: Path) -> None:
    run_page(page)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```python\n>>> 1 + 1\n3\n```\n", "Expected"),
        ("```python\nassert 1 + 1 == 3, 'sums'\n```\n", "sums"),
        ("```console\n$ slatewise check nothing.yaml\n```\n", "left with 1"),
        ("```console\n$ echo one\ntwo\n```\n", "Expected"),
        ("```console\n$ true\n# exit 1\n```\n", "left with 0"),
        ("```yaml\na: [1\n```\n", "expected"),
        ("```json\n{1}\n```\n", "Expecting"),
        ("```haskell\n1\n```\n", "haskell"),
        ("```python\n1\n", "not closed"),
        ("```\n1\n```\n", "says what it holds"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(
    text: str, why: str, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", empty_folder)
    page = empty_folder / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(BaseException, match=why):
        run_page(page)


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=_name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        target, _, anchor = link.partition("#")
        if not re.match(r"[a-z]+:", target):
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), f"{_name(page)}: {link}"
            if anchor:
                assert anchor in _anchors(path), f"{_name(page)}: {link}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=_name)
def test_the_lines_of_a_page_are_short(page: Path) -> None:
    rows = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    long = [number for number, row in rows if len(row) > 120 and not row.startswith("| ")]
    assert not long, f"{_name(page)}: lines {long}"


def test_the_readme_shows_the_files_of_the_examples_folder() -> None:
    shown = {block.file: block.text for block in blocks(ROOT / "README.md") if block.file}
    for name in ("feed.yaml", "request.json"):
        assert shown[name] == (ROOT / "examples" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("policy", sorted((ROOT / "examples").glob("*.yaml")), ids=_name)
def test_the_policies_of_the_examples_folder_load(policy: Path) -> None:
    if "from: " in policy.read_text(encoding="utf-8"):
        with pytest.raises(PolicyError, match=r"from: must be a readable artefact"):  # it is fitted in the tutorial
            Policy.load(policy, STAGES)
    else:
        Policy.load(policy, STAGES)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_rules_in_running_text_are_rules(page: Path) -> None:
    """A table shows rules as `{name: ..., at_most: ...}`; each of them loads."""
    for text in re.findall(r"`(\{name: .*?\})`(?= |$)", page.read_text(encoding="utf-8"), re.MULTILINE):
        msgspec.convert(YAML(typ="safe", pure=True).load(text), Rule)


def test_the_codemap_names_every_module() -> None:
    codemap = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    home = Path(slatewise.__file__).parent
    modules = [path.relative_to(home) for path in home.rglob("*.py") if path.name != "__init__.py"]
    assert not [str(path) for path in modules if f"| `{path}` |" not in codemap and path.parts[0] not in FOLDERS]


def test_the_decisions_are_numbered_without_a_gap() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]


def stage_page(section: str) -> Path:
    """Return the page of a stage."""
    layer, verb = section.split(".")
    return ROOT / "docs" / layer / f"{verb}.md"


@pytest.mark.parametrize("section", STAGES)
def test_the_page_of_a_stage_shows_an_example(section: str) -> None:
    page = stage_page(section)
    assert page.read_text(encoding="utf-8").startswith(f"# `{section}`")
    assert {"python", "console"} & {block.kind for block in blocks(page)}


@pytest.mark.parametrize("section", STAGES)
def test_the_field_tables_of_a_stage_say_what_its_declaration_says(section: str) -> None:
    page = stage_page(section)
    tables = field_tables(page)
    for struct in _structs(STAGES[section]):
        assert struct.__name__ in tables, f"{_name(page)} has no heading with `{struct.__name__}` and a table"
        table = tables[struct.__name__]
        fields = msgspec.structs.fields(struct)
        config = struct.__struct_config__
        tag = {config.tag_field: (str(config.tag), "required")} if config.tag_field else {}
        assert set(table) == {field.encode_name for field in fields} | set(tag)
        assert {name: table[name] for name in tag} == tag
        for field in fields:
            kind, default = table[field.encode_name]
            assert default == _default(field), f"{_name(page)}: {struct.__name__}.{field.name}"
            for bound in _bounds(field.type):
                assert bound in kind, f"{_name(page)}: {struct.__name__}.{field.name} does not say {bound!r}"


def field_tables(page: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Return, by struct, its fields with what a page says of kind and default, without backticks.

    A table belongs to the struct that the heading above it names in backticks, such as "## Fields of `Solve`".
    """
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    struct = ""
    for row in page.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ .*`(\w+)`", row):
            struct = heading[1]
        elif row.startswith("#"):
            struct = ""
        elif struct and row.startswith("| `"):
            name, kind, default, *_ = [cell.strip().replace("`", "") for cell in row.strip("|").split(" | ")]
            tables.setdefault(struct, {})[name] = (kind, default)
    return tables


def _structs(kind: Any) -> list[type]:
    """Return a struct and all the structs in its fields."""
    found: list[type] = []
    todo = [inspect.type_info(kind)]
    while todo:
        one = todo.pop()
        if isinstance(one, inspect.StructType) and one.cls not in found:
            found.append(one.cls)
            todo += [field.type for field in one.fields]
        todo += _inner(one)
    return found


def _inner(kind: inspect.Type) -> list[inspect.Type]:
    singles = [getattr(kind, name, None) for name in ("type", "item_type", "key_type", "value_type")]
    several = [*getattr(kind, "types", ()), *getattr(kind, "item_types", ())]
    return [one for one in (*singles, *several) if isinstance(one, inspect.Type)]


def _bounds(kind: Any) -> list[str]:
    """Return the bounds of a field's values, as a table has to spell them."""
    found: list[str] = []
    todo = [inspect.type_info(kind)]
    while todo:
        one = todo.pop()
        if isinstance(one, inspect.StructType):
            continue
        low = getattr(one, "ge", None)
        found += [] if low is None else ["finite"] if low <= -LARGEST else [f"≥ {low:g}"]
        found += [f"> {one.gt:g}"] if getattr(one, "gt", None) is not None else []
        found += ["not empty"] if getattr(one, "min_length", None) else []
        found += [f"{value}" for value in getattr(one, "values", ())]
        todo += _inner(one)
    return found


def _default(field: msgspec.structs.FieldInfo) -> str:
    """Return a default as a table has to spell it."""
    if field.required:
        return "required"
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
