"""Optional libraries of published networks: ``timm:NAME``, ``hf:NAME`` or a local folder, ``torchvision:NAME``."""
