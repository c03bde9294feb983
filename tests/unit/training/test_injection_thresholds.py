"""Thresholds of the injection trainer for synthetic sources."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.base import Role
from agents.injection.weights import SCRIPTS, THRESHOLD_ROW
from training.train_injection import Features, Texts, thresholds_of

LATIN, CYRILLIC = SCRIPTS.index("latin"), SCRIPTS.index("cyrillic")
PROMPTS, SYSTEM = THRESHOLD_ROW[Role.USER], THRESHOLD_ROW[Role.SYSTEM]
ROWS = 100
NONE = Features(np.zeros(0, np.int32), np.zeros(1, np.int64), 0, 0.0, 0, 0.0)


def thresholds(*cells: tuple[str, Role, int, float]) -> NDArray[np.float64]:
    """Return the thresholds for harmless rows of (source, role, script, odds), a hundred of each."""
    source = np.repeat([cell[0] for cell in cells], ROWS)
    n = len(source)
    scripts = np.zeros((n, len(SCRIPTS) + 1), np.int64)
    scripts[np.arange(n), 1 + np.repeat([cell[2] for cell in cells], ROWS)] = 9
    role = np.repeat(np.array([cell[1] for cell in cells], np.int64), ROWS)
    texts = Texts(NONE, NONE, np.arange(n + 1), np.zeros(n), source, source, role, scripts, np.zeros((n, 4), np.int64))
    return thresholds_of(texts, np.repeat([cell[3] for cell in cells], ROWS), np.ones(n, np.bool_))


def test_sources_with_two_scripts_determine_the_effect_of_a_script() -> None:
    both = [(f"s{k}", Role.USER, script, level) for k in range(6) for script, level in ((LATIN, 2.0), (CYRILLIC, 1.0))]
    result = thresholds(*both)[PROMPTS]
    assert result[CYRILLIC] < result[LATIN] - 0.2


def test_a_single_source_has_little_effect_on_the_threshold_of_its_script() -> None:
    others = [(f"s{k}", Role.USER, LATIN, 2.0) for k in range(6)]
    result = thresholds(*others, ("quiet", Role.USER, CYRILLIC, 0.0))[PROMPTS]
    assert result[LATIN] - result[CYRILLIC] < 0.5


def test_differing_sources_raise_the_threshold() -> None:
    equal = thresholds(*((f"s{k}", Role.USER, LATIN, 2.0) for k in range(6)))
    different = thresholds(*((f"s{k}", Role.USER, LATIN, 2.0 + (-1.0) ** k) for k in range(6)))
    assert different[PROMPTS, LATIN] > equal[PROMPTS, LATIN] + 0.5


def test_a_role_without_sources_has_a_threshold_close_to_the_others() -> None:
    result = thresholds(*((f"s{k}", Role.USER, LATIN, 2.0) for k in range(6)))
    assert abs(result[SYSTEM, LATIN] - result[PROMPTS, LATIN]) < 0.5
