"""Value -> canonical bytes: what a key is the digest of.

Equal values have equal bytes in every process, on every machine, Python and library version; two different values
never have. The first is why nothing here calls ``repr``, ``str``, ``hash`` or pickle, which vary with the hash seed,
the library version, shared references and print options. The second is why the encoding is self-delimiting: every
value is a tag, a length, and bytes, so that no value can run into its neighbour::

    N  T  F                 None, True, False
    i<hex>;                 int, of any size
    d<8 bytes>              float, IEEE 754, big endian; one NaN
    c<8 bytes><8 bytes>     complex
    s<length>:<UTF-8>       str (lone surrogates included)
    b<length>:<bytes>       bytes, up to 1 MiB
    B<length>:<digests>     bytes beyond that, by the SHA-256 of each piece of 1 MiB
    l<n>:<values>           list            t<n>:<values>    tuple
    m<n>:<keys, values>     dict, sorted by the encoding of the key (not an OrderedDict: its order counts)
    S<n>:<values>           set and frozenset (they are equal in Python), sorted by encoding
    o<length>:<kind><n>:<values>    everything else: a kind, and the values that it is made of

A type without a rule raises :class:`~persistable.exceptions.UntrackableValueError`; there is no fallback, because a
fallback is where two different values meet. A rule that changes must change :data:`persistable.keys.SCHEME` too.

:mod:`.core` holds the encoding and the registry; :mod:`.stdlib` and :mod:`.records` the rules for what Python brings;
:mod:`.numpy` and :mod:`.pandas` theirs, imported when such a value is first met.
"""

from __future__ import annotations

from typing import Any

from . import stdlib as _stdlib  # noqa: F401  # its import adds its rules
from .core import class_name, encode_name, encode_str, encode_value, register_encoder
from .records import MARKER, add_record_base, extra_fields, record_fields
from .recursion import explain_recursion

__all__ = [
    "MARKER",
    "add_record_base",
    "class_name",
    "encode",
    "encode_name",
    "encode_str",
    "extra_fields",
    "record_fields",
    "register_encoder",
]


def encode(value: Any) -> bytes:
    """Return the canonical bytes of `value`.

    Raises
    ------
    UntrackableValueError
        If a type has no rule, or if the value contains itself or is nested too deeply; it names the place.

    Examples
    --------
    >>> encode({"n": 10, "grid": (0.5, "log")})
    b'm2:s1:nia;s4:gridt2:d?\\xe0\\x00\\x00\\x00\\x00\\x00\\x00s3:log'
    """
    try:
        return encode_value(value)
    except RecursionError:
        explain_recursion(value)
