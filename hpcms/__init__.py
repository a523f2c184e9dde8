"""hpcms: a multiscale solver."""
