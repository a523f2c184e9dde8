"""A job file to a ``Job``: every problem of the file, at every size, is reported at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcms.errors import BadInput
from hpcms.job.checks import check_models, check_tables
from hpcms.job.fields import parts
from hpcms.job.job import Job
from hpcms.job.models import check_references, coarse_specs, fine_specs
from hpcms.job.petsc import check_petsc
from hpcms.job.positions import Lines
from hpcms.job.problems import Problems, did_you_mean, printable, show
from hpcms.job.read import Document, read_document
from hpcms.job.schema import SCHEMA_VERSION, SIZES, Frame
from hpcms.job.sizes import as_tree, check_sizes, laid_over, of_size


def load_job(
    path: Path | str,
    size: str | None = None,
    overrides: Mapping[str, object] | None = None,
    plugins: bool = False,
    folder: Path | str | None = None,
) -> Job:
    """The job at ``size`` with dotted ``overrides``, or ``BadInput`` with all problems of the file.

    ``folder``: where the files that the job names are, if that is not the folder of the job file (a run keeps a copy
    of its job elsewhere). ``plugins``: allow fine models from Python files beside the job; this runs their code.
    """
    file, name = Path(path), printable(str(path))
    if size is not None and size not in SIZES:
        raise BadInput(f'unknown size "{size}"', did_you_mean(size, SIZES, "sizes"))
    document = read_document(file, name)
    home = Path(folder) if folder is not None else file.parent
    reader = _Reader(document, name, home, plugins)
    reader.check_version()
    found = _new_problems(document, name)
    check_sizes(document.tree, found)
    job = None
    sizes = document.tree.get("size", {})
    declared = tuple(s for s in SIZES if isinstance(sizes, dict) and s in sizes)
    for each in dict.fromkeys((None, *declared, size)):
        problems = _new_problems(document, name)
        built = reader.job(each, overrides if each == size else None, declared, problems)
        found.found |= problems.found
        job = built if each == size else job
    found.check()
    if job is None:
        raise BadInput(f"{name}: the job could not be built")
    return job


def validate(path: Path | str, size: str | None = None, plugins: bool = False) -> Job:
    """The same checks as before a run."""
    return load_job(path, size, plugins=plugins)


def _new_problems(document: Document, name: str) -> Problems:
    return Problems(name, document.index.marks, Lines(document.index.text))


class _Reader:
    """One document, read at several sizes."""

    def __init__(self, document: Document, name: str, folder: Path, plugins: bool) -> None:
        self.document, self.name, self.folder, self.plugins = document, name, folder, plugins

    def check_version(self) -> None:
        """A file of another version is not read further: its other keys may mean something else."""
        problems = _new_problems(self.document, self.name)
        version = self.document.tree.get("schema_version")
        path = ("schema_version",)
        if version is None:
            problems.add(path, "missing key", f"add schema_version = {SCHEMA_VERSION} as the first line", at_key=True)
        elif isinstance(version, bool) or not isinstance(version, int):
            problems.add(path, f"must be an integer (got {show(version)})", f"write {SCHEMA_VERSION}")
        elif version > SCHEMA_VERSION:
            problems.add(path, f"is newer than this hpcms reads (got {show(version)})", "install a newer hpcms")
        elif version < 1:
            problems.add(path, f"must be {SCHEMA_VERSION} (got {show(version)})")
        problems.check()

    def job(
        self, size: str | None, overrides: Mapping[str, object] | None, sizes: tuple[str, ...], problems: Problems
    ) -> Job | None:
        """The job at one size, or None with problems."""
        tree: dict[str, Any] = of_size(self.document.tree, size, problems)
        if overrides:
            tree = laid_over(tree, as_tree(overrides, problems), (), None, problems)
        known = self._known(tree, problems)
        check_references(tree, problems)
        fine = fine_specs(tree, self.folder, self.plugins, problems)
        coarse = coarse_specs(tree, problems)
        fields = tree.get("coarse", {})
        prefixes = [*fields, "coupled"] if isinstance(fields, dict) else []
        petsc = check_petsc(known.get("petsc", {}), prefixes, problems)
        check_tables(known, tree, self.folder, problems)
        check_models(known, fine, coarse, problems)
        if problems.found:
            return None
        given: dict[str, Any] = {"path": self.document.path, "folder": self.folder, "text": self.document.raw}
        tables = known | {"fine": fine, "coarse": coarse, "petsc": petsc}
        return Job(**given, size=size, sizes=sizes, **tables)

    def _known(self, tree: dict[str, Any], problems: Problems) -> dict[str, Any]:
        """The tables that are no models, as far as they could be built; defaults for those that are left out."""
        built = parts(Frame, tree, (), problems, reserved=("fine", "coarse"))
        for field in dataclasses.fields(Frame):
            if field.default is not dataclasses.MISSING:
                built.setdefault(field.name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                built.setdefault(field.name, field.default_factory())
        return built
