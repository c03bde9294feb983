"""What SQL from outside may do: read our tables. Decided before the engine sees it.

The embedded engine has one user, who owns this process: its ``readonly`` setting forbids writes, but not ``file()``,
``url()``, ``INTO OUTFILE`` or the ``default`` database, whose table names are paths. So those are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from schemas.errors import StoreError

READONLY = 164
ACCESS_DENIED = 497
HARMLESS_TABLE_FUNCTIONS = frozenset(
    {
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "values",
        "view",
        "null",
        "format",
        "generateseries",
        "generate_series",
    }
)
_READS = frozenset({"select", "with", "show", "describe", "desc", "explain", "exists", "("})
_TOKEN = re.compile(
    r"""\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/
    |(?P<string>'(?:[^'\\]|\\.|'')*')
    |(?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    |(?P<heredoc>\$\w*\$)
    |(?P<word>\w+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class DeniedError(StoreError):
    """SQL from outside that asks for more than reading our tables; ``code`` is ClickHouse's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


def check_read(sql: str, parameters: Mapping[str, str], table_functions: Collection[str]) -> None:
    """Let reads pass; raise for the rest.

    Parameters
    ----------
    sql : str
        One statement.
    parameters : mapping
        Values of its ``{name:Type}`` placeholders, names without ``param_``.
    table_functions : collection of str
        Lower-case names that must not be called, from ``system.table_functions``.

    Examples
    --------
    >>> check_read("SELECT count() FROM events", {}, {"file"})
    >>> check_read("SELECT * FROM `file`('/etc/passwd')", {}, {"file"})
    Traceback (most recent call last):
        ...
    streams.store.guard.DeniedError: Code: 497. DB::Exception: file(...) is not for readers
    """
    words = _words(sql)
    if not words or words[0] not in _READS:
        raise DeniedError(READONLY, f"only SELECT, SHOW, DESCRIBE and EXPLAIN are for readers, not {sql[:40]!r}")
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if following == "(" and word in table_functions:
            raise DeniedError(ACCESS_DENIED, f"{word}(...) is not for readers")
        if (word, following) in {("into", "outfile"), ("default", "."), ("identifier", "}")}:
            raise DeniedError(ACCESS_DENIED, f"{word.upper()} {following} is not for readers")
        if word == ";" and following:
            raise DeniedError(READONLY, "one statement at a time")
        if word == "\0path":
            raise DeniedError(ACCESS_DENIED, "names with / are not for readers")
    if any("\0" in value for value in parameters.values()):
        raise DeniedError(ACCESS_DENIED, "a parameter holds a NUL")


def _words(sql: str) -> list[str]:
    """Split into lower-case words and signs; comments and strings are gone, quoted names are plain words."""
    words = []
    for token in _TOKEN.finditer(sql):
        if token["quoted"]:
            name = token["quoted"][1:-1].lower()
            words.append("\0path" if "/" in name or "\\" in name else name)
        elif token["heredoc"]:
            raise DeniedError(ACCESS_DENIED, "$heredoc$ strings are not for readers; quote with '")
        elif token["string"]:
            words.append("\0string")
        elif token["word"] or token["other"]:
            words.append(token[0].lower())
    return words
