# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results as text for a terminal, and as sections of docs/benchmarks.md."""
import os
import re

from harness import TOP, columns

PAGE = os.path.join(TOP, "docs/benchmarks.md")


def verdict_rows(result):
    return [[verdict["what"], verdict["measured"], verdict["bar"], "met" if verdict["met"] else "missed"]
            for verdict in result.verdicts]


def as_text(result):
    parts = [f"{table['caption']}\n{columns(table['head'], table['rows'])}" for table in result.tables]
    if result.verdicts:
        parts.append(columns(["bar", "measured", "wanted", "verdict"], verdict_rows(result)))
    return "\n\n".join(parts + result.remarks)


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows])


def section(name, title, result, args, load):
    words = ["sudo tests/bench/run", name] + (["--quick"] if args.quick else [])
    parts = [f"## {title}", f"`{' '.join(words)}`, {args.repeat} run{'s' if args.repeat > 1 else ''} of each in turns, "
             f"medians; load of the machine before the start: {load}."]
    if args.quick:
        parts.append("**Small sizes (`--quick`): these show that the bench works, not what pagevault can do.**")
    parts += result.remarks
    if result.commands:
        parts.append("```\n" + "\n".join(result.commands) + "\n```")
    for table in result.tables:
        parts.append(f"{table['caption']}:\n\n{markdown_table(table['head'], table['rows'])}")
    if result.verdicts:
        parts.append(markdown_table(["bar", "measured", "wanted", "verdict"], verdict_rows(result)))
    return "\n\n".join(parts)


def replace(text, key, content):
    """Puts @content between the marks of @key, which go to the end of the page when they are not there."""
    begin, end = f"<!-- bench {key} -->", f"<!-- end {key} -->"
    block = f"{begin}\n{content}\n{end}"
    if begin in text:
        return re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: block, text, flags=re.S)
    return text.rstrip("\n") + "\n\n" + block + "\n"


def write(name, title, result, args, facts, load):
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    text = replace(text, "machine", markdown_table(["machine", ""], [list(fact) for fact in facts]))
    text = replace(text, name, section(name, title, result, args, load))
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)
