"""``python -m scripts.docs_reference``: writes what can be known from the code. A test compares.

- docs/reference/config.md, from the configuration's Structs
- docs/reference/cli.md, from the commands' help
- config.example.yaml and registration.example.yaml, as `init` and `register` make them, with invented tokens
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from bridgekit.app import new_registration
from bridgekit.cli import command_line
from bridgekit.cli._common import EXIT_CODES
from bridgekit.cli.init import render
from bridgekit.config import Config, load_document
from bridgekit.matrix.registration import to_yaml
from bridgekit.settings import Section, parse_yaml, sections
from example_bridge.webchat.adapter import WebchatAdapter

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "python -m example_bridge"
COLUMNS = 100

EXAMPLE = {
    "homeserver.url": "http://127.0.0.1:8008",
    "homeserver.server_name": "example.org",
    "network.url": "http://127.0.0.1:8080",
}

CONFIG_HEAD = """\
# Configuration

<!-- Written by `python -m scripts.docs_reference` from the code. Change it there. -->

One YAML file, `config.yaml` unless `--config` names another; `init` writes the first one, with these words as comments
([config.example.yaml](../../config.example.yaml)). Paths in it are relative to it.

- **Secrets.** Wherever a text is expected, `{env: NAME}` takes it from the environment and `{file: path}` from a file,
  without the newline at its end. Such a value is never shown, in no error and no log. The registration is a plain file,
  because the homeserver reads it too: keep it to yourselves.
- **Mistakes.** All of them are reported at once, each with the file, the line, the key, what was expected and what was
  found; the bridge does not start. A key that nobody knows is a mistake, and so is one that is there twice.
- **Required** keys have no default. A section whose keys are all left out may be left out.
- `network` is the adapter's own part; the one below is the example bridge's.
"""

CLI_HEAD = """\
# Command line

<!-- Written by `python -m scripts.docs_reference` from the code. Change it there. -->

The same for every bridge; the example bridge is `python -m example_bridge`. Results go to standard output, errors to
standard error: what is wrong, where, and the one thing to do. `--json` prints one JSON document; points in time in it
are milliseconds since 1970, in UTC.

## Exit codes

| Code | Meaning |
| --- | --- |
"""


def files() -> dict[Path, str]:
    """What the files must hold."""
    return {
        ROOT / "docs/reference/config.md": config_page(),
        ROOT / "docs/reference/cli.md": cli_page(),
        ROOT / "config.example.yaml": example_config(),
        ROOT / "registration.example.yaml": example_registration(),
    }


def config_page() -> str:
    """Every key of the configuration."""
    pages = [CONFIG_HEAD]
    ours = sections(Config)
    top = [key for key in ours[0].keys if key.name != "network"]
    for section in (
        Section("", "At the top of the file.", tuple(top)),
        *ours[1:],
        *sections(WebchatAdapter.config, "network"),
    ):
        pages += ["\n".join(_section(section)) + "\n"] if section.keys else []
    return "\n".join(pages)


def _section(section: Section) -> Iterator[str]:
    yield f"## {f'`{section.path}`' if section.path else 'The top'}"
    yield ""
    if section.description:
        yield section.description
        yield ""
    yield "| Key | What may stand there | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    for key in section.keys:
        default = "required" if key.default is None else f"`{key.default}`"
        secret = " A secret: best taken from the environment or a file." if key.secret else ""
        yield f"| `{key.path}` | {_cell(key.kind)} | {_cell(default)} | {_cell(key.description + secret)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def cli_page() -> str:
    """Every command."""
    codes = "\n".join(f"| {int(code)} | {meaning} |" for code, meaning in EXIT_CODES.items())
    root = command_line(WebchatAdapter)
    return "\n".join([CLI_HEAD + codes + "\n", *_commands(root, None, PROGRAM)])


def _commands(command: click.Command, parent: click.Context | None, name: str) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=COLUMNS)
    title = context.command_path.removeprefix(PROGRAM).strip()
    yield f"## {f'`{title}`' if title else 'All commands'}\n\n```\n{_without_spaces(command.get_help(context))}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _commands(found, context, inner)


def _without_spaces(text: str) -> str:
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip("\n")


def example_config() -> str:
    """What `init` writes."""
    return render(WebchatAdapter, dict(EXAMPLE), ROOT / "config.example.yaml")


def example_registration() -> str:
    """What `register` writes for it, with tokens that nobody can use."""
    config, _ = load_document(parse_yaml(example_config(), ROOT / "config.example.yaml"), WebchatAdapter)
    made = new_registration(config, WebchatAdapter, url="http://127.0.0.1:29328", bot_localpart="webchatbot")
    tokens = {name: f"not-a-real-{name}-make-your-own" for name in ("as_token", "hs_token")}
    return to_yaml(msgspec.structs.replace(made, **tokens))


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
