"""Messages of the service's page, for its gettext catalogues.

python tools/page_messages.py            # prints a template (.pot)
python tools/page_messages.py de         # prints what the German catalogue lacks and holds in vain
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from importlib import resources

from countermark.app.service.page import catalogues, views

#: One message, or a singular with its plural.
Message = str | tuple[str, str]


def messages() -> dict[Message, str]:
    """Every message of the templates and of ``words.py``, with the file in which it stands."""
    found: dict[Message, str] = {}
    package = resources.files("countermark.app.service.page")
    for template in sorted(each.name for each in package.joinpath("templates").iterdir()):
        text = package.joinpath("templates", template).read_text("utf-8")
        for _, function, message in views.environment(catalogues.SOURCE).extract_translations(text):
            if function == "ngettext":
                found.setdefault((message[0], message[1]), template)
            else:
                found.setdefault(message if isinstance(message, str) else message[0], template)
    for message in _marked(package.joinpath("words.py").read_text("utf-8")):
        found.setdefault(message, "words.py")
    return found


def _marked(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            yield ast.literal_eval(node.args[0])


def compare(language: str) -> tuple[set[Message], set[str]]:
    """What the catalogue of a language lacks, and what it holds in vain."""
    text = (
        resources.files("countermark.app.service.page").joinpath(f"locales/{language}.po").read_text("utf-8")
    )
    there = catalogues.parse(text)
    wanted = {each if isinstance(each, str) else "\0".join(each): each for each in messages()}
    missing = {each for key, each in wanted.items() if key not in there}
    return missing, set(there) - set(wanted) - {""}


def template() -> str:
    """A catalogue without translations."""
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
    lines = [head + '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n']
    for message, place in messages().items():
        lines.append(f"#: {place}")
        if isinstance(message, str):
            lines.append(f'msgid {_quoted(message)}\nmsgstr ""\n')
        else:
            one, many = map(_quoted, message)
            lines.append(f'msgid {one}\nmsgid_plural {many}\nmsgstr[0] ""\nmsgstr[1] ""\n')
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(template())
    else:
        lacking, idle = compare(sys.argv[1])
        for each in sorted(map(str, lacking)):
            print("lacks:", each)
        for each in sorted(idle):
            print("idle: ", each)
        sys.exit(1 if lacking or idle else 0)
