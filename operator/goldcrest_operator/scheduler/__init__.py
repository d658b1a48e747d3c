"""The batch scheduler behind a small interface: reconcilers do not know that it is Slurm."""
