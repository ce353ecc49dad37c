"""Cannot be imported."""

raise OSError("no disk here")
