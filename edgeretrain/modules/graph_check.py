"""Which graphs are run: a SavedModel is a program, and TensorFlow's operators can read and write any file.

What an image network needs is arithmetic and variables. TensorFlow itself marks operators with effects as stateful: of
these only a few known ones are let through, and of the others none that touches files, Python or data sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgeretrain.errors import EnvironmentFailure
from edgeretrain.storage import explained

_HARMLESS = re.compile(
    "VarHandleOp|Variable(V2|Shape)?|VarIsInitializedOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|ResourceGather|"
    "DestroyResourceOp|DisableCopyOnRead|(Stateful)?PartitionedCall|If|While|Case|Assert|CheckNumerics|GuaranteeConst|"
    "DeepCopy|Empty|RandomUniform(Int)?|RandomStandardNormal|TruncatedNormal|StatelessRandomGetAlg|"
    "TensorArray(Read|Write|Gather|Scatter|Size)?V3|ResourceApply(Adam|GradientDescent|KerasMomentum|Momentum|RMSProp)"
)
_EFFECTS = re.compile("File|PyFunc|Reader|Record|Dataset|Debug|ImmutableConst|Summary|TPU|Barrier|Restore")
_RESTORE = frozenset(("RestoreV2", "Restore", "RestoreSlice", "ShardedFilename", "ShardedFilespec"))
_SAVERS = _RESTORE | {"SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints"}
"""Every SavedModel holds these, to save and restore its variables; they are let through where nothing runs them."""


def checked_graph(folder: Path, name: str) -> Any:
    """The MetaGraphDef for inference (tagged `serve` or not at all, never `train`) of the SavedModel in `folder`.

    Nothing of it is run. Raises EnvironmentFailure if it is damaged, or not let through. Imports TensorFlow.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        with explained(f"read {folder}"):
            model.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError:
        raise EnvironmentFailure(
            f"{name} cannot be loaded as a TF1-Hub or TF2 module: its saved_model.pb is damaged"
        ) from None
    graphs = [graph for graph in model.meta_graphs if "train" not in graph.meta_info_def.tags]
    if not graphs:
        raise EnvironmentFailure(f"{name} has no graph for inference; expected an image feature-vector module")
    for graph in graphs:
        check_graph(graph, name)
    return min(graphs, key=lambda graph: len(graph.meta_info_def.tags))


def check_graph(meta_graph: Any, name: str) -> None:
    """Look at every operator of a MetaGraphDef, library functions included, before any is run.

    Raises EnvironmentFailure naming the first one that is not let through. Imports TensorFlow.
    """
    graph = meta_graph.graph_def
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    for nodes in (graph.node, *functions.values()):
        for node in nodes:
            if node.op not in functions and node.op not in _SAVERS and _is_refused(node.op):
                raise EnvironmentFailure(
                    f"{name} has the operator {node.op}, which an image network does not need: it is not run"
                )
    if meta_graph.asset_file_def:
        raise EnvironmentFailure(f"{name} brings asset files, which an image network does not need: it is not run")
    nodes = {node.name: node for node in graph.node}
    saver = meta_graph.saver_def
    run = [output.name for s in meta_graph.signature_def.values() for output in s.outputs.values()]
    run += _initializers(meta_graph)
    started = [functions[key] for key in meta_graph.object_graph_def.concrete_functions if key in functions]
    for allowed, reached in (
        (frozenset(), _reached(run, nodes, functions, started)),
        (_RESTORE, _reached([saver.restore_op_name], nodes, functions, [])),
    ):
        effects = sorted({node.op for node in reached} & (_SAVERS - allowed))
        if effects:
            raise EnvironmentFailure(f"{name} runs the operator {effects[0]}, which touches files: it is not run")


def _is_refused(op: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    known = op_def_registry.get(op)
    return known is None or (known.is_stateful and not _HARMLESS.fullmatch(op)) or bool(_EFFECTS.search(op))


def _initializers(meta_graph: Any) -> Iterator[str]:
    """Names of what TensorFlow runs when it loads the graph."""
    for key in ("saved_model_main_op", "legacy_init_op"):
        yield from meta_graph.collection_def[key].node_list.value
    for key in ("table_initializer", "saved_model_initializers"):
        yield from meta_graph.collection_def[key].node_list.value


def _reached(
    names: Iterable[str], nodes: dict[str, Any], functions: dict[str, Any], started: Iterable[Any]
) -> Iterator[Any]:
    """Every node that is run for the tensors or operations `names` and the functions `started`."""
    queue = [nodes[key] for name in names if (key := _node_name(name)) in nodes]
    queue += [node for body in started for node in body]
    seen: set[int] = set()
    while queue:
        node = queue.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        queue += [nodes[key] for name in node.input if (key := _node_name(name)) in nodes]
        called = [node.op, *(f.name for value in node.attr.values() for f in (value.func, *value.list.func))]
        queue += [inner for key in called if key in functions for inner in functions[key]]


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
