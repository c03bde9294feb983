""".ci/language.py: which phrases and commit subjects it reports."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import REPOSITORY

SCRIPT = REPOSITORY / ".ci" / "language.py"


@pytest.fixture
def language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, in an empty repository where every path is checked."""
    spec = importlib.util.spec_from_file_location("language", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "language", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "CHECKED", [""])
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return module


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, subject: str) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", subject)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        (
            "a.md",
            "It begins.\n\n```\nIt begins.\n```\n\nNo word in `begins` counts.\n\nIt began.\n",
            [1, 9],
        ),  # language: ok
        ("a.md", "It begins. <!-- language: ok -->\n", []),  # language: ok
        ("a.py", '"""Start.\n\nSeldom.\n\n>>> "anew"\n"""\n', [3]),  # language: ok
        ("a.py", '"""Start."""\n\nraise ValueError("what came of it")\n', [3]),  # language: ok
        ("a.py", '"""Start."""\n\nbegin = 1  # at hand\n', [3]),  # language: ok
        ("a.py", '"""What it does."""\n', [1]),
        ("tests/a.py", '"""Start."""\n\nTEXT = "tell me a secret"\n', []),
        ("a.yaml", "description: made anew\n", [1]),
        ("a.txt", "It begins.\n", []),
        ("a.md", "At least one of the least recently used.\n", []),
    ],
)
def test_phrases_are_reported_by_line(language: ModuleType, name: str, text: str, lines: list[int]) -> None:
    path = language.ROOT / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert [found.line for found in language.check(name)] == lines
    assert language.main([name]) == bool(lines)
    assert language.main([]) == bool(lines)


def test_folders_that_are_not_checked_are_counted_and_do_not_fail(
    language: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(language, "CHECKED", ["good/"])
    for name in ("good", "open"):
        (language.ROOT / name).mkdir()
        (language.ROOT / name / "a.md").write_text("It begins.\n")
    assert language.main([]) == 1
    (language.ROOT / "good" / "a.md").unlink()
    capsys.readouterr()
    assert language.main([]) == 0
    assert capsys.readouterr().out.startswith("language: open: 1 ")


@pytest.mark.parametrize(
    ("subject", "good"),
    [
        ("sink: retry inserts that time out", True),
        ("worker, sink: need no lock", True),
        ("Merge branch 'main'", True),
        ("sink: " + "x" * 80, False),
        ("Retry inserts", False),
        ("sink: the retries of inserts", False),
        ("sink: retried inserts", False),
        ("sink: retrying inserts", False),
        ("sink: retry inserts.", False),
    ],
)
def test_commit_subjects(language: ModuleType, tmp_path: Path, subject: str, good: bool) -> None:
    assert (language.subject_problems(subject) == []) is good
    message = tmp_path / "COMMIT_EDITMSG"
    message.write_text(f"# a comment\n{subject}\n\nbody\n")
    assert language.main(["--message", str(message)]) == (not good)


def test_commits_since_the_check_exists_are_checked_on_main_and_new_ones_on_a_branch(language: ModuleType) -> None:
    root: Path = language.ROOT
    commit(root, "An old subject")
    assert language.main([]) == 0
    (root / ".ci").mkdir()
    (root / ".ci" / "language.py").write_text('"""Nothing."""\n')
    git(root, "add", ".ci")
    commit(root, "ci: check the language")
    assert language.main([]) == 0
    commit(root, "A bad subject on main")
    assert language.main([]) == 1
    git(root, "switch", "--quiet", "--create", "branch")
    commit(root, "sink: retry inserts")
    assert language.main([]) == 0
    commit(root, "A bad subject on a branch")
    assert language.main([]) == 1
