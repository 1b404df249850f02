"""Which backend serves, and why."""

from __future__ import annotations

import pytest

from infinito.attention import BACKENDS, Backend, Request, choose_backend, explain
from infinito.attention.backends import registry as registry_module
from infinito.errors import ConfigError

KERNELS = ("dot", "l1", "l2", "sq_l2", "linf", "lp")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("free_mask", [True, False])
def test_auto_always_finds_one(kernel: str, free_mask: bool) -> None:
    request = Request(kernel, p=3.0, free_mask=free_mask, device="some-new-device")
    assert choose_backend(request).obstacle(request) is None


def test_a_forced_backend_is_taken() -> None:
    assert choose_backend(Request("dot"), "sdpa").name == "sdpa"
    assert choose_backend(Request("dot"), "reference").name == "reference"


def test_a_forced_backend_that_cannot_serve_says_why() -> None:
    with pytest.raises(
        ConfigError,
        match=r"`attention.backend`=sdpa cannot serve lp attention on cpu \(float32, head dim 64, "
        r"dropout, padding\): it has dot, cosine and sq_l2, not lp. Choose `attention.backend=auto",
    ):
        choose_backend(Request("lp", p=3.0, dropout_p=0.1, padding=True), "sdpa")


def test_an_unknown_backend_suggests_a_near_one() -> None:
    with pytest.raises(ConfigError, match=r"'sdpaa' is not one of auto, .*attention.backend=sdpa"):
        choose_backend(Request("dot"), "sdpaa")


def test_explain_names_the_pick_and_what_was_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(name: str, unable: str | None = None, unwise: str | None = None) -> Backend:
        attend = BACKENDS[-1].attend
        return Backend(name, attend, lambda _: unable, lambda _: unwise, takes_mask=name != "new")

    backends = (
        backend("new"),
        backend("gpu", unable="it needs a GPU"),
        backend("large", unwise="it is slower below 100 keys"),
        backend("plain"),
    )
    monkeypatch.setattr(registry_module, "BACKENDS", backends)
    text = explain(Request("l1", free_mask=True, dim=32))
    assert text == (
        "l1 attention on cpu (float32, head dim 32, free mask) is served by plain; not new: it "
        "takes causality and padding, not a free mask; gpu: it needs a GPU; large: it is slower "
        "below 100 keys."
    )
    assert explain(Request("l1")).endswith("served by new: the first choice.")
    assert explain(Request("l1"), "large").endswith("served by large: requested by name.")
    assert choose_backend(Request("l1", free_mask=True)).name == "plain"
