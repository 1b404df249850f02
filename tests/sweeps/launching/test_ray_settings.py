"""What the Ray launcher refuses before it looks for a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from infinito.errors import ConfigError
from infinito.sweeps.launching.ray_settings import RayLauncherConf, check


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cluster_cpus": 2, "num_cpus": 0.5},
        {"address": "auto", "num_gpus": 0.25},
        {"address": "10.0.0.1:6379", "num_cpus": 8, "num_gpus": 2, "resources": {"node_a": 1}},
        {"retries": 0},
    ],
    ids=str,
)
def test_settings_that_can_be(settings: dict[str, Any]) -> None:
    check(RayLauncherConf(**settings))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"cluster_cpus": 0}, r"cluster_cpus`=0: expected at least 1$"),
        ({"num_cpus": 0}, r"num_cpus`=0: expected a number above 0, a whole one from 1 on$"),
        ({"num_cpus": 1.5}, r"num_cpus`=1\.5: expected a number above 0"),
        ({"num_gpus": -1}, r"num_gpus`=-1: expected 0 or more, a whole number from 1 on$"),
        ({"num_gpus": float("inf")}, r"num_gpus`=inf: expected 0 or more"),
        ({"resources": {"tpu": 1.5}}, r"resources\.tpu`=1\.5: expected 0 or more"),
        ({"retries": -1}, r"retries`=-1: expected at least 0$"),
        ({"address": "head"}, r"address`=head: expected null, `auto` or `<host>:<port>`$"),
        ({"address": "ray://head:10001"}, r"address`=ray://head:10001: expected null, `auto`"),
        ({"address": "auto", "cluster_cpus": 2}, r"cluster_cpus`=2 is for a cluster that the"),
    ],
    ids=str,
)
def test_settings_that_cannot_be(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        check(RayLauncherConf(**settings))


def test_all_faults_are_listed_together() -> None:
    with pytest.raises(ConfigError, match=r"^2 faults in the configuration:"):
        check(RayLauncherConf(num_cpus=-1, retries=-1))
