"""Ways to give cores their places on chips, one file each."""
