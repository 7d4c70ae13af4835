# SPDX-License-Identifier: BSD-3-Clause
"""The setting `overlap`: what cannot go with it is refused before the run."""

import pytest

from insitu.errors import SettingError
from insitu.pipeline.given_settings import from_words, make


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("overlap yes", "overlap='yes' is not known; allowed: no, wait, skip"),
        ("overlap wait labels i_phase", "overlap=wait: labels would be of an earlier step"),
        ("overlap skip variables ph", "overlap=skip: variables would be of an earlier step"),
        (
            "overlap wait analyze lattice columns residual=d_r",
            "overlap=wait: columns of analyze lattice would be of an earlier step",
        ),
        ("overlap wait overhead 0.02", r"overlap=wait and overhead=0\.02: what runs beside"),
    ],
)
def test_refused(words: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_words(words.split())


def test_taken() -> None:
    assert from_words(["overlap", "skip", "every", "100"]).overlap == "skip"
    assert make(overlap="no", labels="i_phase", overhead=0.02).labels == "i_phase"
