"""The directive `commands`: the help text of every command of the command line."""

from __future__ import annotations

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from cellflow import cli


class Commands(SphinxDirective):
    """A section for each command, with what `cellflow COMMAND --help` prints."""

    def run(self) -> list[nodes.Node]:
        """Ask each command for its help."""
        result: list[nodes.Node] = []
        parent = click.Context(cli.program, info_name="cellflow", max_content_width=78)
        for name in cli.program.list_commands(parent):
            command = cli.program.get_command(parent, name)
            context = click.Context(command, info_name=name, parent=parent, max_content_width=78)
            section = nodes.section(ids=[nodes.make_id(name)])
            section += nodes.title("", "", nodes.literal("", f"cellflow {name}"))
            section += nodes.literal_block("", command.get_help(context), language="text")
            result.append(section)
        return result


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
