"""Own Lava processes, in a folder of their own: Lava looks for process models by executing every file of the folder."""
