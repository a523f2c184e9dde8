"""Files that a job names: they stay in the job's folder, also through symbolic links."""

from __future__ import annotations

from pathlib import Path as File

from hpcms.job.positions import Path
from hpcms.job.problems import Problems, clean, show

IMAGES = (".npy", ".tif", ".tiff", ".zarr", ".h5", ".hdf5")


def contained(name: str, folder: File, path: Path, problems: Problems) -> File | None:
    """The file ``name`` inside ``folder``, or None with the reason noted."""
    if not name or "\x00" in name or len(name) > 1000:
        problems.add(path, f"is no file name (got {show(name)})")
        return None
    if File(name).is_absolute() or ".." in File(name).parts:
        problems.add(path, f"must stay in the folder of the job (got {show(name)})", "copy or mount the file there")
        return None
    file = folder / name
    try:
        real = file.resolve()
        inside = real.is_relative_to(folder.resolve())
        exists = real.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        problems.add(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
    if not inside:
        problems.add(path, f"leads out of the folder of the job (got {show(name)})", "links must stay inside as well")
    elif not exists:
        problems.add(path, f"no such file: {clean(name)}", "the path is relative to the job file")
    else:
        return file
    return None


def check_image(name: str, folder: File, path: Path, problems: Problems) -> None:
    """An image has a known ending and is a file, or a directory if it is a Zarr array."""
    if not name.lower().endswith(IMAGES):
        problems.add(path, f"unknown kind of image (got {show(name)})", f"known endings: {', '.join(IMAGES)}")
        return
    file = contained(name, folder, path, problems)
    if file is not None and file.is_dir() != name.lower().endswith(".zarr"):
        problems.add(path, f"is a directory: {clean(name)}" if file.is_dir() else f"is not a directory: {clean(name)}")
