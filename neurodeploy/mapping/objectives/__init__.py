"""What the mapper can make small, one file each."""
