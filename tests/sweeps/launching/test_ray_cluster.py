"""Which clusters are joined, without one."""

from __future__ import annotations

import pytest

from infinito.errors import ConfigError
from infinito.sweeps.launching.ray_cluster import _describe_lack, _has_room, needed_resources
from infinito.sweeps.launching.ray_settings import RayLauncherConf


def test_a_machine_has_room_for_what_a_job_reserves() -> None:
    machine = {"CPU": 4.0, "GPU": 1.0, "memory": 1e9}
    assert _has_room(machine, needed_resources(RayLauncherConf(num_cpus=4, num_gpus=0.5)))
    assert not _has_room(machine, needed_resources(RayLauncherConf(num_gpus=2)))
    assert not _has_room(machine, needed_resources(RayLauncherConf(resources={"tpu": 1})))


def test_what_no_machine_has_is_named_with_what_there_is() -> None:
    needed = needed_resources(RayLauncherConf(num_cpus=8, resources={"tpu": 1}))
    assert _describe_lack([{"CPU": 4.0}, {"CPU": 2.0, "tpu": 1.0}], needed) == (
        "`hydra.launcher.num_cpus`=8, `hydra.launcher.resources.tpu`=1: no machine of the Ray "
        "cluster has that much; there are: 4 CPU, 0 tpu; 2 CPU, 1 tpu"
    )


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs infinito[ray]")
    from infinito.sweeps.launching.ray_cluster import join_cluster

    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(
        ConfigError, match=r"address`=127\.0\.0\.1:9: Ray cannot join that cluster: .*refused"
    ) as raised:
        join_cluster(RayLauncherConf(address="127.0.0.1:9"))
    assert "Start one with `ray start --head`" in str(raised.value)
