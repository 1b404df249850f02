"""Serving language models by the chat-completions protocol, many requests at once.

transformers (5.23) has a server of its own, `transformers serve`. It writes answers together for
paged attention alone, which distance attention does not have, and otherwise one after the other;
it ignores some parameters with a warning, where this server refuses them; and it bounds neither
bodies nor waiting requests. As there, FastAPI and uvicorn speak HTTP; what is written here is the
batch, the bounds and the page.
"""

from infinito.extras import require_extra

require_extra("serve")
