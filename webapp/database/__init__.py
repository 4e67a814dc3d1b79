"""The database: its engine and sessions, what SQLite needs, the hot paths, cleaning up, and the migrations."""

from webapp.clock import CLOCKS_DIFFER as CLOCKS_DIFFER
from webapp.clock import now as now
from webapp.database.engine import LAST_ID as LAST_ID
from webapp.database.engine import Database as Database
from webapp.database.engine import execute as execute
from webapp.database.engine import execute_together as execute_together
from webapp.database.engine import is_recent as is_recent
from webapp.database.engine import partial_index as partial_index
from webapp.database.engine import recent as recent
from webapp.database.engine import release as release
from webapp.database.engine import table as table
from webapp.database.engine import upsert as upsert
from webapp.database.engine import wake_after_commit as wake_after_commit
