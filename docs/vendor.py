"""Fetch the libraries and fonts of the till's page from npm, as they were published, into the package.

python -m docs.vendor

The page has no build step: a browser loads these files as they stand. A browser knows no package names, so the one
change made to them is that `import ... from "preact"` becomes the file beside it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "posline" / "till" / "page"
_SOURCE_MAP = re.compile(r"\n//# sourceMappingURL=\S+\s*$")


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm, and which of its files go where in the page's folder."""

    name: str
    version: str
    files: dict[str, str]
    why: str
    licence: str = "LICENSE"


PACKAGES = (
    Package("preact", "11.2.0", {"dist/preact.mjs": "vendor/preact.mjs", "hooks/dist/hooks.mjs": "vendor/hooks.mjs"},
            "what is shown, as functions of the state"),
    Package("htm", "3.1.1", {"dist/htm.mjs": "vendor/htm.mjs"}, "markup in template strings, without a compiler"),
    Package("@preact/signals", "2.11.4", {"dist/signals.mjs": "vendor/signals.mjs"}, "state that the page follows"),
    Package("@preact/signals-core", "1.14.5", {"dist/signals-core.mjs": "vendor/signals-core.mjs"}, "the same"),
    Package("uplot", "1.6.32", {"dist/uPlot.iife.min.js": "vendor/uplot.js", "dist/uPlot.min.css": "vendor/uplot.css"},
            "the chart of sales by hour"),
    Package("uqr", "0.1.3", {"dist/index.mjs": "vendor/uqr.mjs"}, "the code on a receipt that the page prints alone"),
    Package("@fontsource/noto-sans", "5.3.0", {
        "files/noto-sans-latin-400-normal.woff2": "fonts/noto-sans-400.woff2",
        "files/noto-sans-latin-600-normal.woff2": "fonts/noto-sans-600.woff2",
    }, "Latin letters and figures"),
    Package("@fontsource/noto-naskh-arabic", "5.3.0", {
        "files/noto-naskh-arabic-arabic-400-normal.woff2": "fonts/noto-naskh-400.woff2",
        "files/noto-naskh-arabic-arabic-600-normal.woff2": "fonts/noto-naskh-600.woff2",
    }, "Urdu"),
)  # fmt: skip
LOCAL = {
    "preact": "./preact.mjs", "preact/hooks": "./hooks.mjs", "@preact/signals-core": "./signals-core.mjs",
}  # fmt: skip
_SPECIFIER = re.compile(rf'(from\s*)(["\'])({"|".join(map(re.escape, LOCAL))})\2')


def fetch(package: Package, into: Path) -> None:
    """Put a package's files into the page's folder, with its licence."""
    told = subprocess.run(
        ["npm", "pack", "--json", f"{package.name}@{package.version}"],
        cwd=into, check=True, capture_output=True, text=True,
    )  # fmt: skip
    with tarfile.open(into / json.loads(told.stdout)[0]["filename"]) as archive:
        for inside, target in {**package.files, package.licence: _licence(package)}.items():
            found = archive.extractfile(f"package/{inside}")
            assert found is not None, f"{package.name} has no {inside}"
            content = found.read()
            if target.endswith(".mjs"):
                content = _local(content.decode()).encode()
            (PAGE / target).write_bytes(content)


def _licence(package: Package) -> str:
    folder = next(iter(package.files.values())).partition("/")[0]
    return f"{folder}/LICENSE-{package.name.rpartition('/')[2]}.txt"


def _local(source: str) -> str:
    """The module with package names turned into files beside it."""
    return _SOURCE_MAP.sub("\n", _SPECIFIER.sub(lambda m: f"{m[1]}{m[2]}{LOCAL[m[3]]}{m[2]}", source))


def main() -> None:
    """Fetch them all, and write the table of what is there."""
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            fetch(package, Path(folder))
    rows = "\n".join(f"| {p.name} | {p.version} | {', '.join(sorted(p.files.values()))} | {p.why} |" for p in PACKAGES)
    (PAGE / "vendor" / "README.md").write_text(
        "# What the page is built with\n\nMade by `python -m docs.vendor`, as published on npm but for the names of "
        "modules that import each other. The licence of each stands beside it.\n\n"
        f"| package | version | files | for |\n|---|---|---|---|\n{rows}\n"
    )


if __name__ == "__main__":
    main()
