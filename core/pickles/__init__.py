"""Static reading of pickles: whether a file holds any, and what they would import. Nothing is ever loaded.

``imports`` knows names, ``opcodes`` walks one pickle, ``unpacking`` finds what lies in archives, ``reading`` judges.
"""

from core.pickles.reading import READER, Reading, Verdict, read

__all__ = ["READER", "Reading", "Verdict", "read"]
