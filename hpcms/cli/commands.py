"""The command ``hpcms``: all commands together."""

from __future__ import annotations

import os

import click

from hpcms.cli.doctor import doctor
from hpcms.cli.failures import Guarded
from hpcms.cli.homogenize import homogenize
from hpcms.cli.init import init
from hpcms.cli.rundir import report, status, zoom
from hpcms.cli.running import plan, resume, run
from hpcms.cli.submit import submit
from hpcms.cli.validate import validate
from hpcms.cli.verify import verify


@click.group("hpcms", cls=Guarded, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hpcms")
def main() -> None:
    """Couples models of different scales and runs the scales side by side.

    Start with: hpcms init, hpcms run job.toml
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # idle threads of BLAS would take the cores of the workers
        os.environ.setdefault(name, "1")


for command in (init, validate, plan, run, resume, status, report, zoom, verify, homogenize, submit, doctor):
    main.add_command(command)
