"""Options as people type them: what is meant, and what is refused with the name of the option."""

from __future__ import annotations

from typing import Any

import pytest

from maas_core.errors import WrongUse
from maas_core.service_level import parse_service_level
from maas_loadtest.settings import Settings, checked, seconds


def settings(**given: Any) -> Settings:
    return checked(given, {"rate": 7, "arrivals": "poisson"})


class TestObjective:
    def test_percentiles_and_errors(self) -> None:
        level = parse_service_level("p99=20ms, p99.9<1s,first_p50=200us,errors=0.1%")
        assert level.limits_ms == {"p99": 20.0, "p99.9": 1000.0, "first_p50": 0.2}
        assert level.error_rate == pytest.approx(0.001)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "fast",
            "p99",
            "p99=20",
            "p100=1ms",
            "p0=1ms",
            "p99.99999=1ms",
            "p99=0ms",
            "p99=-1ms",
            "errors=101%",
            "last_p99=1ms",
        ],
    )
    def test_anything_else_is_refused_with_the_form(self, text: str) -> None:
        with pytest.raises(WrongUse, match=r"e\.g\. p99=20ms,errors=0\.1%"):
            parse_service_level(text)

    def test_it_is_shown_as_it_can_be_typed(self) -> None:
        assert str(parse_service_level("errors=0.1%,p99=0.02s")) == "p99=20ms,errors=0.1%"


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "wanted_s"), [("60", 60), ("90s", 90), ("5m", 300), ("1h", 3600), ("500ms", 0.5), ("1.5m", 90)]
    )
    def test_times(self, text: str, wanted_s: float) -> None:
        assert seconds(text) == wanted_s

    @pytest.mark.parametrize("text", ["", "soon", "-5", "5d", "25h", "nan", "inf"])
    def test_what_is_no_time_is_refused(self, text: str) -> None:
        with pytest.raises(WrongUse, match="60, 90s"):
            seconds(text)

    def test_models_with_versions_and_weights(self) -> None:
        one, other = settings(model="a@2=3, b").model
        assert (one.name, one.version, one.weight) == ("a", "2", 3.0)
        assert (other.name, other.version, other.weight) == ("b", "", 1.0)

    def test_the_user_comes_before_the_scenario_and_that_before_the_table(self) -> None:
        assert settings(rate="9").rate == 9
        assert settings().rate == 7
        assert settings().timeout == 10

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("rate", "fast"),
            ("rate", "0"),
            ("rate", "-1"),
            ("rate", "nan"),
            ("rate", "inf"),
            ("callers", "1.5"),
            ("in_flight", "0"),
            ("duration", "0"),
            ("check_share", "1.5"),
            ("arrivals", "regular"),
            ("agreement", "perhaps"),
            ("model", "a b"),
            ("model", "a=0"),
            ("model", "a,,b"),
            ("model", "../a"),
        ],
    )
    def test_nonsense_is_refused_with_the_name_of_its_option(self, name: str, value: str) -> None:
        with pytest.raises(WrongUse, match="--" + name.replace("_", "-") + "|number|no time|share"):
            settings(**{name: value})

    def test_the_key_is_not_shown(self) -> None:
        assert "secret" not in str(settings(api_key="secret", model="a").shown())
