"""Tensors and plain values by name: equal to the last bit, as stable bytes, or refused."""

from __future__ import annotations

import sys
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from persistable import Persistable, PersistableParams, PersistError, TorchFileIO  # noqa: E402
from persistable.exceptions import MissingDependencyError  # noqa: E402
from persistable.fileio.equality import same  # noqa: E402
from persistable.testing import FileIOConformance  # noqa: E402
from persistable.testing.fileio import describe  # noqa: E402

BIG = torch.arange(300_000.0, dtype=torch.float64)
TIED = torch.arange(6.0)


def same_payloads(saved, loaded):
    def bits(tensor):
        return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor).reshape(-1).view(torch.uint8)

    if type(loaded) is not dict or list(saved) != list(loaded):
        return False
    return all(
        value.dtype == loaded[name].dtype
        and value.shape == loaded[name].shape
        and loaded[name].is_contiguous()
        and torch.equal(bits(value), bits(loaded[name]))
        if isinstance(value, torch.Tensor)
        else same(value, loaded[name])
        for name, value in saved.items()
    )


class TestTorchFileIO(FileIOConformance):
    fileio = TorchFileIO()
    payloads = (
        {},
        {"config": {"b": [1, 2.5, None], "a": "größe 株"}, "w": torch.arange(6.0).reshape(2, 3), "": torch.tensor(1)},
        {"only": "plain", "values": [True]},
        {"z": torch.zeros(0, 3), "a": torch.tensor([float("nan"), -0.0]), "größe": torch.tensor([True, False])},
        {"t": torch.arange(6).reshape(2, 3).T, "s": torch.arange(9.0)[::3], "e": torch.tensor(1.5).expand(4)},
        {
            "f2": torch.ones(3).half(),
            "bf2": torch.ones(3).bfloat16(),
            "i1": torch.ones(3).char(),
            "c": torch.tensor([1j]),
        },
        {"conjugated": torch.tensor([1 + 2j]).conj(), "negative": torch.tensor([1 + 2j]).conj().imag},
        {"first": TIED[:3], "last": TIED[3:]},
        torch.nn.LSTM(2, 3).state_dict(),
        {"big": BIG},
    )
    refused = (
        [torch.zeros(2)],
        torch.zeros(2),
        torch.nn.Linear(2, 3),
        {1: torch.zeros(2)},
        {"__metadata__": torch.zeros(2)},
        {"values": (1, 2)},
        {"nested": {"w": torch.zeros(2)}},
        {"a": TIED, "b": TIED},
        {"a": TIED[:4], "b": TIED[3:]},
        {"a": torch.zeros(2, requires_grad=True)},
        {"a": torch.nn.Parameter(torch.zeros(2), requires_grad=False)},
        {"a": torch.eye(2).to_sparse()},
        {"a": torch.zeros(2, device="meta")},
        {"a": torch.zeros(2, dtype=torch.complex128)},
    )

    def equal(self, saved, loaded):
        return same_payloads(saved, loaded)


def refusal(payload):
    with pytest.raises(TypeError) as caught:
        TorchFileIO().save(payload, Path("never-written.safetensors"))
    return str(caught.value)


def test_a_refusal_says_what_to_do():
    assert "Pass module.state_dict()" in refusal(torch.nn.Linear(2, 3))
    assert "the tensors 'a' and 'b' lie in the same memory" in refusal({"a": TIED, "b": TIED})
    assert "pass 'b'.clone()" in refusal({"a": TIED, "b": TIED})
    assert "Pass tensor.to_dense()" in refusal({"a": torch.eye(2).to_sparse()})
    assert "tensor.detach()" in refusal({"a": torch.zeros(2, requires_grad=True)})
    assert "Pass tensor.cpu()" in refusal({"a": torch.zeros(2, device="meta")})
    assert "the dtype torch.complex128" in refusal({"a": torch.zeros(2, dtype=torch.complex128)})
    assert "the key 1 (int)" in refusal({1: torch.zeros(2)})
    assert "$.config.order: a tuple" in refusal({"config": {"order": (1, 0)}})


