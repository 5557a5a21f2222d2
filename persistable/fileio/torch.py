"""TorchFileIO: the state of a network, as tensors by name, and plain values beside them.

The files are safetensors, which other programs read, and which hold no pickle: loading runs no code. What is not a
tensor stands in their metadata, as one JSON string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..exceptions import MissingDependencyError
from .base import FileIO, StoredPayload
from .json import why_not_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TorchFileIO"]

_OURS = "persistable"  # the one entry of the metadata: of several, safetensors would vary the order
_TAKEN = "__metadata__"  # what safetensors calls the metadata, where the names of the tensors stand


class TorchFileIO(FileIO[Mapping[str, Any]]):
    """A dict of torch tensors and plain JSON values, by name, as a safetensors file. Loading runs no code.

    Made for the state of a network, with what is needed to build it::

        {"config": {"hidden_size": 16}, **model.state_dict()}

    What comes back is equal: names in their order, the tensors' dtypes, shapes and bits, the types of the values. The
    same payload is always written as the same bytes.

    Raises
    ------
    TypeError
        At save: the payload is no dict with strings for names, or something in it would not come back equal. The
        message says what, and what to do.
    MissingDependencyError
        At save and load: torch or safetensors is not installed.

    Notes
    -----
    Tensors come back in memory of their own, contiguous, whatever their strides were. Two that lie in the same memory,
    such as tied weights, are refused: they would come back as two. So are tensors elsewhere than on the CPU, and those
    that a gradient is asked of. An OrderedDict, as ``state_dict()`` gives it, comes back as a dict.

    Examples
    --------
    >>> import tempfile
    >>> TorchFileIO().save([1.5, 2.5], Path(tempfile.mkdtemp(), "payload.safetensors"))
    Traceback (most recent call last):
    ...
    TypeError: TorchFileIO does not take this list: it takes a dict of torch tensors and plain values. Pass \
{'name': tensor, ...}.
    """

    suffix = ".safetensors"
    format_id: ClassVar[str] = "safetensors"
    loads_lazily = False

    def _save(self, payload: Mapping[str, Any], filepath: Path) -> None:
        tensors, values = self._sorted_out(payload)
        _check_installed()
        from safetensors.torch import save

        metadata = {_OURS: json.dumps({"names": list(payload), "values": values}, separators=(",", ":"))}
        dense = {
            name: tensor.resolve_conj().resolve_neg().contiguous()  # lazily conjugated ones hold other bits
            for name, tensor in tensors.items()
        }
        content = save(dense, metadata)  # its save_file() would shut out the others of a group, by mode 0600
        with filepath.open("xb") as file:
            file.write(content)

    def _load(self, filepath: Path) -> dict[str, Any]:
        return _parsed(filepath.read_bytes())

    def load(self, stored: StoredPayload) -> dict[str, Any]:
        """Verify `stored`, and make tensors of the very bytes that were verified."""
        return _parsed(stored.read())

    def _sorted_out(self, payload: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and values; raise TypeError if something would not come back equal."""
        if hasattr(payload, "state_dict"):
            raise self._refusal(payload, "a module comes back only through its own class. Pass module.state_dict()")
        if not isinstance(payload, dict):
            raise self._refusal(
                payload, "it takes a dict of torch tensors and plain values. Pass {'name': tensor, ...}"
            )
        _check_installed()
        import torch

        tensors = {name: value for name, value in payload.items() if isinstance(value, torch.Tensor)}
        values = {name: value for name, value in payload.items() if name not in tensors}
        if reason := why_not_json(dict.fromkeys(payload)) or why_not_json(values):
            raise self._refusal(payload, f"{reason}. It takes torch tensors and plain values, by names")
        for name, tensor in tensors.items():
            if name == _TAKEN:
                raise self._refusal(payload, f"safetensors keeps the name {name!r} to itself. Take another one")
            if reason := _why_not(tensor):
                raise self._refusal(payload, f"the tensor {name!r} {reason}")
        if shared := _shared(tensors):
            first, second = shared
            raise self._refusal(
                payload,
                f"the tensors {first!r} and {second!r} lie in the same memory, and would come back in two. Leave one "
                f"out, or pass {second!r}.clone()",
            )
        return tensors, values


def _check_installed() -> None:
    for package in ("torch", "safetensors"):
        if find_spec(package) is None:
            raise MissingDependencyError.of(package, extra="torch", purpose="TorchFileIO")


def _parsed(content: bytes) -> dict[str, Any]:
    """Return the payload of a file: a length, a header in JSON, and the tensors' bits."""
    _check_installed()
    from safetensors.torch import load

    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    ours = json.loads(header[_TAKEN][_OURS])
    found = {**ours["values"], **load(content)}
    return {name: found[name] for name in ours["names"]}


def _why_not(tensor: Tensor) -> str | None:
    """Return why a tensor would not come back equal, None if it would."""
    import torch
    from safetensors.torch import load, save

    if tensor.requires_grad:
        return "is asked for a gradient, which no file keeps. Pass model.state_dict(), or tensor.detach()"
    if type(tensor) is not torch.Tensor:
        return f"is a {type(tensor).__qualname__}, and would come back as a plain tensor. Pass tensor.detach()"
    if tensor.device.type != "cpu":
        return f"is on the device {tensor.device}, and would come back on the CPU. Pass tensor.cpu()"
    if tensor.layout != torch.strided:
        return f"is not dense, its layout is {tensor.layout}. Pass tensor.to_dense()"
    if tensor.is_quantized:
        return "is quantized. Pass tensor.int_repr() and its scale, or tensor.dequantize()"
    try:  # proved, as versions of safetensors differ in the dtypes that they know
        known = load(save({"tensor": tensor.new_empty(0)}))["tensor"].dtype == tensor.dtype
    except Exception:
        known = False
    return None if known else f"has the dtype {tensor.dtype}, which safetensors does not know. Convert it first"


def _shared(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return the names of two tensors that lie in the same memory, None if there are none."""
    spans = []
    for name, tensor in tensors.items():
        if tensor.numel():
            steps = zip(tensor.shape, tensor.stride(), strict=True)
            last = sum((size - 1) * step for size, step in steps)
            spans.append((tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size(), name))
    reach, before = 0, ""
    for start, end, name in sorted(spans):
        if start < reach:
            return before, name
        reach, before = end, name
    return None
