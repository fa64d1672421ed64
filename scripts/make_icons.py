"""Build static/icons.svg from the outline icons of @tabler/icons.

    python scripts/make_icons.py package/icons/outline

A template shows one with ``{{ ui.icon("check") }}``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SPRITE = Path(__file__).resolve().parent.parent / "static" / "icons.svg"
NAMES = """
alert-triangle archive arrow-back-up arrow-down arrow-right arrow-up at bell box brand-slack chart-line check
chevron-down chevron-left chevron-right circle-check circle-dashed circle-half-2 circle-x clock code copy database
device-desktop dots download external-link eye file filter folder git-commit help history inbox info-circle key
list-check lock logout mail message minus moon package pencil plus refresh robot rocket search selector send
settings shield-check signature sun tag trash user users versions webhook x
""".split()


def symbol(name: str, svg: str) -> str:
    """The drawing of one icon, without its frame and without what the page's ``<svg>`` already says."""
    drawing = re.sub(r"^.*?<svg[^>]*>|</svg>.*$", "", svg, flags=re.DOTALL)
    drawing = re.sub(r'<path stroke="none"[^>]*/>', "", drawing)
    drawing = re.sub(r"\s+", " ", drawing).replace("> <", "><").replace(" />", "/>").strip()
    return f'<symbol id="{name}" viewBox="0 0 24 24">{drawing}</symbol>'


def main(folder: Path) -> None:
    symbols = [symbol(name, (folder / f"{name}.svg").read_text()) for name in sorted(NAMES)]
    head = '<svg xmlns="http://www.w3.org/2000/svg"><!-- Tabler Icons, MIT: see vendor/VENDORED.md -->'
    SPRITE.write_text("\n".join([head, *symbols, "</svg>"]) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
