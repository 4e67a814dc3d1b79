"""For gunicorn instead of uvicorn: its worker reads requests as the Procfile's server does. See README.md here.

gunicorn -c docs/deploy/gunicorn.conf.py -w 2 -b 127.0.0.1:8000 'webapp.app:create_app()'
"""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):
    """Bounds the head of a request, in size and in time, and believes no forwarded header by itself."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "http": "webapp.web.protocol:BoundedProtocol",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
    }


worker_class = Worker
graceful_timeout = 25
