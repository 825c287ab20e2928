"""The memory image of a core: what would be loaded, how it is made from a mapping, checked, stored and read."""
