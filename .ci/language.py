"""Report phrases that this repository avoids, and commit subjects that do not follow the rule.

Usage::

    language.py                  check all tracked files and recent commits (make lint)
    language.py FILE ...         check these files (commit hook)
    language.py --message FILE   check a commit message (commit-msg hook)

Findings in CHECKED paths fail; all other folders are counted. A line with ``language: ok`` in a comment is skipped.
CONTRIBUTING.md, "Language", has the reasons.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CHECKED = [
    ".ci/",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "agents/",
    "benchmarks/",
    "client/benchmarks/",
    "client/src/",
    "docker/",
    "docs/README.md",
    "docs/adr/",
    "docs/architecture.md",
    "docs/budget.md",
    "docs/concepts.md",
    "docs/extend/",
    "docs/integrations/",
    "docs/learning.md",
    "docs/models/",
    "docs/operations.md",
    "docs/otlp.md",
    "docs/quality.md",
    "docs/reviewers.md",
    "docs/security.md",
    "docs/shadow.md",
    "docs/sql.md",
    "evaluation/",
    "examples/",
    "processing/",
    "schemas/",
    "streams/",
    "tests/contract/",
    "tests/docs/",
    "tests/unit/",
    "tools/",
    "training/",
]
LEXICONS = [
    "agents/hallucination/abstention.py",
    "agents/injection/use_mention.py",
    "client/src/streamgauge/redaction/keys.py",
]
"""Files whose strings are matched against the text of users."""
"""Finished paths. Add a folder when its count is zero."""
DATA = [
    ".ci/language.py",
    "CHANGELOG.md",
    "agents/hallucination/lexicon.py",
    "agents/injection/concepts.py",
    "tools/simulator/apps.py",
    "tools/simulator/samples/",
    "training/hard_cases.py",
]
"""Paths with data instead of prose, or with history: skipped."""
PHRASES: dict[str, str] = {
    r"begin(s|ning)?|began|begun": "start",
    r"anew": "again, from scratch",
    r"seldom": "rarely",
    r"at hand": "current",
    r"for ever": "forever",
    r"dear(er|est)": "more expensive",
    r"(?<!at )least (?!recently|significant|squares)": "minimum",
    r"what (became|becomes|came|comes) of": "the result of",
    r"whose (data )?(it|that) is": "the owner",
    r"that which": "the noun itself",
    r"sa(id|y|ys|ying)": "report, state, return",
    r"t(old|ell|ells|elling)": "report, emit, show",
    r"hear(d|s|ing)?": "receive",
    r"believ(e|ed|es|ing)": "trust, assume",
    r"judg(ed|ing)": "score, process (the LLM judge alone judges)",
    r"mend(s|ed)?": "fix",
    r"the gateway": "the ingest service",
    r"dwell(s|ed)?|thereby|hereby|wherein|thereof": "plain words",
}
JUDGES = ["streams/reviewers/", "docs/reviewers.md", "tests/unit/streams/reviewers/"]
"""Paths about the LLM judge, where *judged* is right."""
OPENING = re.compile(r"(What|Which|Whether|How|Who|Whom|Whose|When|Where|Is|Does|Do)\b")
RULES = [(re.compile(rf"\b(?:{phrase.strip()})\b", re.IGNORECASE), text) for phrase, text in PHRASES.items()]
ESCAPE = "language: ok"
CODE_SPAN = re.compile(r"``[^`]+``|`[^`\n]+`|\"[^\"\n]*\"")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
SUBJECT = re.compile(r"^[a-z0-9][a-z0-9 ,./_-]*: (?P<verb>[a-z][\w-]*) \S.*[^.]$")
NO_VERB = re.compile(
    r"^(the|an?|no|one|more|less|now|also|some|all|what|how|(?!bring|ping|string)\w+ing|(?!need|embed|feed|seed|shed)\w+ed)$"
)
LONGEST = 72
COMMITS = 20


class Finding(NamedTuple):
    """A phrase to avoid, and the words to use."""

    path: str
    line: int
    phrase: str
    use: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: write {self.use}"


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    if arguments[:1] == ["--message"]:
        problems = subject_problems(message_subject(Path(arguments[1]).read_text()))
        return report(f"commit subject: {problem}" for problem in problems)
    if arguments:
        return report(str(found) for name in arguments for found in check(name) if is_checked(found.path))
    found = [finding for name in tracked() for finding in check(name)]
    open_folders = Counter(folder(f.path) for f in found if not is_checked(f.path))
    for name, count in sorted(open_folders.items()):
        print(f"language: {name}: {count} phrases (not in CHECKED yet)")
    failures = [str(f) for f in found if is_checked(f.path)]
    failures += [f"commit {sha[:10]}: {p}" for sha, subject in commits() for p in subject_problems(subject)]
    return report(failures)


def report(problems: Iterable[str]) -> int:
    """Print problems; return 1 if there are any."""
    lines = list(problems)
    for line in lines:
        print(line)
    return 1 if lines else 0


def is_checked(path: str) -> bool:
    """Return True if findings in a path fail."""
    return path.startswith(tuple(CHECKED)) and path not in LEXICONS


def folder(path: str) -> str:
    """Return the folder under which a path is counted: two levels deep at most."""
    parts = Path(path).parts[:-1]
    return "/".join(parts[:2]) or "."


def tracked() -> list[str]:
    """Return the files that git tracks or would track."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard")
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def git(*arguments: str) -> str:
    """Return the output of a git command, empty if it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout if done.returncode == 0 else ""


def check(name: str) -> Iterator[Finding]:
    """Yield the findings of one file."""
    path = Path(name)
    if name.startswith(tuple(DATA)) or not (text := readable(ROOT / name)):
        return
    lines = text.splitlines()
    for number, prose in passages(path, text):
        for start, line in enumerate(prose.splitlines(), number):
            if start <= len(lines) and ESCAPE in lines[start - 1]:
                continue
            yield from (Finding(name, start, phrase, use) for phrase, use in phrases(line, name))
    if path.suffix == ".py":
        yield from openings(name, text)


def readable(path: Path) -> str:
    """Return the text of a file that is checked, empty for any other."""
    return path.read_text() if path.suffix in {".py", ".md", ".yaml", ".yml"} else ""


def phrases(line: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the phrases of a line that are to be avoided, outside of code and quotations."""
    plain = CODE_SPAN.sub("``", line)
    for pattern, use in RULES:
        if use.startswith("score") and name.startswith(tuple(JUDGES)):
            continue
        yield from ((match[0].strip(), use) for match in pattern.finditer(plain))


