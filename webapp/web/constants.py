"""Works out once, when a template is compiled, what every request would work out anew.

Half of the log-in page's time went into texts, addresses and settings that are the same for everybody who reads its
language: `_("Log in")`, `path("login")`, `site.name`. They become plain text, and Python drops the parts under a
condition that is never true.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, has_safe_repr
from jinja2.nodes import EvalContext
from jinja2.visitor import NodeTransformer
from starlette.routing import NoMatchFound

# Functions that give everybody the same answer to the same arguments.
FUNCTIONS = frozenset({"_", "gettext", "ngettext", "pgettext", "direction", "path", "static", "time_words"})
SETTINGS = "site"


class WithConstants(CodeGenerator):
    """Compiles templates in the language in force, in which they stay."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802
        context = EvalContext(self.environment, self.name)
        super().visit_Template(_Constants(context, self.environment.globals).visit(node), frame)


class _Constants(NodeTransformer):
    def __init__(self, context: EvalContext, known: Mapping[str, Any]) -> None:
        self.context = context
        self.known = known

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        called = node.node.name if isinstance(node.node, nodes.Name) else ""
        if called not in FUNCTIONS or called not in self.known or node.dyn_args or node.dyn_kwargs:
            return node
        function = self.known[called]
        told = [self.context] if hasattr(function, "jinja_pass_arg") else []
        try:
            values = [each.as_const(self.context) for each in node.args]
            named = {each.key: each.value.as_const(self.context) for each in node.kwargs}
            return _constant(function(*told, *values, **named), node)
        except (nodes.Impossible, NoMatchFound):  # it depends on the request, or this site has no such page
            return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        is_of_site = isinstance(node.node, nodes.Name) and node.node.name == SETTINGS
        return _constant(self.known[SETTINGS][node.attr], node) if is_of_site else node

    def visit_ScopedEvalContextModifier(self, node: nodes.Node) -> nodes.Node:  # noqa: N802
        """Handles parts whose texts are escaped differently from the rest."""
        return node


def _constant(value: Any, node: nodes.Node) -> nodes.Node:
    return nodes.Const(value, lineno=node.lineno) if has_safe_repr(value) else node
