"""The report of a run: one self-contained HTML page, its figures, files for ParaView, and plain-text tables.

This room reads the store only (`data`). It alone imports matplotlib, jinja2 and, for VTKHDF, h5py.
"""

from __future__ import annotations

from hpcms.report.write import write_report

__all__ = ["write_report"]
