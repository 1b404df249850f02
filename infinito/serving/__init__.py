"""Serving language models by the chat-completions protocol, many requests at once.

transformers has a server of its own (`transformers serve`). It opens whatever hub id a request
names, which a server of local runs must not; its batching is for paged attention, which distance
attention has not, and without it requests are answered one after the other; it has no bound on
bodies and waiting requests, and passes unknown template arguments on. LitServe batches requests
that arrive together but not ones that come while others are written, and starts processes of its
own, each with a copy of the model. So FastAPI and uvicorn serve, and what is written here is the
batch, the bounds and the page.
"""

from infinito.extras import require_extra

require_extra("serve")
