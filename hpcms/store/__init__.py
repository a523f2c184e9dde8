"""The run on disk: Zarr v3 layout, commit protocol, manifests and hashes, lease, pyramids, read-only opened runs.

The only room that imports zarr and xarray.
"""
