"""Write docs/reference/spellings.md: python tests/compiler/sequence/spellings_page.py > docs/reference/spellings.md"""

from __future__ import annotations

from spellings import CASES, EXPORTERS, HUGGING_FACE
from test_microsoft import CASES as MICROSOFT

INTRO = """# Spellings of transformers

What `torch.onnx.export` writes for a module is many nodes; the compiler finds these again and makes one node of ONNX of
them, in one form (`vlac.rewrite.sequence` says which). Each line is a test: the module is exported by the exporters
named, rewritten, and computes in ONNX Runtime what it computed before. A spelling that is not understood stays as it
is, and its nodes are refused one by one.

Generated from the tests by `python tests/compiler/sequence/spellings_page.py > docs/reference/spellings.md`.
"""


def page() -> str:
    """The page as text."""
    lines = [INTRO]
    cases = (*CASES, *HUGGING_FACE)
    for family in dict.fromkeys(case.family for case in cases):
        lines += [f"## {family[0].upper()}{family[1:]}", "", "| spelling | becomes | exported by |", "|---|---|---|"]
        for case in (c for c in cases if c.family == family):
            nodes = ", ".join(f"{n} {op}" if n > 1 else op for op, n in case.nodes.items())
            by = "all" if len(case.exporters) == len(EXPORTERS) else ", ".join(case.exporters)
            lines.append(f"| {case.what} | {nodes} | {by} |")
        lines.append("")
    lines += ["## Operators of ONNX Runtime (com.microsoft)", "", "| operator | with | becomes |", "|---|---|---|"]
    for name, (op, _, _, node, _) in MICROSOFT.items():
        lines.append(f"| {op} | {name} | {node} |")
    lines.append("")
    names = ", ".join(EXPORTERS)
    return "\n".join([*lines, f"All: {names} (the exporter of `torch.onnx.export`, and the opset).", ""])


if __name__ == "__main__":
    print(page(), end="")
