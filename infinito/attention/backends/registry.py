"""Which attention backends exist, in order of preference, and which one serves a request.

To add one: a module with `BACKEND`, and its place in `BACKENDS`.
"""

from __future__ import annotations

import difflib

from infinito.attention import reference
from infinito.attention.backends import cdist, chunked, fused_cpu, sdpa
from infinito.attention.backends.backend import Backend, Request
from infinito.attention.backends.triton import backend as triton
from infinito.errors import ConfigError

BACKENDS: tuple[Backend, ...] = (
    fused_cpu.BACKEND,
    triton.BACKEND,
    sdpa.BACKEND,
    cdist.BACKEND,
    chunked.BACKEND,
    reference.BACKEND,
)


def choose_backend(request: Request, backend: str = "auto") -> Backend:
    """Return the requested backend, or with "auto" the first that can and should serve.

    Raises:
        ConfigError: no backend has that name, or it cannot serve this request (with the reason).
    """
    if backend == "auto":
        for candidate in BACKENDS:
            if candidate.obstacle(request) is None and candidate.unwise(request) is None:
                return candidate
    for candidate in BACKENDS:
        if candidate.name == backend:
            if reason := candidate.obstacle(request):
                raise ConfigError(
                    f"`attention.backend`={backend} cannot serve {_describe(request)}: {reason}. "
                    "Choose `attention.backend=auto`."
                )
            return candidate
    names = ["auto", *(candidate.name for candidate in BACKENDS)]
    near = difflib.get_close_matches(str(backend), names, n=1)
    hint = f" Did you mean `attention.backend={near[0]}`?" if near else ""
    raise ConfigError(f"`attention.backend`={backend!r} is not one of {', '.join(names)}.{hint}")


def explain(request: Request, backend: str = "auto") -> str:
    """Return one sentence that names the backend picked for a request, and why.

    Raises:
        ConfigError: as `choose_backend`.
    """
    chosen = choose_backend(request, backend)
    served = f"{_describe(request)} is served by {chosen.name}"
    if backend != "auto":
        return f"{served}: requested by name."
    passed = []
    for candidate in BACKENDS[: BACKENDS.index(chosen)]:
        passed.append(
            f"{candidate.name}: {candidate.obstacle(request) or candidate.unwise(request)}"
        )
    return f"{served}: the first choice." if not passed else f"{served}; not {'; '.join(passed)}."


def _describe(request: Request) -> str:
    features = [str(request.dtype).removeprefix("torch."), f"head dim {request.dim}"]
    features += ["dropout"] * (request.dropout_p > 0) + ["padding"] * request.padding
    features += ["free mask"] * request.free_mask
    return f"{request.kernel} attention on {request.device} ({', '.join(features)})"
