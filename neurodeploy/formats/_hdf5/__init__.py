"""HDF5 files of strangers, read with every size and type checked first."""
