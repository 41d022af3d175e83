"""Version of the binding; it follows the library's."""

__version__ = "0.1.0"
