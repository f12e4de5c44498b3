"""From what was asked, the pool's defaults and its maxima to the limits of a job."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from supervisor.core import names
from supervisor.core.errors import RequestError
from supervisor.core.limits import LIMIT_NAMES, MIB, OPTION_OF, Limits, LimitsRequest, resolve

NO_MAXIMA = Limits(**dict.fromkeys(LIMIT_NAMES, None))


def _resolve(asked: dict[str, Any], maxima: Limits = NO_MAXIMA, job_type: str = "shell", **defaults: Any) -> Limits:
    return resolve(LimitsRequest(**asked), Limits(**defaults), maxima, job_type)


def test_nothing_asked_gives_the_defaults() -> None:
    assert _resolve({}) == Limits()
    assert _resolve({}, wall_s=5.0, memory_bytes=None) == Limits(wall_s=5.0, memory_bytes=None)


def test_every_limit_has_its_option() -> None:
    assert set(OPTION_OF) == set(LIMIT_NAMES) == set(LimitsRequest.__struct_fields__)


@pytest.mark.parametrize(
    ("asked", "maximum", "cpu_s"),
    [
        ({}, None, 600.0),
        ({"wall_s": 30.0}, None, 30.0),
        ({"wall_s": 3600.0}, None, 3600.0),
        ({"wall_s": None}, None, None),
        ({"wall_s": 3600.0}, 100.0, 100.0),
        ({"wall_s": None}, 100.0, 100.0),
        ({"wall_s": 30.0}, 100.0, 30.0),
        ({"wall_s": 30.0, "cpu_s": 5.0}, None, 5.0),
        ({"wall_s": 30.0, "cpu_s": None}, None, None),
        ({"cpu_s": 5.0}, None, 5.0),
    ],
)
def test_cpu_follows_the_wall_limit_that_was_asked_for(
    asked: dict[str, Any], maximum: float | None, cpu_s: float | None
) -> None:
    maxima = msgspec.structs.replace(NO_MAXIMA, cpu_s=maximum)
    assert _resolve(asked, maxima).cpu_s == cpu_s


@pytest.mark.parametrize(
    ("asked", "maxima", "job_type", "code"),
    [
        ({"wall_s": 11.0}, {"wall_s": 10.0}, "node", "above_maximum"),
        ({"wall_s": None}, {"wall_s": 10.0}, "node", "above_maximum"),
        ({"memory_bytes": 64 * MIB - 1}, {}, "node", "below_floor"),
        ({"memory_bytes": 8 * MIB - 1}, {}, "shell", "below_floor"),
        ({"processes": 15}, {}, "node", "below_floor"),
        ({"open_files": 63}, {}, "node", "below_floor"),
        ({"disk_bytes": 0}, {}, "node", "below_floor"),
        ({"wall_s": 0.0}, {}, "node", "below_floor"),
        ({"wall_s": -1.0}, {}, "node", "bad_request"),
        ({"output_bytes": -1}, {}, "node", "bad_request"),
        ({"wall_s": math.nan}, {}, "node", "bad_request"),
        ({"cpu_s": math.inf}, {}, "node", "bad_request"),
        ({"memory_bytes": 2**60}, {}, "node", "bad_request"),
        ({"processes": 10**400}, {}, "node", "bad_request"),
    ],
)
def test_refusals_name_the_limit_and_its_option(
    asked: dict[str, Any], maxima: dict[str, Any], job_type: str, code: str
) -> None:
    (name,) = asked
    with pytest.raises(RequestError) as caught:
        _resolve(asked, msgspec.structs.replace(NO_MAXIMA, **maxima), job_type)
    assert caught.value.code == code
    assert code in names.CODES
    assert caught.value.data is not None
    assert caught.value.data["limit"] == name
    assert f"limits.{name} ({OPTION_OF[name]})" in caught.value.message


@pytest.mark.parametrize(
    ("asked", "job_type"),
    [
        ({"memory_bytes": 64 * MIB}, "node"),
        ({"memory_bytes": 8 * MIB}, "shell"),
        ({"processes": 16, "open_files": 64, "disk_bytes": MIB, "file_size_bytes": 0, "output_bytes": 0}, "node"),
        ({"wall_s": 0.001, "cpu_s": 0.001}, "node"),
    ],
)
def test_the_floors_themselves_are_allowed(asked: dict[str, Any], job_type: str) -> None:
    limits = _resolve(asked, job_type=job_type)
    assert {name: getattr(limits, name) for name in asked} == asked


def test_a_default_above_the_maximum_is_the_settings_mistake_not_the_clients() -> None:
    maxima = msgspec.structs.replace(NO_MAXIMA, wall_s=10.0)
    assert _resolve({}, maxima).wall_s == 600.0


@given(
    st.dictionaries(st.sampled_from(LIMIT_NAMES), st.none() | st.integers(-5, 2**60)),
    st.dictionaries(st.sampled_from(LIMIT_NAMES), st.none() | st.integers(0, 2**53)),
    st.sampled_from(["node", "python", "shell"]),
)
def test_what_was_asked_is_given_exactly_or_refused(
    asked: dict[str, Any], maxima: dict[str, Any], job_type: str
) -> None:
    allowed = msgspec.structs.replace(NO_MAXIMA, **maxima)
    try:
        limits = _resolve(asked, allowed, job_type)
    except RequestError as error:
        assert error.code in ("above_maximum", "below_floor", "bad_request")
        return
    for name, value in asked.items():
        assert getattr(limits, name) == value
        maximum = getattr(allowed, name)
        assert maximum is None or (value is not None and value <= maximum)
    for name in set(LIMIT_NAMES) - set(asked) - {"cpu_s"}:
        assert getattr(limits, name) == getattr(Limits(), name)
