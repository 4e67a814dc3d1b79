"""Every environment variable of the site, read once into one frozen object."""

from webapp.settings.settings import DEVELOPMENT_HOST, EPHEMERAL_PLATFORMS, NOT_ME_HOURS, Misconfigured, Settings
from webapp.settings.variables import INSTANCE, LOOPBACK, ROOT, SITE_NAME

__all__ = [
    "DEVELOPMENT_HOST",
    "EPHEMERAL_PLATFORMS",
    "INSTANCE",
    "LOOPBACK",
    "NOT_ME_HOURS",
    "ROOT",
    "SITE_NAME",
    "Misconfigured",
    "Settings",
]
