"""What a site loads when it starts: each package costs its start time and memory in every process."""

import subprocess
import sys

import pytest

from tests.depth import deep

# All that a start may load beside the standard library. What only some pages need is imported where it is used.
LOADED = frozenset(
    {
        *("starlette", "anyio", "python_multipart", "itsdangerous"),
        *("uvicorn", "click", "httptools"),  # its HTTP protocol, which the site bounds
        *("sqlmodel", "sqlalchemy", "greenlet", "pydantic", "pydantic_core", "annotated_types"),
        *("typing_extensions", "typing_inspection", "cython_runtime"),
        *("jinja2", "markupsafe", "babel"),
        *("jwt", "cryptography", "bcrypt"),  # PyJWT imports the second, which imports the third
        *("aiosmtplib", "email_validator", "idna"),
        *("argon2", "cachetools", "linkify_it", "regex"),
    }
)
DEAR = (
    "alembic",
    "aiosqlite",
    "asyncpg",
    "dns",
    "sqlalchemy.testing",
    "webapp.cli",
    "webapp.database.migrations",
)


@pytest.fixture(scope="module")
def modules() -> frozenset[str]:
    """Those of a process of its own: this one has imported everything."""
    code = "import sys, webapp.app; print(*sys.modules)"
    return frozenset(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )


@deep
def test_a_start_loads_no_package_that_only_some_pages_need(modules: frozenset[str]) -> None:
    packages = {name.partition(".")[0] for name in modules}
    foreign = {name for name in packages - sys.stdlib_module_names - {"webapp"} if not name.startswith("_")}

    assert "webapp.factors.totp" in modules
    assert foreign <= LOADED


@pytest.mark.parametrize("name", DEAR)
def test_a_start_loads_no_driver_and_no_tool_of_the_admin(modules: frozenset[str], name: str) -> None:
    assert not [module for module in modules if module == name or module.startswith(f"{name}.")]
