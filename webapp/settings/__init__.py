"""Every environment variable of the site, read once into one frozen object."""

from webapp.settings.settings import DEVELOPMENT_HOST as DEVELOPMENT_HOST
from webapp.settings.settings import EPHEMERAL_PLATFORMS as EPHEMERAL_PLATFORMS
from webapp.settings.settings import NOT_ME_HOURS as NOT_ME_HOURS
from webapp.settings.settings import Misconfigured as Misconfigured
from webapp.settings.settings import Settings as Settings
from webapp.settings.variables import INSTANCE as INSTANCE
from webapp.settings.variables import LOOPBACK as LOOPBACK
from webapp.settings.variables import ROOT as ROOT
from webapp.settings.variables import SITE_NAME as SITE_NAME
