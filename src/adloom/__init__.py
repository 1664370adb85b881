"""adloom: from an advertiser's own data to models that ad systems call."""

from importlib.metadata import version

__version__ = version("adloom")