def passages(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield the prose of a file with the number of its first line."""
    if path.suffix == ".py":
        yield from python_prose(path, text)
    elif path.suffix == ".md":
        yield 1, FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    else:
        yield 1, text


def python_prose(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and strings of several words; of tests only comments and docstrings."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    tree = ast.parse(text)
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            if id(node) in documented:
                yield node.lineno, without_doctests(node.value)
            elif "tests" not in path.parts:
                yield node.lineno, node.value


def without_doctests(text: str) -> str:
    """Blank the examples of a docstring."""
    lines, example = [], False
    for line in text.splitlines():
        example = line.strip().startswith(">>>") or (example and bool(line.strip()))
        lines.append("" if example else line)
    return "\n".join(lines)


def openings(name: str, text: str) -> Iterator[Finding]:
    """Yield docstrings that start with a question word."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if (match := OPENING.match(first)) and ESCAPE not in first:
                line = node.body[0].lineno
                yield Finding(
                    name, line, match[0], "an imperative verb or a noun phrase as the first word of a docstring"
                )


def commits() -> list[tuple[str, str]]:
    """Return hash and subject of the commits to check.

    On a branch: the commits that origin/main (else main) does not have. On main: the last `COMMITS`. Only descendants
    of the commit that added this file are checked; none in a shallow clone, which has no history.
    """
    added = git("log", "--diff-filter=A", "--format=%H", "--", ".ci/language.py").split()
    if not added or git("rev-parse", "--is-shallow-repository").strip() == "true":
        return []
    excluded = [f"^{added[-1]}"]
    head = git("rev-parse", "HEAD").strip()
    for base in ("origin/main", "main"):
        if (found := git("merge-base", "HEAD", base).strip()) and found != head:
            excluded.append(f"^{base}")
            break
    listed = git(
        "log", "--no-merges", "--ancestry-path", f"--max-count={COMMITS}", "--format=%H %s", "HEAD", *excluded, "--"
    )
    return [(sha, subject) for sha, _, subject in (line.partition(" ") for line in listed.splitlines())]


def message_subject(message: str) -> str:
    """Return the first line of a commit message that is no comment."""
    return next((line for line in message.splitlines() if line.strip() and not line.startswith("#")), "")


def subject_problems(subject: str) -> list[str]:
    """Return the problems of a commit subject.

    Examples
    --------
    >>> subject_problems("sink: retry inserts that time out")
    []
    >>> subject_problems("More ways to be right.")
    ["'More ways to be right.': write `area: imperative summary`, without a full stop"]
    """
    if subject.startswith(("Merge ", "Revert ", "fixup! ", "squash! ")):
        return []
    problems = []
    if len(subject) > LONGEST:
        problems.append(f"{subject!r}: {len(subject)} characters, at most {LONGEST}")
    found = SUBJECT.match(subject)
    if found is None or NO_VERB.match(found["verb"]):
        problems.append(f"{subject!r}: write `area: imperative summary`, without a full stop")
    return problems


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