def test_the_same_payload_is_the_same_bytes_in_every_process(tmp_path, run_python):
    code = """if True:
        import sys
        from pathlib import Path
        import torch
        from persistable import TorchFileIO
        values = {"z": {"b": 1, "a": [2.5]}, "y": "x"}
        tensors = {f"w{n}": torch.arange(float(n)) for n in (3, 1, 2)}
        TorchFileIO().save({**values, **tensors}, Path(sys.argv[1]))
    """
    paths = [tmp_path / "one.safetensors", tmp_path / "another name.safetensors"]
    for path, seed in zip(paths, "12", strict=True):
        run_python(code, str(path), PYTHONHASHSEED=seed)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_order_of_names_is_kept_and_a_state_dict_comes_back_as_a_dict(tmp_path):
    payload = OrderedDict(b=torch.ones(1), config={"n": 1}, a=torch.zeros(2, dtype=torch.int8))
    TorchFileIO().save(payload, tmp_path / "payload")
    loaded = TorchFileIO().load(describe(tmp_path / "payload"))
    assert type(loaded) is dict
    assert list(loaded) == ["b", "config", "a"]


def test_loaded_tensors_are_one_s_own(tmp_path):
    TorchFileIO().save({"a": torch.zeros(3), "b": torch.zeros(3)}, tmp_path / "payload")
    stored = describe(tmp_path / "payload")
    loaded = TorchFileIO().load(stored)
    loaded["a"] += 1
    assert loaded["b"].tolist() == [0, 0, 0]
    assert TorchFileIO().load(stored)["a"].tolist() == [0, 0, 0]


def test_other_programs_read_the_tensors(tmp_path):
    from safetensors import safe_open

    TorchFileIO().save({"config": {"n": 3}, "w": torch.arange(3)}, tmp_path / "payload")
    with safe_open(tmp_path / "payload", "pt") as file:
        assert file.get_tensor("w").tolist() == [0, 1, 2]
        assert list(file.metadata()) == ["persistable"]


def test_a_network_is_an_artifact(tmp_path):
    class NetworkP(Persistable[Any, PersistableParams]):
        def _generate_payload(self):
            network = torch.nn.Linear(2, 3)
            return {"config": {"inputs": 2}, **network.state_dict()}

    made = NetworkP(tmp_path, PersistableParams(), payload_io=TorchFileIO()).load_generate()
    loaded = NetworkP(tmp_path, PersistableParams(), payload_io=TorchFileIO()).load()
    assert same_payloads(made, loaded)
    torch.nn.Linear(2, 3).load_state_dict({name: loaded[name] for name in ("weight", "bias")})


def test_a_payload_that_is_refused_stays_in_memory(tmp_path):
    class NetworkP(Persistable[Any, PersistableParams]):
        def _generate_payload(self):
            return torch.nn.Linear(2, 3)

    network_p = NetworkP(tmp_path, PersistableParams(), payload_io=TorchFileIO())
    with pytest.raises(PersistError, match=r"Pass module\.state_dict"):
        network_p.generate()
    assert network_p.payload.out_features == 3


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_missing_library_is_named_with_the_way_to_install_it(package, tmp_path, monkeypatch):
    TorchFileIO().save({"a": torch.zeros(1)}, tmp_path / "payload")
    monkeypatch.setattr("persistable.fileio.torch.find_spec", lambda name: None if name == package else find_spec(name))
    message = rf"TorchFileIO needs '{package}'.*persistable\[torch\]"
    with pytest.raises(MissingDependencyError, match=message):
        TorchFileIO().save({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(MissingDependencyError, match=message):
        TorchFileIO().load(describe(tmp_path / "payload"))


def test_naming_the_format_imports_no_torch(run_python):
    code = "import sys, persistable; persistable.TorchFileIO(); print({'torch', 'safetensors'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"
    assert "torch" in sys.modules
