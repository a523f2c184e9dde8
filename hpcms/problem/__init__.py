"""The problem as numbers: mesh, images and their windows, regions."""
