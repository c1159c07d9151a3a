"""What can go wrong, each also as the built-in exception that Python code expects there.

>>> issubclass(InputError, ValueError) and issubclass(ModelError, OSError) and issubclass(DeviceError, RuntimeError)
True
"""

from __future__ import annotations

__all__ = [
    "DeviceError",
    "FileError",
    "FrostbertError",
    "InputError",
    "LimitError",
    "ModelError",
    "TruncationWarning",
]


class FrostbertError(Exception):
    """Any error of frostbert's. The message says what was being done, expected, found, and what to do next."""


class InputError(FrostbertError, ValueError):
    """The caller's data or options are at fault."""


class ModelError(FrostbertError, OSError):
    """A file of a checkpoint, or a head file, is missing, damaged or of another shape."""


class DeviceError(FrostbertError, RuntimeError):
    """No adapter, a lost device, a driver's error."""


class LimitError(FrostbertError, MemoryError):
    """Something is larger than the device, or the program, allows."""


class FileError(FrostbertError, OSError):
    """Reading or writing failed outside a model file."""


class TruncationWarning(UserWarning):
    """Texts are longer than the model takes and were cut."""
