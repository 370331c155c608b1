"""Samples from bytes of any cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers.pcm_stream import PcmStream


@given(st.binary(max_size=400), st.lists(st.integers(0, 7), max_size=60))
def test_however_bytes_are_cut_the_samples_are_the_same(data: bytes, cuts: list[int]) -> None:
    stream, at, got = PcmStream(), 0, []
    for size in [*cuts, len(data)]:
        got.append(stream.push(data[at : at + size]))
        at += size
    whole = len(data) // 2 * 2
    np.testing.assert_array_equal(np.concatenate(got), np.frombuffer(data[:whole], "<i2"))


def test_gain_does_not_clip() -> None:
    loud = np.array([1000, -1000, 30_000, -30_000], "<i2")
    pcm = PcmStream(6.0).push(loud.tobytes())
    assert pcm[0] == pytest.approx(1995, abs=2)
    assert int(np.abs(pcm.astype(int)).max()) < 32_000
    assert pcm.dtype == np.int16
