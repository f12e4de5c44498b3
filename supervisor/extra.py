"""Whether what the extra `http` brings is installed. It is looked for and not imported: only the gateway does that."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from supervisor.config import Settings
from supervisor.core.errors import SettingsError

HTTP_MODULES: Final = ("h11", "prometheus_client", "python_multipart", "starlette", "uvicorn")


def check(settings: Settings) -> None:
    """Raises SettingsError where the settings want HTTP and this environment cannot serve it."""
    if settings.http.listen is None:
        return
    missing = [name for name in HTTP_MODULES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"http.listen is set, but what serves HTTP is not installed ({', '.join(missing)}): "
            "`pip install 'workerctl[http]'`, or leave http.listen unset"
        )
